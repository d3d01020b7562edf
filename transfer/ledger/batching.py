"""Opening a batch: REGISTERED items get their place at the store and travel together from now on."""

from collections.abc import Sequence

from sqlalchemy import bindparam, insert, select, update

from transfer import planning
from transfer.errors import UntrustedPath
from transfer.ledger.guarded import Guarded, chunks
from transfer.ledger.tables import batches, copies, items
from transfer.model import Item, Route
from transfer.status import Status


def hold_taken(tx: Guarded, route: Route, found: Sequence[Item]) -> list[Item]:
    """Hold items whose place at the store is another copy's; answers the others.

    It happens when two lab repositories hold one session and one dataset of it; one such item must not stop
    the planning of all.
    """
    places = {str(planning.target_path(item)): item for item in reversed(found)}
    owners = {path: item.copy for path, item in places.items()}
    for some in chunks(list(places)):
        taken = select(copies.c.path, copies.c.id).where(
            copies.c.repository == route.target, copies.c.path.in_(some)
        )
        owners.update((row.path, row.id) for row in tx.connection.execute(taken))
    ours = [item for item in found if owners[str(planning.target_path(item))] == item.copy]
    others = [item for item in found if owners[str(planning.target_path(item))] != item.copy]
    tx.hold(
        [
            (item, UntrustedPath("another copy has this place at the store", to=planning.target_path(item)))
            for item in others
        ]
    )
    return ours


def open_batch(tx: Guarded, route: Route, members: Sequence[Item], *, priority: int = 0) -> int:
    """Make a batch of these items, which the transaction has locked; answers its id."""
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
    """REGISTERED -> PLANNED: the target path carries the dataset's uuid."""
    tx.connection.execute(
        update(copies).where(copies.c.id == bindparam("_id")).values(path=bindparam("_path")),
        [{"_id": item.copy, "_path": str(planning.target_path(item))} for item in members],
    )
    tx.connection.execute(
        update(items)
        .where(items.c.id == bindparam("_id"), items.c.status == Status.REGISTERED)
        .values(
            status=Status.PLANNED,
            batch=batch,
            since=tx.now,
            partial=None,
            attempt=None,
            proof=None,
            proved_at=None,
        ),
        [{"_id": item.id} for item in members],
    )
    tx.log("item", [(item.id, "moved", Status.REGISTERED, Status.PLANNED, None) for item in members])
