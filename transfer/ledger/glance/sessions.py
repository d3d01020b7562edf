"""Sessions and their files, page by page."""

import sys
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from sqlalchemy import ColumnElement, Select, and_, exists, select, tuple_

from transfer.errors import NothingFound
from transfer.ledger.files import HELD as FILE_IS_HELD
from transfer.ledger.files import FileRow, page_of_files
from transfer.ledger.glance.pages import Page, cursor, number, paged, parsed
from transfer.ledger.ledger import Ledger
from transfer.ledger.reports import NEWEST, NEWEST_OF_FEW, SessionRow, session_rows
from transfer.ledger.scopes import with_open_items
from transfer.ledger.tables import OPEN, copies, datasets, items
from transfer.ledger.tables import sessions as table


class State(StrEnum):
    """What a session is asked for by."""

    MOVING = "moving"  # files of it wait or move
    HELD = "held"  # it, or a file of it, waits for a person
    ARRIVED = "arrived"  # all that can arrive has arrived
    NEW = "new"  # seen and not yet complete: no file of it is known


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """Which sessions; None takes all.  `subject` is its beginning."""

    lab: str | None = None
    subject: str | None = None
    since: date | None = None
    until: date | None = None
    state: State | None = None


def sessions(
    ledger: Ledger, wanted: Wanted, *, after: str | None = None, limit: int = 50
) -> Page[SessionRow]:
    """The newest first.  Raises `NothingFound` for a cursor of another list."""
    conditions = [*_conditions(wanted), *([_after(after)] if after is not None else [])]
    order = NEWEST_OF_FEW if wanted.state in _FEW else NEWEST
    rows = session_rows(ledger, conditions, limit=limit + 1, order=order)
    return paged(rows, limit, lambda last: cursor(last.date.isoformat(), last.id))


def _after(cursor: str) -> ColumnElement[bool]:
    day, row = parsed(cursor, 2)
    try:
        return tuple_(table.c.date, table.c.id) < tuple_(date.fromisoformat(day), number(row))
    except ValueError as error:
        do = "Begin with the first page."
        raise NothingFound("this is no cursor of this list", to=cursor, do=do) from error


def _conditions(wanted: Wanted) -> list[ColumnElement[bool]]:
    return [
        *([table.c.lab == wanted.lab] if wanted.lab is not None else []),
        *([_begins(wanted.subject)] if wanted.subject else []),
        *([table.c.date >= wanted.since] if wanted.since is not None else []),
        *([table.c.date <= wanted.until] if wanted.until is not None else []),
        *([_state(wanted.state)] if wanted.state is not None else []),
    ]


def _begins(subject: str) -> ColumnElement[bool]:
    """As a range, which the index serves: the column is compared letter by letter on every database."""
    behind = behind_all(subject)
    return and_(table.c.subject >= subject, *([table.c.subject < behind] if behind is not None else []))


_SURROGATES = range(0xD800, 0xE000)  # no letters: no database takes them


def behind_all(beginning: str) -> str | None:
    """The first text behind all that begin so; None where nothing is behind them."""
    kept = beginning.rstrip(chr(sys.maxunicode))
    if not kept:
        return None
    letter = ord(kept[-1]) + 1
    return kept[:-1] + chr(_SURROGATES.stop if letter in _SURROGATES else letter)


_FEW = (State.MOVING, State.HELD)
_HELD = table.alias("held")


def _state(state: State) -> ColumnElement[bool]:
    match state:
        case State.MOVING:
            waits = and_(items.c.open == OPEN, items.c.hold.is_(None))
            return table.c.id.in_(_sessions_with(waits))
        case State.HELD:
            itself = select(_HELD.c.id).where(_HELD.c.hold.is_not(None))
            return table.c.id.in_(itself.union(_sessions_with(FILE_IS_HELD)))
        case State.ARRIVED:
            # Session by session, the newest first: few are looked at before a page is full.
            anything = exists().where(datasets.c.session == table.c.id, copies.c.dataset == datasets.c.id)
            return and_(
                table.c.complete_at.is_not(None), table.c.hold.is_(None), anything, ~with_open_items()
            )
        case State.NEW:
            return table.c.complete_at.is_(None)


def _sessions_with(which: ColumnElement[bool]) -> Select[tuple[int]]:
    """Beginning with the few items that are open, which an index of their own finds."""
    return (
        select(datasets.c.session)
        .select_from(items)
        .join(copies, copies.c.id == items.c.copy)
        .join(datasets, datasets.c.id == copies.c.dataset)
        .where(which)
    )


def files(
    ledger: Ledger,
    *,
    session: int | None = None,
    batch: int | None = None,
    status: str | None = None,
    held: bool = False,
    after: str | None = None,
    limit: int = 100,
) -> Page[FileRow]:
    """Files in the order they were found: of a session, of a batch, at a status, or held; at least one is named."""
    last = None
    if after is not None:
        dataset, item = parsed(after, 2)
        last = (number(dataset), number(item))
    rows = page_of_files(
        ledger, session=session, batch=batch, status=status, held=held, after=last, limit=limit + 1
    )
    return paged(rows, limit, lambda row: cursor(row.id, row.item or 0))
