"""The ledger's read-only questions: what stands where, what waits, what is held, what cannot move.

Each answers frozen values from one short reading transaction and locks nothing.  Lists are bounded by
`limit` and stable from page to page.  Nothing here decides anything: `transfer.progress` explains.
`files` are in a module of their own and offered here too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Select, and_, case, func, select

from transfer.ledger.files import (
    GONE,
    HELD,
    PAGE,
    TROUBLE,
    UNREGISTRABLE,
    FileRow,
    file_query,
    files,
    troubles,
)
from transfer.ledger.guarded import chunks
from transfer.ledger.health import Check, RouteRow, check, summary
from transfer.ledger.ledger import Ledger
from transfer.ledger.sums import number
from transfer.ledger.tables import copies, datasets, endpoints, items
from transfer.ledger.tables import sessions as session_table
from transfer.status import OPEN, Status

__all__ = [
    "Check",
    "EndpointRow",
    "FileRow",
    "Held",
    "RouteRow",
    "SessionRow",
    "UnregistrableRow",
    "check",
    "files",
    "held",
    "kept_back",
    "sessions",
    "summary",
    "troubles",
    "unregistrable",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class UnregistrableRow:
    """How many files of one session Alyx cannot know; `troubles` of them somebody can cure."""

    session: str
    files: int
    troubles: int
    example: str
    reason: str


def unregistrable(ledger: Ledger, *, limit: int = 100) -> list[UnregistrableRow]:
    """Per session, those with most first."""
    some = datasets.c.unregistrable.is_not(None) & datasets.c.gone_at.is_(None)
    count = func.count()
    query = (
        select(
            session_table.c.path.label("session"),
            count.label("files"),
            func.sum(case((TROUBLE, 1), else_=0)).label("troubles"),
            func.min(datasets.c.path).label("example"),
            func.min(datasets.c.unregistrable).label("reason"),
        )
        .join(session_table, session_table.c.id == datasets.c.session)
        .where(some)
        .group_by(session_table.c.id, session_table.c.path)
        .order_by(count.desc(), session_table.c.id)
        .limit(limit)
    )
    with ledger.reading() as connection:
        return [UnregistrableRow(**row._mapping) for row in connection.execute(query)]


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionRow:
    """One session and how many of its files stand where.  `waiting` and `held` exclude one another."""

    id: int
    session: str
    date: date
    source: str
    lab: str
    eid: UUID | None
    complete_at: datetime | None
    looked_at: datetime | None
    not_before: datetime | None
    hold: str | None
    hold_text: str | None
    error_text: str | None
    files: int
    recorded: int
    waiting: int
    held: int
    unregistrable: int
    bytes: int
    bytes_waiting: int
    priority: int  # a person's word: the highest goes first


_SESSION_FIELDS = (
    session_table.c.id,
    session_table.c.path.label("session"),
    session_table.c.date,
    session_table.c.source,
    session_table.c.lab,
    session_table.c.eid,
    session_table.c.complete_at,
    session_table.c.looked_at,
    session_table.c.not_before,
    session_table.c.hold,
    session_table.c.hold_text,
    session_table.c.error_text,
    session_table.c.priority,
)


def sessions(
    ledger: Ledger, *, session: int | None = None, held: bool = False, limit: int = 50, offset: int = 0
) -> list[SessionRow]:
    """Sessions, the newest first; with `held` those that are held or have a held file."""
    conditions: list[ColumnElement[bool]] = []
    if session is not None:
        conditions.append(session_table.c.id == session)
    if held:
        holding = (
            select(datasets.c.session)
            .join(copies, copies.c.dataset == datasets.c.id)
            .join(items, items.c.copy == copies.c.id)
            .where(HELD)
        )
        conditions.append(session_table.c.hold.is_not(None) | session_table.c.id.in_(holding))
    return session_rows(ledger, conditions, limit=limit, offset=offset)


NEWEST = (session_table.c.date.desc(), session_table.c.id.desc())
"""The newest first, read from the index of the days as far as a page goes."""

NEWEST_OF_FEW = (func.coalesce(session_table.c.date, session_table.c.date).desc(), session_table.c.id.desc())
"""The same order, sorted by no index: conditions that leave few find these, and no session beside them is read."""


def session_rows(
    ledger: Ledger,
    conditions: Sequence[ColumnElement[bool]],
    *,
    limit: int,
    offset: int = 0,
    order: Sequence[ColumnElement[Any]] = NEWEST,
) -> list[SessionRow]:
    """Sessions that fit these conditions, the newest first, by one of the orders above."""
    query = select(*_SESSION_FIELDS).where(*conditions).order_by(*order).limit(limit).offset(offset)
    with ledger.reading() as connection:
        found = connection.execute(query).all()
        counts: dict[int, Row[Any]] = {}
        for ids in chunks([row.id for row in found]):
            counts.update((row.id, row) for row in connection.execute(_counts(ids)))
    return [SessionRow(**row._mapping, **_counted(counts.get(row.id))) for row in found]


def _counts(ids: Sequence[int]) -> Select[Any]:
    """The counts of these sessions' files, by session."""
    files = (
        file_query().where(session_table.c.id.in_(ids)).add_columns(session_table.c.id.label("of")).subquery()
    )
    is_open = files.c.status.in_(OPEN)
    is_held = and_(is_open, files.c.hold.is_not(None))
    waits = and_(is_open, files.c.hold.is_(None))

    return select(
        files.c.of.label("id"),
        number(files.c.status != GONE).label("files"),
        number(files.c.status == Status.RECORDED).label("recorded"),
        number(waits).label("waiting"),
        number(is_held).label("held"),
        number(files.c.status == UNREGISTRABLE).label("unregistrable"),
        number(files.c.status != GONE, files.c.size).label("bytes"),
        number(is_open, files.c.size).label("bytes_waiting"),
    ).group_by(files.c.of)


