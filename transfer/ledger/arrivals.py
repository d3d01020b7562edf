"""The last two writes of a journey, each in one guarded transaction.

PUBLISHED says what stands at the store now: whoever announces it later, or withdraws it, can be judged by that.
RECORDED comes with its receipt, the copy's new truth and the hour's sum, so a receipt exists exactly for the
arrivals that count.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, insert, update

from transfer.ledger.guarded import Guarded, Move
from transfer.ledger.hourly import ARRIVED, count
from transfer.ledger.tables import copies, receipts
from transfer.model import Item
from transfer.status import Condition, Proof, Status


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrival:
    """One item whose central record was announced and read back at `read_back_at`."""

    item: Item
    read_back_at: datetime


_STANDS = (
    update(copies)
    .where(copies.c.id == bindparam("_id"))
    .values(
        proved_md5=bindparam("_md5"),
        proved_size=bindparam("_size"),
        proof=bindparam("_proof"),
        proved_at=bindparam("_proved_at"),
    )
)
_ARRIVED = _STANDS.values(announced=True, pending_at=None, condition=Condition.PRESENT)


def published(tx: Guarded, items: Sequence[Item]) -> list[Item]:
    """Move items to PUBLISHED and write what their copies hold now; answers those that were still ours."""
    moved = tx.move([Move(item=item, became=Status.PUBLISHED, proof=item.proof) for item in items])
    if moved:
        tx.connection.execute(_STANDS, [_standing(tx, item) for item in moved])
    return moved


def _standing(tx: Guarded, item: Item) -> dict[str, Any]:
    return {
        "_id": item.copy,
        "_md5": item.md5,
        "_size": item.size,
        "_proof": item.proof,
        "_proved_at": item.proved_at or tx.now,
    }


def recorded(tx: Guarded, arrivals: Sequence[Arrival]) -> list[Item]:
    """Close items as RECORDED; answers those that were still ours."""
    moved = tx.move([Move(item=one.item, became=Status.RECORDED, proof=one.item.proof) for one in arrivals])
    ours = {item.id for item in moved}
    facts = [one for one in arrivals if one.item.id in ours]
    if not facts:
        return []
    tx.connection.execute(_ARRIVED, [_standing(tx, one.item) for one in facts])
    tx.connection.execute(insert(receipts), [_receipt(tx, one) for one in facts])
    count(tx.connection, [one.item for one in facts], ARRIVED, now=tx.now)
    return moved


def _receipt(tx: Guarded, one: Arrival) -> dict[str, Any]:
    item = one.item
    proof = item.proof or Proof.NONE
    proved_at = item.proved_at or tx.now
    body = json.dumps(
        {
            "dataset": str(item.dataset_uuid),
            "kind": "arrival",
            "md5": item.md5,
            "path": str(item.target_path),
            "proof": proof,
            "proved_at": proved_at.isoformat(),
            "read_back_at": one.read_back_at.isoformat(),
            "record": str(item.record_uuid),
            "repository": item.target,
            "size": item.size,
            "source": str(item.source_path),
        },
        sort_keys=True,
        separators=(",", ":"),
    )
    return {
        "copy": item.copy,
        "item": item.id,
        "kind": "arrival",
        "md5": item.md5,
        "size": item.size,
        "proof": proof,
        "proved_at": proved_at,
        "read_back_at": one.read_back_at,
        "body": body,
        "sha256_of_body": hashlib.sha256(body.encode()).hexdigest(),
    }
