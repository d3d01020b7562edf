"""The program as a lab runs it, wired by `config.wiring`, with what a drill puts around its store and its Alyx.

What is changed for a rehearsal is what it waits for: pauses inside a step are short, and a worker that is told to stop
is rung so that it notices.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from celery import Celery
from celery.platforms import EX_OK
from celery.worker import state

from config import doorbell, wiring
from config.rounds import SWEEP
from config.sections import Settings
from sandbox.box import LAB
from transfer.catalog.base import Catalog
from transfer.keeping import Keeper
from transfer.ledger import Ledger
from transfer.runner import Runner
from transfer.transports.base import StreamingTransport
from transfer.transports.delegated import DelegatedTransport
from workers.assembly import worker_app
from workers.crew import Crew
from workers.service import running
from workers.walking import lab_of

Way = Callable[[StreamingTransport], StreamingTransport]
Wrap = Callable[[Catalog], Catalog]

_HANDS = 4
_NAP = 0.05  # the longest a step sleeps: what it waits for in a lab is staged here, and needs no time
_LOOKS_UP = 2.0  # seconds after which a worker sees by itself that it is to stop
_RING = 0.05  # seconds between two rings meanwhile


@dataclass(kw_only=True)
class Wrapping:
    """What is put around the program's parts before its first connection."""

    ways: list[Way] = field(default_factory=list)
    """Around each way to the store, the first one nearest to it."""
    catalogs: list[Wrap] = field(default_factory=list)
    lease_seconds: float | None = None
    clock: Callable[[], datetime] | None = None
    """The ledger's clock, where a drill stages one, with the `monotonic` one of its leases."""
    monotonic: Callable[[], float] = time.monotonic


@dataclass(frozen=True, kw_only=True)
class Program:
    """The wired program: its ledger, its hands and their application."""

    ledger: Ledger
    crew: Crew
    app: Celery
    broker: str

    @contextmanager
    def working(self, leaving: threading.Event) -> Iterator[None]:
        """Worker and beat at work, in threads of this process; `leaving` is set when the body has ended."""
        with running(self.app, concurrency=_HANDS):
            try:
                yield
            finally:
                leaving.set()
            _dismiss(self.broker)


def wire(settings: Settings, around: Wrapping, opened: ExitStack) -> Program:
    """Wire it as `alyx-transfer worker` does; `opened` closes it."""
    ledger = wiring.ledger(settings)
    opened.callback(ledger.engine.dispose)
    if around.clock is not None:
        ledger = Ledger(ledger.engine, clock=around.clock, monotonic=around.monotonic)
    catalog: Catalog = opened.enter_context(closing(wiring.catalog(settings)))
    for wrap in around.catalogs:
        catalog = wrap(catalog)
    app, crew = worker_app(settings, ledger=ledger, catalog=catalog, hands=_HANDS)
    _lead(crew.rounds.runner, settings, around)
    opened.callback(crew.rounds.runner.close)
    crew.rounds.start()
    lab = lab_of(crew.rounds, LAB)
    # What the hourly round would mend by itself is not to be mended in the middle of a drill.
    crew.rounds.reconcile(lab)
    for _ in range(2):  # a session is finished when two looks agree
        crew.rounds.scan(lab)
    return Program(ledger=ledger, crew=crew, app=app, broker=settings.broker.url)


def _lead(runner: Runner, settings: Settings, around: Wrapping) -> None:
    """Lead the ways to the store through what stands around it, and let nothing wait long."""
    ways: Sequence[Way] = around.ways

    def open_transport(store: str) -> StreamingTransport | DelegatedTransport:
        transport = wiring.transport(settings, store)
        if not isinstance(transport, DelegatedTransport):
            for way in ways:
                transport = way(transport)
        return transport

    if around.lease_seconds is not None:
        runner.lease_seconds = around.lease_seconds
    runner.open_transport = open_transport
    runner.keeper = Keeper(open_transport)
    runner.sleep = lambda seconds: time.sleep(min(seconds, _NAP))


def _dismiss(broker: str) -> None:
    """Tell the worker to stop and ring until it has noticed: by itself it looks up every two seconds only."""
    vars(state)["should_stop"] = EX_OK
    give_up = time.monotonic() + _LOOKS_UP
    while time.monotonic() < give_up and any(one.name == "worker" for one in threading.enumerate()):
        doorbell.ring(broker, SWEEP)
        time.sleep(_RING)
