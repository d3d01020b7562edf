"""What discover and register write down about a session: its files, their ids in Alyx, the items to make.

Both run under the session's lease, inside a guarded transaction.  One copy has at most one open item:
when a file's hash has changed, its open item is SUPERSEDED and a new one is opened in the same
transaction, so the copy never lacks an owner.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import and_, bindparam, func, insert, select, update

from transfer.ledger import rows
from transfer.ledger.guarded import Guarded, Move, chunks
from transfer.ledger.tables import copies, datasets, items, sessions
from transfer.model import Item, Lab, Session, SourceFile
from transfer.status import Condition, Status


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """What discover found out about one file.

    `unregistrable` says why Alyx could not know it; such a file has no md5 and gets no item.  The ids are
    known already when Alyx is the work source.
    """

    file: SourceFile
    unregistrable: str | None = None
    dataset_uuid: UUID | None = None
    record_uuid: UUID | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """What Alyx answered for one item: the dataset, its hash there, and the record in each repository."""

    item: Item
    dataset_uuid: UUID
    md5: str
    size: int
    records: Mapping[str, UUID]
    registered_by_us: bool


_SEEN = (
    update(datasets)
    .where(datasets.c.id == bindparam("_id"))
    .values(
        size=bindparam("_size"),
        mtime_ns=bindparam("_mtime_ns"),
        md5=bindparam("_md5"),
        hashed_at=bindparam("_hashed_at"),
        unregistrable=bindparam("_unregistrable"),
        gone_at=None,
    )
)


def discovered(tx: Guarded, session: Session, lab: Lab, looks: Sequence[Look]) -> list[Item]:
    """Write what was found, open an item for each version not yet at the store.

    Answers the open items of files that are gone; the caller reads their central records and holds them.
    """
    known = {
        row.path: row for row in tx.connection.execute(rows.DATASETS.where(datasets.c.session == session.id))
    }
    _write_datasets(tx, session, looks, known)
    ids = {
        row.path: row.id
        for row in tx.connection.execute(
            select(datasets.c.id, datasets.c.path).where(datasets.c.session == session.id)
        )
    }
    moving = {ids[str(look.file.path)]: look for look in looks if look.file.md5 and not look.unregistrable}
    store_copies = _ensure_copies(tx, lab, moving)
    _open_items(tx, store_copies, moving)
    return _vanished(tx, session, {ids[str(look.file.path)] for look in looks})


def keep_hashes(tx: Guarded, session: Session, looks: Sequence[Look]) -> None:
    """Remember what a visit that is broken off has hashed, and nothing else: the next visit goes on from there."""
    known = {
        row.path: row for row in tx.connection.execute(rows.DATASETS.where(datasets.c.session == session.id))
    }
    _write_datasets(tx, session, [look for look in looks if look.file.md5], known)


def _write_datasets(tx: Guarded, session: Session, looks: Sequence[Look], known: Mapping[str, Any]) -> None:
    new, seen = [], []
    for look in looks:
        file = look.file
        row = known.get(str(file.path))
        if row is None:
            new.append(
                {
                    "session": session.id,
                    "path": str(file.path),
                    "dataset_uuid": look.dataset_uuid,
                    "size": file.size,
                    "mtime_ns": file.mtime_ns,
                    "md5": file.md5,
                    "hashed_at": tx.now if file.md5 else None,
                    "unregistrable": look.unregistrable,
                }
            )
        else:
            seen.append(
                {
                    "_id": row.id,
                    "_size": file.size,
                    "_mtime_ns": file.mtime_ns,
                    "_md5": file.md5,
                    "_hashed_at": row.hashed_at if row.md5 == file.md5 else tx.now,
                    "_unregistrable": look.unregistrable,
                }
            )
    if new:
        tx.connection.execute(insert(datasets), new)
    if seen:
        tx.connection.execute(_SEEN, seen)


def _ensure_copies(tx: Guarded, lab: Lab, moving: Mapping[int, Look]) -> dict[int, Any]:
    """The store's copy row of each dataset (by dataset id), made where missing; the lab's likewise."""
    found: dict[tuple[int, str], Any] = _copies_of(tx, list(moving))
    new = [
        {
            "dataset": dataset,
            "repository": repository,
            "record_uuid": look.record_uuid if repository == lab.store else None,
            "condition": Condition.PRESENT if repository == lab.repository else Condition.EXPECTED,
        }
        for dataset, look in moving.items()
        for repository in (lab.repository, lab.store)
        if (dataset, repository) not in found
    ]
    if new:
        tx.connection.execute(insert(copies), new)
        found = _copies_of(tx, list(moving))
    return {dataset: found[dataset, lab.store] for dataset in moving}


def _copies_of(tx: Guarded, dataset_ids: Sequence[int]) -> dict[tuple[int, str], Any]:
    found: dict[tuple[int, str], Any] = {}
    for ids in chunks(dataset_ids):
        for row in tx.connection.execute(select(copies).where(copies.c.dataset.in_(ids))):
            found[row.dataset, row.repository] = row
    return found


def _open_items(tx: Guarded, store_copies: Mapping[int, Any], moving: Mapping[int, Look]) -> None:
    """One open item for each version that is not proved to stand at the store."""
    current: dict[int, Item] = {}
    for ids in chunks([row.id for row in store_copies.values()]):
        current.update((item.copy, item) for item in tx.items(items.c.copy.in_(ids), items.c.open == 1))
    new, superseded = [], []
    back: list[Item] = []
    for dataset, copy in store_copies.items():
        file = moving[dataset].file
        item = current.get(copy.id)
        if item is not None and item.md5 == file.md5:
            if item.hold == "source-vanished":
                back.append(item)
            continue
        if item is None and copy.proved_md5 == file.md5 and copy.condition == Condition.PRESENT:
            continue
        if item is not None:
            superseded.append(item)
        new.append(
            {
                "copy": copy.id,
                "md5": file.md5,
                "size": file.size,
                "status": Status.DISCOVERED,
                "not_before": tx.now,
                "since": tx.now,
                "created_at": tx.now,
            }
        )
    _returned(tx, back)
    supersede(tx, superseded)
    if new:
        tx.connection.execute(insert(items), new)


def _returned(tx: Guarded, back: Sequence[Item]) -> None:
    """Let items go on whose file was gone and is there again, unchanged."""
    if not back:
        return
    for ids in chunks([item.id for item in back]):
        tx.connection.execute(update(items).where(items.c.id.in_(ids)).values(hold=None, hold_text=None))
    tx.log("item", [(item.id, "released", item.status, None, "the file is there again") for item in back])


def supersede(tx: Guarded, old: Sequence[Item]) -> None:
    """Close items that a newer hash replaces, held ones too; the caller opens their successors."""
    if not old:
        return
    ids = [item.id for item in old]
    tx.connection.execute(
        update(items)
        .where(items.c.id.in_(ids), items.c.open == 1)
        .values(status=Status.SUPERSEDED, open=None, hold=None, hold_text=None, since=tx.now)
    )
    tx.log(
        "item",
        [(item.id, "moved", item.status, Status.SUPERSEDED, "a newer hash replaces it") for item in old],
    )


def _vanished(tx: Guarded, session: Session, seen: set[int]) -> list[Item]:
    """Mark files that are gone; answer their open, unheld items that cannot go on without them."""
    of_session = select(datasets.c.id, datasets.c.gone_at).where(datasets.c.session == session.id)
    gone = [row for row in tx.connection.execute(of_session) if row.id not in seen]
    found: list[Item] = []
    for some in chunks(gone):
        news = [row.id for row in some if row.gone_at is None]
        tx.connection.execute(update(datasets).where(datasets.c.id.in_(news)).values(gone_at=tx.now))
        found += tx.items(
            datasets.c.id.in_([row.id for row in some]),
            items.c.open == 1,
            items.c.hold.is_(None),
            items.c.status.in_(_NEEDS_SOURCE),
            ~_said_to_stand_there,
        )
    return found


# A rebuilt ledger's: announced by the ledger that was lost, and not looked at yet.  It may need nothing of the lab.
_said_to_stand_there = and_(copies.c.announced.is_(True), copies.c.proved_md5.is_(None))


_NEEDS_SOURCE = (Status.DISCOVERED, Status.REGISTERED, Status.PLANNED)


_REGISTERED = (
    update(datasets)
    .where(datasets.c.id == bindparam("_id"))
    .values(
        dataset_uuid=bindparam("_uuid"),
        registered_md5=bindparam("_md5"),
        registered_size=bindparam("_size"),
        registered_at=bindparam("_now"),
        hash_origin=bindparam("_origin"),
    )
)
_RECORD = (
    update(copies)
    .where(copies.c.dataset == bindparam("_dataset"), copies.c.repository == bindparam("_repository"))
    .values(record_uuid=bindparam("_record"))
)


def registered(tx: Guarded, known: Sequence[Known]) -> list[Item]:
    """Write the ids Alyx answered and move the items to REGISTERED."""
    if not known:
        return []
    moved = tx.move([Move(item=one.item, became=Status.REGISTERED) for one in known])
    ours = {item.id for item in moved}
    facts = [one for one in known if one.item.id in ours]
    if not facts:
        return []
    tx.connection.execute(
        _REGISTERED,
        [
            {
                "_id": one.item.dataset,
                "_uuid": one.dataset_uuid,
                "_md5": one.md5,
                "_size": one.size,
                "_now": tx.now,
                "_origin": "lab" if one.registered_by_us else "alyx",
            }
            for one in facts
        ],
    )
    tx.connection.execute(
        _RECORD,
        [
            {"_dataset": one.item.dataset, "_repository": repository, "_record": record}
            for one in facts
            for repository, record in one.records.items()
        ],
    )
    return moved


def finish_session(
    tx: Guarded,
    session: Session,
    *,
    look: str | None,
    eid: UUID | None = None,
    again_at: datetime | None = None,
    unquiet_since: datetime | None = None,
) -> None:
    """The session needs nothing more until a scan sees a change, or until `again_at`."""
    values: dict[str, Any] = {
        "not_before": again_at,
        "unquiet_since": unquiet_since,
        "error": None,
        "error_text": None,
        "tries": 0,
    }
    if eid:
        values["eid"] = eid
    if look:
        values |= {"done_look": look, "complete_at": func.coalesce(sessions.c.complete_at, tx.now)}
    tx.connection.execute(update(sessions).where(sessions.c.id == session.id).values(**values))


def forget_eid(tx: Guarded, session: Session) -> None:
    """Alyx does not know the session by this id any more: it is looked up again when a person releases it."""
    tx.connection.execute(update(sessions).where(sessions.c.id == session.id).values(eid=None))
