"""Copies that were proved again after they had arrived, and those that wait for it."""

import hashlib
import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import PurePosixPath
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, exists, func, insert, select

from transfer.ledger.ledger import Ledger
from transfer.ledger.standing import StandingCopy
from transfer.ledger.tables import copies, datasets, items, receipts
from transfer.status import Condition, Proof


def unflushed(ledger: Ledger, store: str, *, older_than: timedelta, limit: int) -> list[StandingCopy]:
    """Copies at `store` that arrived at least `older_than` ago and were not proved again since."""
    audited = exists().where(
        receipts.c.copy == copies.c.id, receipts.c.kind == "audit", receipts.c.proved_at >= copies.c.proved_at
    )
    with ledger.reading() as connection:
        old = copies.c.proved_at <= ledger.now(connection) - older_than
        return _present(connection, store, old, ~audited, order=copies.c.proved_at, limit=limit)


def least_proved(ledger: Ledger, store: str, *, limit: int) -> list[StandingCopy]:
    """Copies at `store` that were not proved for the longest time, those first."""
    audited = select(func.max(receipts.c.proved_at)).where(
        receipts.c.copy == copies.c.id, receipts.c.kind == "audit"
    )
    last = func.coalesce(audited.scalar_subquery(), copies.c.proved_at)
    with ledger.reading() as connection:
        return _present(connection, store, order=last, limit=limit)


def present_of(
    ledger: Ledger, store: str, *, session: int | None = None, dataset: int | None = None
) -> list[StandingCopy]:
    """The copies at `store` of one session, or of one dataset, by their rows' numbers."""
    condition = datasets.c.session == session if session is not None else datasets.c.id == dataset
    with ledger.reading() as connection:
        return _present(connection, store, condition, order=copies.c.path)


def _present(
    connection: Connection,
    store: str,
    *conditions: ColumnElement[bool],
    order: ColumnElement[Any],
    limit: int | None = None,
) -> list[StandingCopy]:
    """Copies that stand at `store` and that nobody moves now."""
    owned = exists().where(and_(items.c.copy == copies.c.id, items.c.open == 1))
    rows = connection.execute(
        select(copies, datasets.c.session, datasets.c.dataset_uuid)
        .join(datasets, datasets.c.id == copies.c.dataset)
        .where(copies.c.repository == store, copies.c.condition == Condition.PRESENT, *conditions, ~owned)
        .order_by(order, copies.c.id)
        .limit(limit)
    ).all()
    return [
        StandingCopy(
            id=row.id,
            session=row.session,
            dataset_uuid=row.dataset_uuid,
            record_uuid=row.record_uuid,
            path=PurePosixPath(row.path) if row.path else None,
            md5=row.proved_md5,
            size=row.proved_size,
            owned=False,
        )
        for row in rows
    ]


def passed(ledger: Ledger, proved: Sequence[StandingCopy], *, via: str = "store") -> None:
    """Write an audit receipt for each copy that was read back, from the store or over "http", and was right."""
    if not proved:
        return
    with ledger.unguarded() as tx:
        rows = []
        for copy in proved:
            facts = {
                "dataset": str(copy.dataset_uuid),
                "kind": "audit",
                "md5": copy.md5,
                "path": str(copy.path),
                "proof": Proof.READ_BACK,
                "proved_at": tx.now.isoformat(),
                "size": copy.size,
                "via": via,
            }
            body = json.dumps(facts, sort_keys=True, separators=(",", ":"))
            rows.append(
                {
                    "copy": copy.id,
                    "kind": "audit",
                    "md5": copy.md5,
                    "size": copy.size,
                    "proof": Proof.READ_BACK,
                    "proved_at": tx.now,
                    "read_back_at": tx.now,
                    "body": body,
                    "sha256_of_body": hashlib.sha256(body.encode()).hexdigest(),
                }
            )
        tx.connection.execute(insert(receipts), rows)
