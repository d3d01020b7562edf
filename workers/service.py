"""Running the worker and the beat: each alone for a fleet, or both in this process for one machine.

Both live in threads.  The main thread keeps the signals, so that a stop is the same everywhere and Celery
installs no handlers of its own.  Logging is set up by whoever starts us (`config.logs`).

Celery's beat waits for its broker as long as that takes; ours rings as everybody does (`config.doorbell`) and
goes on when a ring is lost.
"""

import os
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from queue import Empty, SimpleQueue
from threading import Thread

import structlog
from celery import Celery, signals
from celery.beat import ScheduleEntry, Scheduler, Service
from celery.exceptions import SecurityWarning
from celery.platforms import EX_OK
from celery.worker import WorkController, state

from config import doorbell
from config.queues import CENTRAL
from transfer.errors import BrokerUnreachable

_READY = 30  # seconds a worker has to begin where its caller waits for it
_LOOK = 1  # second between looks whether our threads still live, and the longest sleep of beat
_ENOUGH = 200  # rings that wait: a lab's machine that is off for weeks must not find a million
_AT_ONCE = 130  # exit code after a second signal, as a shell gives it for Ctrl-C

log = structlog.get_logger()


def run_worker(app: Celery, *, concurrency: int, embedded_beat: bool) -> None:
    """Work until SIGTERM or Ctrl-C; what is in hand is finished first, what is not is in the ledger.

    A second signal ends the process at once.  Raises RuntimeError if a thread of ours ended by itself.
    """
    with ExitStack() as started:
        threads = [started.enter_context(_working(app, concurrency, threading.Event()))]
        if embedded_beat:
            threads.append(started.enter_context(_ringing(app)))
        _until_told_to_stop(threads)


def run_beat(app: Celery) -> None:
    """Ring by the schedule until SIGTERM or Ctrl-C.  A second beat is harmless."""
    log.info("beat_began", rings=len(app.conf.beat_schedule))
    with _ringing(app) as beat:
        _until_told_to_stop([beat])


@contextmanager
def running(app: Celery, *, concurrency: int) -> Iterator[None]:
    """Worker and beat in threads of this process while the `with` lasts; begins when the worker listens.

    Raises RuntimeError if it does not.
    """
    ready = threading.Event()
    with _working(app, concurrency, ready):
        if not ready.wait(_READY):
            raise RuntimeError(f"the worker did not begin within {_READY} s")
        with _ringing(app):
            yield


def _until_told_to_stop(threads: list[Thread]) -> None:
    # A SimpleQueue, because its `put` may be called by a signal's handler at any moment; an Event may not.
    told: SimpleQueue[int] = SimpleQueue()

    def tell(which: int, _frame: object) -> None:
        told.put(which)
        for other in (signal.SIGTERM, signal.SIGINT):
            signal.signal(other, _end_at_once)

    for which in (signal.SIGTERM, signal.SIGINT):
        signal.signal(which, tell)
    while all(thread.is_alive() for thread in threads):
        try:
            log.info("stop_asked", signal=signal.Signals(told.get(timeout=_LOOK)).name)
        except Empty:
            continue
        return
    raise RuntimeError("the worker or the beat ended by itself: see the log above")


def _end_at_once(_signal: int, _frame: object) -> None:
    """The person is in a hurry: leases lapse by themselves, and the ledger knows the rest."""
    os._exit(_AT_ONCE)


@contextmanager
def _working(app: Celery, concurrency: int, ready: threading.Event) -> Iterator[Thread]:
    with warnings.catch_warnings():
        # It warns root of pickled messages; ours are JSON, and some rigs run everything as root.
        warnings.simplefilter("ignore", SecurityWarning)
        worker = app.Worker(
            pool="threads",
            concurrency=concurrency,
            without_heartbeat=True,
            without_mingle=True,
            without_gossip=True,
            loglevel="WARNING",
            quiet=True,
            ready_callback=lambda _consumer: ready.set(),
        )
    thread = Thread(target=worker.start, name="worker", daemon=True)
    thread.start()
    try:
        yield thread
    finally:
        _end(worker)
        thread.join()
        vars(state)["should_stop"] = None


def _end(worker: WorkController) -> None:
    """Have the worker's own thread stop it.

    From this thread we would close a connection that the other one reads, and wait for an answer it has had.
    Only memory:// has no connection, nor anything to wake it.
    """
    if str(worker.app.conf.broker_url).startswith("memory:"):
        worker.stop()
    # It is the process's, not the worker's; a consumer that looks for its broker hears of nothing else.
    vars(state)["should_stop"] = EX_OK
    if worker.hub:
        worker.hub.call_soon(_nothing)  # type: ignore[attr-defined]  # wakes it; its stubs do not know it


def _nothing() -> None:
    """What a hub is woken with."""


@contextmanager
def _ringing(app: Celery) -> Iterator[Thread]:
    beat = Service(app, max_interval=_LOOK, scheduler_cls=_Ringer)
    thread = Thread(target=beat.start, name="beat", daemon=True)
    thread.start()
    try:
        yield thread
    finally:
        beat.stop()
        thread.join()


class _Ringer(Scheduler):
    """Celery's schedule in memory, which rings with the doorbell's short patience.

    That the broker is away, and why, is said once; the rings lost meanwhile are counted.
    """

    _lost = 0

    @property
    def producer(self) -> None:  # type: ignore[override]
        """None: to make one, Celery would wait here until the broker is back."""

    def apply_entry(self, entry: ScheduleEntry, producer: None = None) -> None:  # type: ignore[override]
        del producer
        broker, queue = str(self.app.conf.broker_url), str((entry.options or {}).get("queue", CENTRAL))
        if doorbell.unheard(broker, queue) >= _ENOUGH:
            log.warning(
                "ring_not_needed", task=entry.task, queue=queue, because="nobody hears those before it"
            )
        elif not doorbell.ring(broker, str(entry.task), *(entry.args or ()), queue=queue):
            self._lost += 1
            if self._lost == 1:
                log.warning("ring_lost", task=entry.task, queue=queue, because=_why(broker))
        elif self._lost:
            log.info("broker_back", lost=self._lost)
            self._lost = 0


def _why(broker: str) -> str:
    """What keeps rings from the broker, for a person."""
    try:
        doorbell.reach(broker)
    except BrokerUnreachable as error:
        return f"[{error.code}] {error.sentence}"
    return "the broker did not take it, and answers again"


@signals.setup_logging.connect
def _leave_logging_alone(**_: object) -> None:
    """Celery sets the root logger to its own level unless somebody answers this signal."""
