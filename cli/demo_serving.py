"""`demo --serve`: the demo goes on, with the dashboard beside it, until somebody stops it.

New sessions keep arriving for a while, one after the other, so that something moves.  With `--faults` there is
trouble to look at: a second lab whose store is paused, a store that is slow and damages a file, a folder that may not
be written, a link in a file's place, and a version that another tool registered.

People log in as `demo` (admin) or `visitor` (viewer), with a password that the sandbox Alyx knows.
"""

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from cli import output
from cli.dashboard import PATIENCE

if TYPE_CHECKING:
    from config.settings import Settings
    from dashboard.board import Board
    from sandbox.box import Box
    from sandbox.mishaps import Mishaps
    from transfer.ledger import Ledger

ADMIN, VISITOR = "demo", "visitor"
SESSIONS = 6
"""How many there are at the beginning, where nobody says."""

_SLOW = 0.012  # seconds for each 32 KiB: some megabytes a second, so that one can watch
_SLOWER = 0.03
_BETWEEN = 20.0  # seconds between two new sessions
_NEW = 30  # sessions that arrive; after these it is quiet
_HANDS = 4
_LOOK = 0.5  # seconds between looks for a signal: some systems deliver none to a thread that waits


def mishaps(*, faults: bool) -> "Mishaps":
    """What the store's server does: slow enough to be watched, and with `faults` slower, and damaging one file."""
    from sandbox.mishaps import Mishaps

    made = Mishaps(slow=_SLOWER if faults else _SLOW)
    made.damages = 1 if faults else 0
    return made


def serve(box: "Box", script: "Mishaps", *, port: int, faults: bool, verbose: bool) -> None:
    """Furnish the open box, work and serve until SIGINT or SIGTERM, and leave quickly."""
    from cli.demo_config import add_dashboard, add_neighbour, write_config
    from config import logs
    from config.settings import load

    output.complain(f"writing sessions below {box.root / 'lab'}")
    box.furnish()
    _people(box)
    if faults:
        _plant(box, script)
    config = write_config(box, verbose=verbose)
    add_dashboard(config, box, port=port, admin=ADMIN)
    if faults:
        add_neighbour(config, box)
    settings = load(config, {})
    logs.configure(settings.logs)
    for server in ("sandbox", "uvicorn"):
        logging.getLogger(server).setLevel(logging.CRITICAL)
    with _working(settings, script) as ledger:
        if faults:
            _pause_the_other_store(ledger, settings)
        with _served(settings) as address, _arriving(box):
            _tell(box, address)
            _until_told_to_stop()
        output.complain("stopping")


def _people(box: "Box") -> None:
    for name in (ADMIN, VISITOR):
        box.add_person(name)


def _plant(box: "Box", script: "Mishaps") -> None:
    """The troubles that are there from the beginning; a box that is opened again has them already."""
    from sandbox.mishaps import link_away, register_elsewhere
    from sandbox.neighbour import Neighbour

    Neighbour(box, sessions=2).furnish()
    last, other = box.sessions[-1], box.sessions[-2 if len(box.sessions) > 1 else -1]
    link = last.path / _LINKED
    if not link.is_symlink():
        link_away(box, last, _LINKED)
        register_elsewhere(box, other, _REGISTERED)
    script.locked.append(f"{other.subject}/{other.date.isoformat()}/001/raw_video_data/")


_LINKED = "alf/licks.times.npy"
_REGISTERED = "alf/_ibl_trials.table.pqt"


def _pause_the_other_store(ledger: "Ledger", settings: "Settings") -> None:
    from sandbox.neighbour import STORE
    from transfer.ledger import endpoints, pausing
    from transfer.ledger.finding import Target

    endpoints.ensure(ledger, list(settings.stores))
    person = ledger.acting_as(f"person:{ADMIN}")
    store = Target(kind="endpoint", name=STORE)
    pausing.pause(person, store, why="The store's disks are exchanged until the afternoon.")


@contextmanager
def _working(settings: "Settings", script: "Mishaps") -> Iterator["Ledger"]:
    """Worker and beat at work; at the end nothing is slow any more, so that what is in hand is soon done."""
    from config import wiring
    from config.queues import every_duty
    from workers.assembly import worker_app
    from workers.living import living
    from workers.service import running

    with ExitStack() as opened:
        ledger = wiring.ledger(settings)
        opened.callback(ledger.engine.dispose)
        catalog = opened.enter_context(closing(wiring.catalog(settings)))
        app, crew = worker_app(settings, ledger=ledger, catalog=catalog, hands=_HANDS)
        opened.enter_context(closing(crew.rounds.runner))
        crew.rounds.start()
        duty = str(every_duty(settings))
        opened.enter_context(
            living(ledger, version=wiring.version(), hands=_HANDS, duty=duty, latency=catalog.latency)
        )
        opened.enter_context(running(app, concurrency=_HANDS))
        opened.callback(_no_limits, ledger, settings)
        opened.callback(script.hasten)
        yield ledger


def _no_limits(ledger: "Ledger", settings: "Settings") -> None:
    """A limit that somebody set on the dashboard must not keep the end waiting."""
    from transfer.ledger import bandwidth

    for lab in settings.labs.values():
        bandwidth.clear_limit(ledger, lab.repository, why="the demo ends")


@contextmanager
def _served(settings: "Settings") -> Iterator[str]:
    """The dashboard, with a ledger of its own as beside a fleet's workers; its address."""
    from config import wiring
    from dashboard.serving import serving

    ledger = wiring.ledger(settings)
    ledger.patience = PATIENCE
    try:
        with serving(_board(settings, ledger), settings.dashboard.host, settings.dashboard.port) as address:
            yield address
    finally:
        ledger.engine.dispose()


def _board(settings: "Settings", ledger: "Ledger") -> "Board":
    from config import doorbell, wiring
    from dashboard.board import Board

    return Board(
        settings=settings,
        ledger=ledger,
        ring=partial(doorbell.ring, settings.broker.url),
        version=wiring.version(),
    )


@contextmanager
def _arriving(box: "Box") -> Iterator[None]:
    """A new session every now and then, until there are enough or the `with` ends."""
    enough = threading.Event()

    def arrive() -> None:
        for _ in range(_NEW):
            if enough.wait(_BETWEEN):
                return
            box.grow()

    thread = threading.Thread(target=arrive, name="arriving", daemon=True)
    thread.start()
    try:
        yield
    finally:
        enough.set()
        thread.join()


def _tell(box: "Box", address: str) -> None:
    output.say(f"The dashboard: {address}")
    output.say(f"Log in as {ADMIN} (may do everything) or {VISITOR} (may look), with the password")
    output.say(f"    {box.password_file.read_text()}")
    output.say("A new session arrives every now and then.  Ctrl-C ends it.")


def _until_told_to_stop() -> None:
    told: SimpleQueue[int] = SimpleQueue()
    before = {
        which: signal.signal(which, lambda number, _frame: told.put(number))
        for which in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        while True:
            try:
                told.get(timeout=_LOOK)
            except Empty:
                continue
            return
    finally:
        for which, handler in before.items():
            signal.signal(which, handler)
