"""The writes of a rebuild: sessions, datasets and copies as Alyx knows them, each copy with an item that proves it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from uuid import UUID

from sqlalchemy import func, insert, select, update

from transfer.ledger.guarded import Guarded
from transfer.ledger.ledger import Ledger
from transfer.ledger.tables import copies, datasets, items, sessions
from transfer.model import Lab
from transfer.status import Condition, Status

_WHY = "rebuilt from Alyx: what stands at the store is proved anew"


@dataclass(frozen=True, kw_only=True, slots=True)
class Remembered:
    """One dataset as Alyx has it.  `path` is relative to the session; sizes in bytes; md5 as 32 hex digits."""

    path: PurePosixPath
    uuid: UUID
    md5: str
    size: int
    lab_record: UUID | None
    store_record: UUID
    announced: bool


def remember(ledger: Ledger, lab: Lab, session: int, found: Sequence[Remembered]) -> int:
    """Write down what the ledger does not know of one session; answers how many files that were.

    What it knows already, and whatever moves, is left alone, so that a rebuild may be repeated.
    """
    with ledger.unguarded() as tx:
        known = set(tx.connection.scalars(select(datasets.c.path).where(datasets.c.session == session)))
        new = [one for one in found if str(one.path) not in known]
        if not new:
            return 0
        tx.connection.execute(insert(datasets), [_dataset(tx, session, one) for one in new])
        rows = tx.connection.execute(
            select(datasets.c.path, datasets.c.id).where(datasets.c.session == session)
        ).all()
        ids = {row.path: row.id for row in rows}
        tx.connection.execute(
            insert(copies), [row for one in new for row in _copies(lab, ids[str(one.path)], one)]
        )
        _open(tx, lab, {ids[str(one.path)]: one for one in new})
        complete = func.coalesce(sessions.c.complete_at, tx.now)
        tx.connection.execute(update(sessions).where(sessions.c.id == session).values(complete_at=complete))
    return len(new)


def _dataset(tx: Guarded, session: int, one: Remembered) -> dict[str, object]:
    """Its time is none that a file has: the next look at the lab hashes the file."""
    return {
        "session": session,
        "path": str(one.path),
        "dataset_uuid": one.uuid,
        "size": one.size,
        "mtime_ns": 0,
        "md5": one.md5,
        "registered_md5": one.md5,
        "registered_size": one.size,
        "registered_at": tx.now,
        "hash_origin": "alyx",
    }


def _copies(lab: Lab, dataset: int, one: Remembered) -> list[dict[str, object]]:
    return [
        {
            "dataset": dataset,
            "repository": repository,
            "record_uuid": record,
            "condition": condition,
            "announced": announced,
        }
        for repository, record, condition, announced in (
            (lab.repository, one.lab_record, Condition.PRESENT, None),
            (lab.store, one.store_record, Condition.EXPECTED, one.announced),
        )
    ]


def _open(tx: Guarded, lab: Lab, new: dict[int, Remembered]) -> None:
    rows = tx.connection.execute(
        select(copies.c.id, copies.c.dataset).where(
            copies.c.repository == lab.store, copies.c.dataset.in_(list(new))
        )
    ).all()
    tx.connection.execute(
        insert(items),
        [
            {
                "copy": row.id,
                "md5": new[row.dataset].md5,
                "size": new[row.dataset].size,
                "status": Status.REGISTERED,
                "not_before": tx.now,
                "since": tx.now,
                "created_at": tx.now,
            }
            for row in rows
        ],
    )
    opened = tx.connection.execute(
        select(items.c.id).where(items.c.copy.in_([row.id for row in rows]), items.c.open == 1)
    )
    tx.log("item", [(item, "reopened", None, Status.REGISTERED, _WHY) for item in opened.scalars()])
