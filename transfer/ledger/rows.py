"""Rows to nouns: the one place that knows which columns make an `Item`, a `Session`, a `Batch`."""

from pathlib import PurePosixPath
from typing import Any

from sqlalchemy import Row, Select, select

from transfer.ledger.tables import batches, copies, datasets, items, sessions
from transfer.model import Batch, Dataset, Item, Session
from transfer.status import Condition, Proof, Status

ITEMS: Select[Any] = (
    select(
        items.c.id,
        items.c.copy,
        items.c.md5,
        items.c.size,
        items.c.status,
        items.c.batch,
        items.c.attempt,
        items.c.partial,
        items.c.opened_by,
        items.c.proof,
        items.c.proved_at,
        items.c.tries,
        items.c.hold,
        items.c.created_at,
        copies.c.dataset,
        copies.c.repository,
        copies.c.record_uuid,
        copies.c.path.label("target_path"),
        copies.c.proved_md5,
        copies.c.condition,
        datasets.c.session,
        datasets.c.path,
        datasets.c.dataset_uuid,
        datasets.c.mtime_ns,
        sessions.c.source,
        sessions.c.path.label("session_path"),
    )
    .join(copies, copies.c.id == items.c.copy)
    .join(datasets, datasets.c.id == copies.c.dataset)
    .join(sessions, sessions.c.id == datasets.c.session)
)


def item(row: Row[Any]) -> Item:
    return Item(
        id=row.id,
        copy=row.copy,
        dataset=row.dataset,
        session=row.session,
        source=row.source,
        target=row.repository,
        source_path=PurePosixPath(row.session_path, row.path),
        target_path=PurePosixPath(row.target_path) if row.target_path else None,
        dataset_uuid=row.dataset_uuid,
        record_uuid=row.record_uuid,
        md5=row.md5,
        size=row.size,
        mtime_ns=row.mtime_ns,
        status=Status(row.status),
        batch=row.batch,
        attempt=row.attempt,
        partial=row.partial,
        opened_by=row.opened_by,
        tries=row.tries,
        proof=Proof(row.proof) if row.proof else None,
        proved_at=row.proved_at,
        hold=row.hold,
        created_at=row.created_at,
        stored_md5="" if row.condition == Condition.DAMAGED else row.proved_md5,
    )


def session(row: Row[Any]) -> Session:
    return Session(
        id=row.id,
        source=row.source,
        path=PurePosixPath(row.path),
        lab=row.lab,
        subject=row.subject,
        date=row.date,
        number=row.number,
        eid=row.eid,
        origin=row.origin,
        complete_at=row.complete_at,
        hold=row.hold,
    )


def dataset(row: Row[Any]) -> Dataset:
    return Dataset(
        id=row.id,
        session=row.session,
        path=PurePosixPath(row.path),
        uuid=row.dataset_uuid,
        size=row.size,
        mtime_ns=row.mtime_ns,
        md5=row.md5,
        registered_md5=row.registered_md5,
        registered_size=row.registered_size,
        unregistrable=row.unregistrable,
        gone_at=row.gone_at,
    )


def batch(row: Row[Any]) -> Batch:
    return Batch(
        id=row.id,
        source=row.source,
        target=row.target,
        transport=row.transport,
        files=row.files,
        bytes=row.bytes,
    )


SESSIONS = select(sessions)
DATASETS = select(datasets)
BATCHES = select(batches)
