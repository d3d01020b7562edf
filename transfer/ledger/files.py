"""Files as reports show them: each with its newest item, or the word for why it has none.

A file has one row for each store that has, or should have, a copy of it: in practice one.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, FromClause, Row, Select, and_, case, func, or_, select, tuple_

from transfer.ledger.ledger import Ledger
from transfer.ledger.tables import OPEN as OPEN_ROW
from transfer.ledger.tables import copies, datasets, items, sessions
from transfer.status import OPEN

UNREGISTRABLE = "unregistrable"  # Alyx cannot know the file, or it cannot be read: no item exists
GONE = "gone"  # it left the lab before anything was sent
UNKNOWN_YET = "found"  # written down and nothing more: its version has no item of its own

PAGE = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class FileRow:
    """One file of a session and its newest item.

    `relative_path` is relative to the session, whose number is `session_id`, `target` to the store's root.
    `status` is the item's, or `unregistrable`, `gone` or `found` where there is no item to speak of.
    `unregistrable` beginning with `[E-` is trouble that somebody can cure.
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
    session_id: int

    @property
    def trouble(self) -> str | None:
        """Why the file cannot move as it is, where somebody can cure it; None for all others."""
        told = self.unregistrable
        return told if told and told.startswith("[E-") and self.gone_at is None else None


_CANNOT = datasets.c.unregistrable.is_not(None)

# The one word for a file: its item's status unless the file itself has become the news.
_STANDING: ColumnElement[Any] = case(
    (items.c.open == OPEN_ROW, items.c.status),
    (and_(datasets.c.gone_at.is_not(None), or_(items.c.id.is_(None), _CANNOT)), GONE),
    (_CANNOT, UNREGISTRABLE),
    (items.c.id.is_not(None), items.c.status),
    else_=UNKNOWN_YET,
)

_COLUMNS = (
    datasets.c.id,
    sessions.c.source,
    sessions.c.path.label("session"),
    datasets.c.path.label("relative_path"),
    datasets.c.dataset_uuid.label("dataset"),
    _STANDING.label("status"),
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
    datasets.c.session.label("session_id"),
)


def file_query() -> Select[Any]:
    """Every file beside its newest item."""
    newest = (
        select(func.max(items.c.id)).where(items.c.copy == copies.c.id).correlate(copies).scalar_subquery()
    )
    return (
        select(*_COLUMNS)
        .select_from(datasets)
        .join(sessions, sessions.c.id == datasets.c.session)
        .outerjoin(copies, and_(copies.c.dataset == datasets.c.id, copies.c.repository != sessions.c.source))
        .outerjoin(items, and_(items.c.copy == copies.c.id, items.c.id == newest))
    )


def item_query() -> Select[Any]:
    """Items beside their files: what is open or held is found by its index, not by reading every file."""
    return (
        select(*_COLUMNS)
        .select_from(items)
        .join(copies, copies.c.id == items.c.copy)
        .join(datasets, datasets.c.id == copies.c.dataset)
        .join(sessions, sessions.c.id == datasets.c.session)
    )


def _file(row: Row[Any]) -> FileRow:
    return FileRow(**row._mapping)


def files(
    ledger: Ledger,
    *,
    session: int | None = None,
    dataset: int | None = None,
    item: int | None = None,
    status: str | None = None,
    held: bool | None = None,
    limit: int = PAGE,
    offset: int = 0,
) -> list[FileRow]:
    """Files with their newest item, in the order they were found.

    `session`, `dataset` and `item` are row numbers; with `item` its file is shown beside that item.
    `held` False leaves held files out, None takes all.
    """
    by_item = item is not None or held or status in OPEN
    wanted = [
        *([datasets.c.session == session] if session is not None else []),
        *([datasets.c.id == dataset] if dataset is not None else []),
        *([items.c.id == item] if item is not None else []),
        *([_stands_at(status)] if status is not None else []),
        *([HELD] if held else [items.c.hold.is_(None)] if held is False else []),
    ]
    query = (item_query() if by_item else file_query()).where(*wanted)
    query = query.order_by(datasets.c.id, copies.c.id).limit(limit).offset(offset)
    with ledger.reading() as connection:
        return [_file(row) for row in connection.execute(query)]


def page_of_files(
    ledger: Ledger,
    *,
    session: int | None,
    batch: int | None,
    status: str | None,
    held: bool,
    after: tuple[int, int] | None,
    limit: int,
) -> list[FileRow]:
    """The files behind `after` (a file's number and its item's), by the numbers of both."""
    by_item = batch is not None or held or status in OPEN
    number = func.coalesce(items.c.id, 0)
    wanted = [
        *([datasets.c.session == session] if session is not None else []),
        *([items.c.batch == batch] if batch is not None else []),
        *([_stands_at(status)] if status is not None else []),
        *([HELD] if held else []),
        *([tuple_(datasets.c.id, number) > tuple_(*after)] if after is not None else []),
    ]
    query = (item_query() if by_item else file_query()).where(*wanted)
    with ledger.reading() as connection:
        return [_file(row) for row in connection.execute(query.order_by(datasets.c.id, number).limit(limit))]


HELD = and_(items.c.open == OPEN_ROW, items.c.hold.is_not(None))


def _stands_at(status: str) -> ColumnElement[bool]:
    if status in OPEN:
        return and_(items.c.open == OPEN_ROW, items.c.status == status)
    return _STANDING == status  # noqa: SIM300 - a column must stand on the left to make a condition


def troubles(ledger: Ledger, *, limit: int = PAGE) -> list[FileRow]:
    """Files that cannot move for a reason somebody can cure: unreadable, a link, gone although Alyx lists it."""
    # Found first, by the index of those that cannot move: to give their order, every file would be read.
    found = select(_other.c.id).where(trouble(_other), _other.c.gone_at.is_(None))
    query = file_query().where(datasets.c.id.in_(found)).order_by(datasets.c.id, copies.c.id).limit(limit)
    with ledger.reading() as connection:
        return [_file(row) for row in connection.execute(query)]


def trouble(table: FromClause) -> ColumnElement[bool]:
    """The condition that a row of `datasets` says why it cannot move, and that somebody can cure it."""
    return and_(table.c.unregistrable.is_not(None), table.c.unregistrable.startswith("[E-"))


TROUBLE = trouble(datasets)
_other = datasets.alias()
