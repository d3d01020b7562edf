"""A lab in a box whose workers work and whose dashboard is served, for a browser: all of it in this process.

The store's server asks `mishaps` before each request, so that a test can make it slow or lock a folder.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cli.demo_config import add_dashboard, write_config
from config import doorbell, wiring
from config.sections import Settings
from config.settings import load
from dashboard.board import Board
from dashboard.serving import serving
from sandbox.box import Box
from sandbox.mishaps import Mishaps
from transfer.ledger import Ledger
from workers.assembly import worker_app
from workers.living import living
from workers.service import running

ADMIN, VISITOR = "anne", "bob"
_HANDS = 2

Plant = Callable[[Box, Mishaps], None]
"""What is made of the box before the workers begin."""


@dataclass(frozen=True, kw_only=True)
class Lab:
    """What a test may look at and change; `address` is the dashboard's."""

    box: Box
    mishaps: Mishaps
    settings: Settings
    ledger: Ledger
    address: str

    @property
    def password(self) -> str:
        return self.box.password_file.read_text()


def _as_it_is(box: Box, mishaps: Mishaps) -> None:
    del box, mishaps


@contextmanager
def lab(root: Path, *, sessions: int, large_bytes: int = 0, plant: Plant = _as_it_is) -> Iterator[Lab]:
    """Open it, with its workers at work and its dashboard served."""
    mishaps = Mishaps()
    with ExitStack() as opened:
        box = opened.enter_context(
            Box(root, sessions=sessions, seed=1, transport="sftp", large_bytes=large_bytes, before=mishaps)
        )
        box.furnish()
        for name in (ADMIN, VISITOR):
            box.add_person(name)
        plant(box, mishaps)
        config = write_config(box, verbose=False)
        add_dashboard(config, box, port=0, admin=ADMIN)
        settings = load(config, {})
        ledger = opened.enter_context(_working(settings, mishaps))
        seen = wiring.ledger(settings)
        opened.callback(seen.engine.dispose)
        ring = partial(doorbell.ring, settings.broker.url)
        board = Board(settings=settings, ledger=seen, ring=ring, version=wiring.version())
        address = opened.enter_context(serving(board, settings.dashboard.host, settings.dashboard.port))
        yield Lab(box=box, mishaps=mishaps, settings=settings, ledger=ledger, address=address)


@contextmanager
def _working(settings: Settings, mishaps: Mishaps) -> Iterator[Ledger]:
    with ExitStack() as opened:
        ledger = wiring.ledger(settings)
        opened.callback(ledger.engine.dispose)
        catalog = opened.enter_context(closing(wiring.catalog(settings)))
        app, crew = worker_app(settings, ledger=ledger, catalog=catalog, hands=_HANDS)
        opened.enter_context(closing(crew.rounds.runner))
        crew.rounds.start()
        opened.enter_context(
            living(ledger, version=wiring.version(), hands=_HANDS, duty="", latency=catalog.latency)
        )
        opened.enter_context(running(app, concurrency=_HANDS))
        opened.callback(mishaps.hasten)
        yield ledger
