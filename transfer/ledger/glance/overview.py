"""The first page: good night or bad night."""

from dataclasses import dataclass
from datetime import datetime

from transfer.ledger.glance.places import Place
from transfer.ledger.glance.transfers import Transfer
from transfer.ledger.health import Check
from transfer.ledger.incidents import Incident
from transfer.ledger.ledger import Ledger


@dataclass(frozen=True, kw_only=True, slots=True)
class Hour:
    """What arrived on one route in the hour that began then."""

    at: datetime
    files: int
    bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """One lab's way to one store.  `curve` has the last 7 days, hours in which nothing arrived left out."""

    lab: str
    source: str
    target: str
    day_files: int
    day_bytes: int
    week_files: int
    week_bytes: int
    backlog_files: int
    backlog_bytes: int
    held_files: int
    oldest_unsent: datetime | None
    curve: tuple[Hour, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Cause:
    """Open files that failed last for this: an error's code, how many, and one of the sentences."""

    code: str
    name: str
    endpoint: str
    files: int
    example: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Matter:
    """One thing that needs a person: one sentence and one action.

    `kind` is incident, endpoint, session, file, or `files` for many held files of one hold in one lab.  `target`
    is what the action is for, as `transfer.ledger.finding` reads it.  `action` is release, retry or resume, None
    where only the world can be mended.
    """

    kind: str
    name: str
    target: str | None
    sentence: str
    action: str | None
    files: int
    since: datetime | None
    code: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Overview:
    """Everything on the first page.  `empty`: this ledger has never seen a session."""

    now: datetime
    empty: bool
    check: Check
    routes: tuple[Route, ...]
    causes: tuple[Cause, ...]
    matters: tuple[Matter, ...]
    more_matters: int
    incidents: tuple[Incident, ...]
    moving: tuple[Transfer, ...]
    places: tuple[Place, ...]


def overview(ledger: Ledger) -> Overview:
    """Ask everything at once; under 300 ms with a million items."""
    raise NotImplementedError
