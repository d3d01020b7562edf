"""Running the worker and the beat: each alone for a fleet, or both in this process for one machine."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from celery import Celery, signals
from celery.beat import EmbeddedService, Scheduler

from workers.tasks import SWEEP


def run_worker(app: Celery, *, concurrency: int, embedded_beat: bool) -> None:
    """Work until SIGTERM or Ctrl-C; what is in hand is finished first, what is not is in the ledger."""
    beat = _beat(app) if embedded_beat else None
    if beat is not None:
        beat.start()
    try:
        _worker(app, concurrency).start()
    finally:
        if beat is not None:
            beat.stop()


def run_beat(app: Celery) -> None:
    """Ring by the schedule until interrupted.  A second beat is harmless."""
    service = _beat(app)
    service.start()
    with suppress(KeyboardInterrupt):
        threading.Event().wait()
    service.stop()


@contextmanager
def running(app: Celery, *, concurrency: int) -> Iterator[None]:
    """Worker and beat in threads of this process while the `with` lasts."""
    worker = _worker(app, concurrency)
    ready = threading.Event()
    signals.worker_ready.connect(lambda **_: ready.set(), weak=False, dispatch_uid="alyx-transfer-ready")
    thread = threading.Thread(target=worker.start, name="worker", daemon=True)
    thread.start()
    ready.wait(30)
    beat = _beat(app)
    beat.start()
    app.send_task(SWEEP)
    try:
        yield
    finally:
        beat.stop()
        worker.stop()
        thread.join(30)


def _worker(app: Celery, concurrency: int):  # type: ignore[no-untyped-def]
    return app.Worker(
        pool="threads",
        concurrency=concurrency,
        without_heartbeat=True,
        without_mingle=True,
        without_gossip=True,
        loglevel="WARNING",
        quiet=True,
    )


def _beat(app: Celery):  # type: ignore[no-untyped-def]
    return EmbeddedService(app, thread=True, scheduler_cls=Scheduler)
