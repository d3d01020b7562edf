"""Sessions of which every file stands at the store, proved and recorded: what a pipeline may begin with."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, exists, select

from transfer.ledger.files import TROUBLE
from transfer.ledger.guarded import chunks
from transfer.ledger.ledger import Ledger
from transfer.ledger.tables import OPEN, copies, datasets, items, sessions
from transfer.status import Condition


@dataclass(frozen=True, kw_only=True, slots=True)
class CompleteFile:
    """One file that stands at the store.  `path` is relative to the session; size in bytes; `arrived_at` in UTC."""

    dataset: UUID
    path: str
    store: str
    store_path: str
    size: int
    md5: str
    arrived_at: datetime
    proof: str


@dataclass(frozen=True, kw_only=True, slots=True)
class CompleteSession:
    """One session with all its files."""

    eid: UUID
    lab: str
    subject: str
    date: date
    number: int
    files: tuple[CompleteFile, ...]

    @property
    def completed_at(self) -> datetime:
        return max(file.arrived_at for file in self.files)


def complete_sessions(ledger: Ledger, *, labs: Sequence[str]) -> Iterator[CompleteSession]:
    """The sessions of these labs that are complete: files have arrived, none is on its way, held or in trouble.

    A file that nobody can register (no dataset type fits) keeps no session back; one that cannot be read does.
    """
    unfinished = exists().where(
        datasets.c.session == sessions.c.id,
        copies.c.dataset == datasets.c.id,
        items.c.copy == copies.c.id,
        items.c.open == OPEN,
    )
    troubled = exists().where(datasets.c.session == sessions.c.id, datasets.c.gone_at.is_(None), TROUBLE)
    wanted = (
        select(sessions)
        .where(
            sessions.c.lab.in_(labs),
            sessions.c.eid.is_not(None),
            sessions.c.complete_at.is_not(None),
            sessions.c.hold.is_(None),
            sessions.c.not_before.is_(None),
            ~unfinished,
            ~troubled,
        )
        .order_by(sessions.c.id)
    )
    with ledger.reading() as connection:
        rows = {row.id: row for row in connection.execute(wanted)}
        found: dict[int, list[CompleteFile]] = {}
        for some in chunks(list(rows)):
            for row in connection.execute(_FILES.where(datasets.c.session.in_(some))):
                found.setdefault(row.session, []).append(_file(row))
    for number, files in found.items():
        row = rows[number]
        yield CompleteSession(
            eid=row.eid,
            lab=row.lab,
            subject=row.subject,
            date=row.date,
            number=row.number,
            files=tuple(files),
        )


_FILES = (
    select(datasets.c.session, datasets.c.dataset_uuid, datasets.c.path, copies.c.repository)
    .add_columns(copies.c.path.label("store_path"), copies.c.proved_size, copies.c.proved_md5)
    .add_columns(copies.c.proved_at, copies.c.proof)
    .join(copies, copies.c.dataset == datasets.c.id)
    .where(
        copies.c.condition == Condition.PRESENT,
        copies.c.proved_md5.is_not(None),
        copies.c.path.is_not(None),
    )
    .order_by(datasets.c.path)
)
"""What stands at a store, proved; the lab's own copies are never proved."""


def _file(row: Row[Any]) -> CompleteFile:
    return CompleteFile(
        dataset=row.dataset_uuid,
        path=row.path,
        store=row.repository,
        store_path=row.store_path,
        size=row.proved_size,
        md5=row.proved_md5,
        arrived_at=row.proved_at,
        proof=row.proof,
    )
