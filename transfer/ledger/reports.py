"""The ledger's read-only questions: what stands where, what waits, what is held, what is wrong.

Each answers frozen values from one short reading transaction and locks nothing.  Lists are bounded by
`limit` and stable from page to page.  Nothing here decides anything: `transfer.progress` explains.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Select, and_, case, func, select

from transfer.ledger.ledger import Ledger
from transfer.ledger.tables import copies, datasets, endpoints, items
from transfer.ledger.tables import sessions as session_table
from transfer.status import ENDS, OPEN, Status

UNREGISTRABLE = "unregistrable"  # Alyx cannot know the file, or it cannot be read: no item exists
GONE = "gone"  # it left the lab before anything was sent
UNKNOWN_YET = "found"  # written down and nothing more: its version has no item of its own

_AT_ONCE = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class FileRow:
    """One file of a session and its newest item.

    `relative_path` is relative to the session, `target` to the store's root.  `status` is the item's, or
    `unregistrable`, `gone` or `found` where there is no item to speak of.  `unregistrable` beginning with
    `[E-` is trouble that somebody can cure.
    """

    id: int
    source: str
    session: str
    relative_path: str
    dataset: UUID | None
    status: str
    hold: str | None
    hold_text: str | None
    not_before: datetime | None
    proof: str | None
    target: str | None
    store: str | None
    size: int
    md5: str | None
    tries: int
    error: str | None
    error_text: str | None
    since: datetime | None
    item: int | None
    batch: int | None
    unregistrable: str | None
    gone_at: datetime | None


def _files() -> Select[Any]:
    newest = (
        select(func.max(items.c.id)).where(items.c.copy == copies.c.id).correlate(copies).scalar_subquery()
    )
    status = _status()
    return (
        select(
            datasets.c.id,
            session_table.c.source,
            session_table.c.path.label("session"),
            datasets.c.path.label("relative_path"),
            datasets.c.dataset_uuid.label("dataset"),
            status.label("status"),
            items.c.hold,
            items.c.hold_text,
            items.c.not_before,
            items.c.proof,
            copies.c.path.label("target"),
            copies.c.repository.label("store"),
            func.coalesce(items.c.size, datasets.c.size).label("size"),
            func.coalesce(items.c.md5, datasets.c.md5).label("md5"),
            func.coalesce(items.c.tries, 0).label("tries"),
            items.c.error,
            items.c.error_text,
            items.c.since,
            items.c.id.label("item"),
            items.c.batch,
            datasets.c.unregistrable,
            datasets.c.gone_at,
        )
        .select_from(datasets)
        .join(session_table, session_table.c.id == datasets.c.session)
        .outerjoin(
            copies, and_(copies.c.dataset == datasets.c.id, copies.c.repository != session_table.c.source)
        )
        .outerjoin(items, and_(items.c.copy == copies.c.id, items.c.id == newest))
    )


def _status() -> ColumnElement[str]:
    """The one word for a file: its item's status unless the file itself has become the news."""
    return case(
        (items.c.open == 1, items.c.status),
        (and_(datasets.c.gone_at.is_not(None), items.c.id.is_(None)), GONE),
        (datasets.c.unregistrable.is_not(None), UNREGISTRABLE),
        (items.c.id.is_not(None), items.c.status),
        else_=UNKNOWN_YET,
    )


def _file(row: Row[Any]) -> FileRow:
    return FileRow(**row._mapping)


def files(
    ledger: Ledger,
    *,
    session: int | None = None,
    dataset: int | None = None,
    status: str | None = None,
    held: bool | None = None,
    limit: int = _AT_ONCE,
    offset: int = 0,
) -> list[FileRow]:
    """Files with their newest item, in the order they were found.

    `session` and `dataset` are row numbers.  `held` False leaves held files out, None takes all.
    """
    query = _files()
    if session is not None:
        query = query.where(datasets.c.session == session)
    if dataset is not None:
        query = query.where(datasets.c.id == dataset)
    if status is not None:
        query = query.where(_standing(status))
    if held:
        query = query.where(_HELD)
    elif held is False:
        query = query.where(items.c.hold.is_(None))
    query = query.order_by(datasets.c.id, copies.c.id).limit(limit).offset(offset)
    with ledger.reading() as connection:
        return [_file(row) for row in connection.execute(query)]


