"""Running the worker and the beat: each alone for a fleet, or both in this process for one machine.

Logging is set up by whoever starts us (`config.logs`); Celery leaves it alone.
"""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from celery import Celery, signals
from celery.beat import EmbeddedService, Scheduler
from celery.exceptions import SecurityWarning

from workers.tasks import SWEEP

_READY = 30  # seconds a worker has to begin
_NAP = 1  # second: the longest sleep of beat, so the longest wait when it is stopped


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
    beat = _beat(app)
    thread = threading.Thread(target=worker.start, name="worker", daemon=True)
    try:
        _begin(thread)
        beat.start()
        app.send_task(SWEEP)
        yield
    finally:
        if beat.is_alive():
            beat.stop()
        worker.stop()
        thread.join(_READY)


def _begin(worker: threading.Thread) -> None:
    """Start the worker's thread and wait until it listens.  Raises RuntimeError if it does not."""
    ready = threading.Event()

    def announce(**_: object) -> None:
        ready.set()

    signals.worker_ready.connect(announce)
    try:
        worker.start()
        if not ready.wait(_READY):
            raise RuntimeError(f"the worker did not begin within {_READY} s")
    finally:
        signals.worker_ready.disconnect(announce)


@signals.setup_logging.connect
def _leave_logging_alone(**_: object) -> None:
    """Celery sets the root logger to its own level unless somebody answers this signal."""


def _worker(app: Celery, concurrency: int):  # type: ignore[no-untyped-def]
    with warnings.catch_warnings():
        # It warns root of pickled messages; ours are JSON, and some rigs run everything as root.
        warnings.simplefilter("ignore", SecurityWarning)
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
    return EmbeddedService(app, thread=True, scheduler_cls=Scheduler, max_interval=_NAP)