def _counted(row: Row[Any] | None) -> dict[str, Any]:
    names = ("files", "recorded", "waiting", "held", "unregistrable", "bytes", "bytes_waiting")
    return {name: int(getattr(row, name)) if row is not None else 0 for name in names}


@dataclass(frozen=True, kw_only=True, slots=True)
class EndpointRow:
    """An endpoint that is not used now, and why."""

    name: str
    paused_by: str | None
    pause_reason: str | None
    retry_at: datetime | None
    failures: int


def kept_back(ledger: Ledger) -> list[EndpointRow]:
    """Endpoints a person paused, or that failed and are tried again later."""
    with ledger.reading() as connection:
        now = ledger.now(connection)
        rows = connection.execute(
            select(
                endpoints.c.name,
                endpoints.c.paused_by,
                endpoints.c.pause_reason,
                endpoints.c.retry_at,
                endpoints.c.failures,
            )
            .where(endpoints.c.paused_by.is_not(None) | (endpoints.c.retry_at > now))
            .order_by(endpoints.c.name)
        )
        return [EndpointRow(**row._mapping) for row in rows]


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """Everything that waits for a person."""

    files: tuple[FileRow, ...]
    sessions: tuple[SessionRow, ...]
    endpoints: tuple[EndpointRow, ...]
    troubles: tuple[FileRow, ...]

    def __bool__(self) -> bool:
        return bool(self.files or self.sessions or self.endpoints or self.troubles)


def held(ledger: Ledger, *, limit: int = PAGE) -> Held:
    """What waits for a person, at most `limit` of each kind."""
    return Held(
        files=tuple(files(ledger, held=True, limit=limit)),
        sessions=tuple(session_rows(ledger, [session_table.c.hold.is_not(None)], limit=limit)),
        endpoints=tuple(row for row in kept_back(ledger) if row.paused_by),
        troubles=tuple(troubles(ledger, limit=limit)),
    )