_HELD = and_(items.c.open == 1, items.c.hold.is_not(None))


def _standing(status: str) -> ColumnElement[bool]:
    if status in OPEN:
        return and_(items.c.open == 1, items.c.status == status)  # the partial indexes answer it
    if status in ENDS:
        return and_(items.c.open.is_(None), items.c.status == status, _status() == status)
    return _status() == status


def troubles(ledger: Ledger, *, limit: int = _AT_ONCE) -> list[FileRow]:
    """Files that cannot move for a reason somebody can cure: unreadable, a link, gone although Alyx lists it."""
    query = _files().where(_TROUBLED).order_by(datasets.c.id, copies.c.id).limit(limit)
    with ledger.reading() as connection:
        return [_file(row) for row in connection.execute(query)]


_TROUBLE = datasets.c.unregistrable.startswith("[E-")
_TROUBLED = and_(_TROUBLE, datasets.c.gone_at.is_(None))


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
            func.sum(case((_TROUBLE, 1), else_=0)).label("troubles"),
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


_SESSION_FIELDS = (
    session_table.c.id,
    session_table.c.path.label("session"),
    session_table.c.source,
    session_table.c.lab,
    session_table.c.eid,
    session_table.c.complete_at,
    session_table.c.looked_at,
    session_table.c.not_before,
    session_table.c.hold,
    session_table.c.hold_text,
    session_table.c.error_text,
)


def sessions(
    ledger: Ledger, *, session: int | None = None, held: bool = False, limit: int = 50, offset: int = 0
) -> list[SessionRow]:
    """Sessions, the newest first; with `held` those that are held or have a held file."""
    conditions: list[ColumnElement[bool]] = []
    if session is not None:
        conditions.append(session_table.c.id == session)
    if held:
        holding = select(datasets.c.session).join(copies).join(items).where(_HELD)
        conditions.append(session_table.c.hold.is_not(None) | session_table.c.id.in_(holding))
    return _sessions(ledger, conditions, limit=limit, offset=offset)


def _sessions(
    ledger: Ledger, conditions: Sequence[ColumnElement[bool]], *, limit: int, offset: int = 0
) -> list[SessionRow]:
    query = select(*_SESSION_FIELDS).where(*conditions)
    query = query.order_by(session_table.c.date.desc(), session_table.c.id.desc()).limit(limit).offset(offset)
    with ledger.reading() as connection:
        found = connection.execute(query).all()
        counts = {row.id: row for row in connection.execute(_counts([row.id for row in found]))}
    return [SessionRow(**row._mapping, **_counted(counts.get(row.id))) for row in found]


def _counts(ids: list[int]) -> Select[Any]:
    """The counts of these sessions' files, by session."""
    files = _files().where(datasets.c.session.in_(ids)).add_columns(datasets.c.session.label("of")).subquery()
    is_open = files.c.status.in_(OPEN)
    is_held = and_(is_open, files.c.hold.is_not(None))
    waits = and_(is_open, files.c.hold.is_(None))

    def number(condition: ColumnElement[bool]) -> ColumnElement[int]:
        return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)

    return select(
        files.c.of.label("id"),
        number(files.c.status != GONE).label("files"),
        number(files.c.status == Status.RECORDED).label("recorded"),
        number(waits).label("waiting"),
        number(is_held).label("held"),
        number(files.c.status == UNREGISTRABLE).label("unregistrable"),
        func.coalesce(func.sum(case((files.c.status != GONE, files.c.size), else_=0)), 0).label("bytes"),
        func.coalesce(func.sum(case((is_open, files.c.size), else_=0)), 0).label("bytes_waiting"),
    ).group_by(files.c.of)


def _counted(row: Row[Any] | None) -> Mapping[str, int]:
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


def held(ledger: Ledger, *, limit: int = _AT_ONCE) -> Held:
    """What waits for a person, at most `limit` of each kind."""
    return Held(
        files=tuple(files(ledger, held=True, limit=limit)),
        sessions=tuple(_sessions(ledger, [session_table.c.hold.is_not(None)], limit=limit)),
        endpoints=tuple(row for row in kept_back(ledger) if row.paused_by),
        troubles=tuple(troubles(ledger, limit=limit)),
    )
