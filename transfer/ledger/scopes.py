"""Which rows of the ledger a person's target means, and what an action answers."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Select, exists, select

from transfer.ledger.finding import Target
from transfer.ledger.guarded import Guarded
from transfer.ledger.tables import OPEN, copies, datasets, items, sessions

CANCELLED = "cancelled"
PAUSED = "paused"
Conditions = Sequence[ColumnElement[bool]]


@dataclass(slots=True)
class Done:
    """What an action changed; all empty when it found everything as asked."""

    items: list[int] = field(default_factory=list)
    sessions: list[int] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)
    endpoints: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.items or self.sessions or self.batches or self.endpoints)


def open_items(*columns: Any) -> Select[Any]:
    """Ids of open items, with `columns`, beside their file and session.  The rows are locked until commit."""
    return (
        select(items.c.id, *columns)
        .join(copies, copies.c.id == items.c.copy)
        .join(datasets, datasets.c.id == copies.c.dataset)
        .join(sessions, sessions.c.id == datasets.c.session)
        .where(items.c.open == OPEN)
        .with_for_update(of=items)
    )


def items_of(target: Target) -> list[ColumnElement[bool]]:
    match target.kind:
        case "file":
            return [datasets.c.id == target.row]
        case "session":
            return [datasets.c.session == target.row]
        case "batch":
            return [items.c.batch == target.row]
        case _:
            return [sessions.c.lab == target.name]


def sessions_of(target: Target) -> list[ColumnElement[bool]] | None:
    """The sessions meant as such; None where only files are meant."""
    match target.kind:
        case "session":
            return [sessions.c.id == target.row]
        case "lab":
            return [sessions.c.lab == target.name]
        case _:
            return None


def with_open_items() -> ColumnElement[bool]:
    """The condition that a file of the session is on its way, also in a query that joins items by itself."""
    files = exists().where(
        datasets.c.session == sessions.c.id,
        copies.c.dataset == datasets.c.id,
        items.c.copy == copies.c.id,
        items.c.open == OPEN,
    )
    return files.correlate(sessions)


def sessions_of_batch(target: Target) -> Select[Any]:
    return (
        select(datasets.c.session)
        .join(copies, copies.c.dataset == datasets.c.id)
        .join(items, items.c.copy == copies.c.id)
        .where(items.c.batch == target.row, items.c.open == OPEN)
    )


def tell(
    tx: Guarded, subject: str, lines: Sequence[tuple[object, str, str | None, str | None, str | None]]
) -> None:
    """Events, if there is anything to tell."""
    if lines:
        tx.log(subject, lines)
