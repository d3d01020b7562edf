"""Two questions of every morning: what arrived and what waits on each route, and is anything wrong.

Read-only, like `reports`.  "Unsent" means not yet recorded: as long as Alyx does not say that the central
copy exists, nobody can use it.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, exists, func, or_, select

from transfer.errors import LedgerDiskFull
from transfer.ledger import incidents
from transfer.ledger.due import WITHOUT_ALYX
from transfer.ledger.endpoints import ALYX
from transfer.ledger.files import TROUBLE
from transfer.ledger.glance import crew
from transfer.ledger.leases import free
from transfer.ledger.ledger import Ledger
from transfer.ledger.sanity import rows_without_owner
from transfer.ledger.sums import number, total
from transfer.ledger.tables import OPEN, batches, copies, datasets, endpoints, hours, items, sessions
from transfer.status import Status

_DAY = timedelta(days=1)
_WEEK = timedelta(days=7)


@dataclass(frozen=True, kw_only=True, slots=True)
class RouteRow:
    """One lab's way to one store.  `waiting` and `held` exclude one another; the ages are the oldest file's."""

    lab: str
    source: str
    target: str
    waiting_files: int = 0
    waiting_bytes: int = 0
    held_files: int = 0
    held_bytes: int = 0
    day_files: int = 0
    day_bytes: int = 0
    week_files: int = 0
    week_bytes: int = 0
    oldest_unsent: datetime | None = None


def summary(ledger: Ledger) -> list[RouteRow]:
    """Per route: what waits, what is held, what was recorded in the last day and week (whole hours)."""
    with ledger.reading() as connection:
        now = ledger.now(connection)
        facts: dict[tuple[str, str], dict[str, Any]] = defaultdict(dict)
        for row in connection.execute(_BACKLOG):
            facts[row.source, row.target].update(row._mapping)
        for row in connection.execute(_arrived(now)):
            facts[row.source, row.target].update(row._mapping)
        labs = labs_of(connection, {source for source, _ in facts})
    return [
        RouteRow(**{**found, "source": source, "target": target, "lab": labs.get(source, source)})
        for (source, target), found in sorted(facts.items())
    ]


_FIRST_LAB = select(sessions.c.lab).order_by(sessions.c.source, sessions.c.path).limit(1)


def labs_of(connection: Connection, sources: Iterable[str]) -> dict[str, str]:
    """The lab of each of these lab repositories, one look for each: the sessions are many, the labs are few."""
    asked = ((one, _FIRST_LAB.where(sessions.c.source == one)) for one in sources)
    found = ((one, connection.scalar(query)) for one, query in asked)
    return {one: lab for one, lab in found if lab is not None}


_FREE = items.c.hold.is_(None)
_BACKLOG = (
    select(
        sessions.c.source,
        copies.c.repository.label("target"),
        number(_FREE).label("waiting_files"),
        number(_FREE, items.c.size).label("waiting_bytes"),
        number(~_FREE).label("held_files"),
        number(~_FREE, items.c.size).label("held_bytes"),
        func.min(items.c.created_at, type_=items.c.created_at.type).label("oldest_unsent"),
    )
    .select_from(items)
    .join(copies, copies.c.id == items.c.copy)
    .join(datasets, datasets.c.id == copies.c.dataset)
    .join(sessions, sessions.c.id == datasets.c.session)
    .where(items.c.open == OPEN)
    .group_by(sessions.c.source, copies.c.repository)
)


def _arrived(now: datetime) -> Any:
    day, week = (_whole_hour(now - length) for length in (_DAY, _WEEK))
    return (
        select(
            hours.c.source,
            hours.c.target,
            number(hours.c.hour >= day, hours.c.files).label("day_files"),
            number(hours.c.hour >= day, hours.c.bytes).label("day_bytes"),
            total(hours.c.files).label("week_files"),
            total(hours.c.bytes).label("week_bytes"),
        )
        .where(hours.c.outcome == "arrived", hours.c.hour >= week)
        .group_by(hours.c.source, hours.c.target)
    )


def _whole_hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """Whether a person must look.  `stuck` counts what is due, free, not kept back and still not taken."""

    now: datetime
    oldest_unsent: datetime | None
    waiting: int
    held_files: int
    held_sessions: int
    paused: tuple[str, ...]
    troubles: int
    stuck_files: int
    stuck_sessions: int
    too_old: bool
    rows_without_owner: int = 0
    incidents: tuple[str, ...] = ()  # code and endpoint of those that wait for a person
    versions: tuple[str, ...] = ()  # of the workers that live; several while a fleet is being upgraded
    unwalked: tuple[
        str, ...
    ] = ()  # rounds that are overdue although workers live: nobody rings, or nobody hears
    away: tuple[str, ...] = ()  # labs whose data folder was not there at the last scan
    disk_full: str | None = None  # what a person reads while the ledger's disk has no room for new work

    @property
    def held(self) -> int:
        """Everything that waits for a person."""
        return self.held_files + self.held_sessions + len(self.paused) + self.troubles

    @property
    def stuck(self) -> int:
        return self.stuck_files + self.stuck_sessions

    @property
    def fine(self) -> bool:
        return not (
            self.too_old
            or self.held
            or self.stuck
            or self.rows_without_owner
            or self.incidents
            or self.unwalked
            or self.away
            or self.disk_full
        )


def check(
    ledger: Ledger, *, max_age: timedelta = _DAY, stuck_after: timedelta = timedelta(minutes=10)
) -> Check:
    """Look at what is too old, held, or overdue by more than `stuck_after` although nobody works on it."""
    with ledger.reading() as connection:
        now = ledger.now(connection)
        oldest = connection.scalar(
            select(items.c.created_at).where(items.c.open == OPEN).order_by(items.c.created_at).limit(1)
        )
        return Check(
            now=now,
            oldest_unsent=oldest,
            waiting=_count(connection, items, items.c.open == OPEN, _FREE),
            held_files=_count(connection, items, items.c.open == OPEN, ~_FREE),
            held_sessions=_count(connection, sessions, sessions.c.hold.is_not(None)),
            paused=tuple(
                connection.scalars(
                    select(endpoints.c.name)
                    .where(endpoints.c.paused_by.is_not(None))
                    .order_by(endpoints.c.name)
                )
            ),
            troubles=_count(connection, datasets, TROUBLE, datasets.c.gone_at.is_(None)),
            stuck_files=_stuck_files(connection, now, now - stuck_after),
            stuck_sessions=_stuck_sessions(connection, now, now - stuck_after),
            too_old=oldest is not None and now - oldest > max_age,
            rows_without_owner=rows_without_owner(connection, now),
            incidents=incidents.for_a_person(connection),
            versions=crew.versions(connection, now),
            disk_full=_disk_full(ledger),
        )


def _disk_full(ledger: Ledger) -> str | None:
    try:
        ledger.ensure_room()
    except LedgerDiskFull as error:
        return f"[{error.code}] {error.sentence}"
    return None


def _count(connection: Connection, table: Any, *conditions: ColumnElement[bool]) -> int:
    return connection.scalar(select(func.count()).select_from(table).where(*conditions)) or 0


def kept_back(now: datetime, *names: Any) -> ColumnElement[bool]:
    """The condition that a person paused one of these endpoints, or that it failed and waits."""
    return exists().where(
        endpoints.c.name.in_(names),
        or_(endpoints.c.paused_by.is_not(None), endpoints.c.retry_at > now),
    )


def _stuck_sessions(connection: Connection, now: datetime, before: datetime) -> int:
    return _count(
        connection,
        sessions,
        sessions.c.not_before < before,
        sessions.c.hold.is_(None),
        free(sessions, now),
        ~kept_back(now, sessions.c.source, ALYX),
    )


def _stuck_files(connection: Connection, now: datetime, before: datetime) -> int:
    """Open files beyond their time; a session that is due itself is counted once, as a session."""
    unvisited = and_(
        sessions.c.not_before.is_(None),
        sessions.c.hold.is_(None),
        free(sessions, now),
        ~kept_back(now, sessions.c.source, ALYX),
    )
    unplanned = items.c.batch.is_(None)
    untaken = and_(
        free(batches, now),
        or_(batches.c.not_before.is_(None), batches.c.not_before < before),
        ~kept_back(now, batches.c.source, batches.c.target),
        or_(items.c.status.in_(WITHOUT_ALYX), ~kept_back(now, ALYX)),
    )
    query = (
        select(func.count())
        .select_from(items)
        .join(copies, copies.c.id == items.c.copy)
        .join(datasets, datasets.c.id == copies.c.dataset)
        .join(sessions, sessions.c.id == datasets.c.session)
        .outerjoin(batches, batches.c.id == items.c.batch)
        .where(
            items.c.open == OPEN,
            _FREE,
            items.c.not_before < before,
            or_(
                and_(items.c.status == Status.DISCOVERED, unvisited),
                and_(items.c.status != Status.DISCOVERED, unplanned),
                and_(items.c.batch.is_not(None), untaken),
            ),
        )
    )
    return connection.scalar(query) or 0
