"""Closing items that a person gave up.  The caller holds the lease and has read the central records.

Held items are closed as well: most that are given up were held first.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import bindparam, select, update

from transfer.errors import LostRace
from transfer.ledger import rows
from transfer.ledger.guarded import Guarded, chunks
from transfer.ledger.leases import Kind, Lease, take
from transfer.ledger.ledger import Ledger
from transfer.ledger.tables import OPEN, batches, items, sessions
from transfer.model import Item
from transfer.status import Status

_CLOSE = (
    update(items)
    .where(items.c.id == bindparam("_id"), items.c.status == bindparam("_was"), items.c.open == OPEN)
    .values(status=Status.ABANDONED, open=None, hold=None, hold_text=None, since=bindparam("_now"))
)


def open_item_rows(ledger: Ledger, *conditions: Any) -> list[Item]:
    """Open items as they stand now, held ones too."""
    with ledger.reading() as connection:
        found = connection.execute(rows.ITEMS.where(items.c.open == OPEN, *conditions).order_by(items.c.id))
        return [rows.item(row) for row in found]


@contextmanager
def leased(ledger: Ledger, kind: Kind, subject: int, *, seconds: float) -> Iterator[Lease]:
    """The lease of one session or batch, whether due or not.  Raises `LostRace` when somebody holds it."""
    lease = Lease(kind, subject, seconds=seconds)
    table = sessions if kind == "session" else batches
    with ledger.writing() as connection:
        if not take(connection, lease, ledger.now(connection)):
            holder = connection.execute(
                select(table.c.lease_holder, table.c.lease_until).where(table.c.id == subject)
            ).one()
            raise LostRace(
                f"held by {holder.lease_holder} until {holder.lease_until:%Y-%m-%d %H:%M:%SZ}",
                to=f"{kind} {subject}",
                do="Try again once that worker is done.",
            )
    try:
        yield lease
    finally:
        ledger.release(lease)


def close_abandoned(tx: Guarded, given_up: Sequence[Item], *, why: str) -> list[Item]:
    """Close items as ABANDONED; answers those that still stood as the caller saw them."""
    standing: dict[int, str] = {}
    for ids in chunks([item.id for item in given_up]):
        found = tx.connection.execute(
            select(items.c.id, items.c.status)
            .where(items.c.id.in_(ids), items.c.open == OPEN)
            .with_for_update(of=items)
        )
        standing.update((row.id, row.status) for row in found)
    ours = [item for item in given_up if standing.get(item.id) == item.status]
    if ours:
        tx.connection.execute(
            _CLOSE, [{"_id": item.id, "_was": item.status, "_now": tx.now} for item in ours]
        )
        tx.log("item", [(item.id, "moved", item.status, Status.ABANDONED, why) for item in ours])
    return ours
