"""The first page: good night or bad night."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, case, func, select

from transfer.errors import CATALOGUE
from transfer.ledger import incidents
from transfer.ledger.glance import matters, places, transfers
from transfer.ledger.glance.matters import Matter
from transfer.ledger.glance.places import Place
from transfer.ledger.glance.transfers import Transfer
from transfer.ledger.health import Check, check, summary
from transfer.ledger.hourly import ARRIVED
from transfer.ledger.incidents import Incident
from transfer.ledger.ledger import Ledger
from transfer.ledger.tables import OPEN, copies, hours, items, sessions


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
class Failures:
    """Failures for one cause, those that a retry mended too."""

    code: str
    name: str
    day_files: int
    week_files: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Overview:
    """Everything on the first page.  `empty`: this ledger has never seen a session."""

    now: datetime
    empty: bool
    check: Check
    routes: tuple[Route, ...]
    causes: tuple[Cause, ...]
    failures: tuple[Failures, ...]
    matters: tuple[Matter, ...]
    more_matters: int
    incidents: tuple[Incident, ...]
    moving: tuple[Transfer, ...]
    places: tuple[Place, ...]


_DAY, _WEEK = timedelta(days=1), timedelta(days=7)
_CAUSES = 50


def overview(ledger: Ledger) -> Overview:
    """Ask everything at once; under 300 ms with a million items."""
    whole = check(ledger)
    standing = summary(ledger)
    with ledger.reading() as connection:
        now = ledger.now(connection)
        curves = _curves(connection, now)
        found = matters.asked(connection)
        return Overview(
            now=now,
            empty=connection.scalar(select(func.min(sessions.c.id))) is None,
            check=whole,
            routes=tuple(_route(row, curves.get((row.source, row.target), ())) for row in standing),
            causes=_causes(connection),
            failures=_failures(connection, now),
            matters=found[: matters.SHOWN],
            more_matters=max(len(found) - matters.SHOWN, 0),
            incidents=tuple(incidents.standing(connection)),
            moving=transfers.asked(connection, now),
            places=places.asked(connection, now),
        )


def _route(row: Any, curve: tuple[Hour, ...]) -> Route:
    return Route(
        lab=row.lab,
        source=row.source,
        target=row.target,
        day_files=row.day_files,
        day_bytes=row.day_bytes,
        week_files=row.week_files,
        week_bytes=row.week_bytes,
        backlog_files=row.waiting_files + row.held_files,
        backlog_bytes=row.waiting_bytes + row.held_bytes,
        held_files=row.held_files,
        oldest_unsent=row.oldest_unsent,
        curve=curve,
    )


def _whole_hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def _curves(connection: Connection, now: datetime) -> dict[tuple[str, str], tuple[Hour, ...]]:
    query = (
        select(hours)
        .where(hours.c.hour >= _whole_hour(now - _WEEK), hours.c.outcome == ARRIVED)
        .order_by(hours.c.hour)
    )
    found: dict[tuple[str, str], list[Hour]] = defaultdict(list)
    for row in connection.execute(query):
        found[row.source, row.target].append(Hour(at=row.hour, files=row.files, bytes=row.bytes))
    return {route: tuple(curve) for route, curve in found.items()}


def _causes(connection: Connection) -> tuple[Cause, ...]:
    """By code and store, those of most files first."""
    query = (
        select(
            items.c.error.label("code"),
            copies.c.repository.label("endpoint"),
            func.count().label("files"),
            func.min(items.c.error_text).label("example"),
        )
        .select_from(items)
        .join(copies, copies.c.id == items.c.copy)
        .where(items.c.open == OPEN, items.c.error.is_not(None))
        .group_by(items.c.error, copies.c.repository)
        .order_by(func.count().desc(), items.c.error, copies.c.repository)
        .limit(_CAUSES)
    )
    return tuple(
        Cause(
            code=row.code,
            name=_name(row.code),
            endpoint=row.endpoint,
            files=row.files,
            example=row.example or "",
        )
        for row in connection.execute(query)
    )


def _failures(connection: Connection, now: datetime) -> tuple[Failures, ...]:
    """By code, those of the last day first."""
    day = func.sum(case((hours.c.hour >= _whole_hour(now - _DAY), hours.c.files), else_=0))
    week = func.sum(hours.c.files)
    query = (
        select(hours.c.outcome.label("code"), day.label("day"), week.label("week"))
        .where(hours.c.hour >= _whole_hour(now - _WEEK), hours.c.outcome != ARRIVED)
        .group_by(hours.c.outcome)
        .order_by(day.desc(), week.desc(), hours.c.outcome)
    )
    return tuple(
        Failures(code=row.code, name=_name(row.code), day_files=int(row.day), week_files=int(row.week))
        for row in connection.execute(query)
    )


def _name(code: str) -> str:
    kind = CATALOGUE.get(code)
    return kind.name if kind else code
