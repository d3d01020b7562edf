"""Opening batches: REGISTERED items get their place at the store and travel together from now on.

A first scan of a year's sessions plans a hundred thousand items, so whole batches are written by one statement each.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    String,
    Text,
    Update,
    bindparam,
    cast,
    func,
    insert,
    literal,
    null,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY

from transfer import planning
from transfer.errors import UntrustedPath
from transfer.ledger.guarded import Guarded, chunks
from transfer.ledger.tables import batches, copies, events, items
from transfer.model import Item, Route
from transfer.status import Status


def hold_taken(tx: Guarded, route: Route, found: Sequence[Item]) -> dict[int, str]:
    """Hold items whose place at the store is another copy's; answers the places of the others, by item.

    It happens when two lab repositories hold one session and one dataset of it; one such item must not stop
    the planning of all.
    """
    places = {item.id: str(planning.target_path(item)) for item in found}
    owners = {places[item.id]: item.copy for item in reversed(found)}
    for among_them in _among(tx, copies.c.path, list(owners)):
        taken = select(copies.c.path, copies.c.id).where(copies.c.repository == route.target, among_them)
        owners.update((row.path, row.id) for row in tx.connection.execute(taken))
    others = [item for item in found if owners[places[item.id]] != item.copy]
    tx.hold(
        [
            (item, UntrustedPath("another copy has this place at the store", to=places.pop(item.id)))
            for item in others
        ]
    )
    return places


def place(tx: Guarded, members: Sequence[Item], places: Mapping[int, str]) -> None:
    """Write down where the store will keep these: the path carries the dataset's uuid."""
    rows = [{"_id": item.copy, "_path": places[item.id]} for item in members]
    if tx.connection.dialect.name == "postgresql":
        ids, paths = [row["_id"] for row in rows], [row["_path"] for row in rows]
        tx.connection.execute(_AT_ONCE, {"_ids": ids, "_paths": paths})
    elif rows:
        tx.connection.execute(_ONE_BY_ONE, rows)


def open_batch(tx: Guarded, route: Route, members: Sequence[Item], *, priority: int = 0) -> int:
    """Make a batch of these items, which the transaction has locked and placed; answers its id."""
    made = tx.connection.execute(
        insert(batches).values(
            source=route.source,
            target=route.target,
            transport=route.transport,
            files=len(members),
            bytes=sum(item.size for item in members),
            priority=priority,
        )
    )
    assert made.inserted_primary_key is not None
    batch = int(made.inserted_primary_key[0])
    _join(tx, batch, members)
    return batch


def _join(tx: Guarded, batch: int, members: Sequence[Item]) -> None:
    """REGISTERED -> PLANNED, with an event for each."""
    joined = {"status": Status.PLANNED, "batch": batch, "since": tx.now}
    for among_them in _among(tx, items.c.id, [item.id for item in members]):
        tx.connection.execute(
            update(items)
            .where(among_them, items.c.status == Status.REGISTERED)
            .values(**joined, partial=None, attempt=None, proof=None, proved_at=None)
        )
    told: dict[str, Any] = {
        "at": literal(tx.now, events.c.at.type),
        "subject": literal("item"),
        "subject_id": cast(items.c.id, String),
        "what": literal("moved"),
        "was": literal(str(Status.REGISTERED)),
        "became": literal(str(Status.PLANNED)),
        "actor": literal(tx.actor),
        "detail": null(),
    }
    members_now = select(*told.values()).where(items.c.batch == batch).order_by(items.c.id)
    tx.connection.execute(insert(events).from_select(list(told), members_now))


def _among(tx: Guarded, column: Column[Any], values: Sequence[Any]) -> Iterator[ColumnElement[bool]]:
    """The condition that `column` is one of these, in as few pieces as the database takes."""
    if tx.connection.dialect.name == "postgresql":
        yield column == func.any(literal(values, ARRAY(column.type)))
    else:
        yield from (column.in_(some) for some in chunks(values))


_ONE_BY_ONE: Update = update(copies).where(copies.c.id == bindparam("_id")).values(path=bindparam("_path"))
_given = (
    func.unnest(bindparam("_ids", type_=ARRAY(BigInteger)), bindparam("_paths", type_=ARRAY(Text)))
    .table_valued("id", "path", name="given")
    .render_derived()
)
_AT_ONCE: Update = update(copies).where(copies.c.id == _given.c.id).values(path=_given.c.path)
