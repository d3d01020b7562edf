"""Sessions of which every file stands at the store, proved and recorded: what a pipeline may begin with."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, and_, exists, func, select, true

from transfer.ledger.files import trouble
from transfer.ledger.ledger import Ledger
from transfer.ledger.tables import OPEN, copies, datasets, items, sessions
from transfer.status import Condition, Status


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


def complete_sessions(ledger: Ledger, *, stores: Mapping[str, str]) -> Iterator[CompleteSession]:
    """The sessions that are complete at their lab's store (`stores`, by lab): every file has arrived.

    A file that cannot be read, that is held, or whose copy is not the registered version keeps its session back.  One
    that nobody can register (no dataset type fits) does not, nor one that a person gave up; neither is listed.
    """
    found: dict[int, list[Any]] = {}
    with ledger.reading() as connection:
        for lab, store in stores.items():
            for row in connection.execute(
                _of_lab(lab, store)
            ):  # one question: what it answers belongs together
                found.setdefault(row.session, []).append(row)
    for rows in found.values():
        one = rows[0]
        yield CompleteSession(
            eid=one.eid,
            lab=one.lab,
            subject=one.subject,
            date=one.date,
            number=one.number,
            files=tuple(_file(row) for row in rows),
        )


_FACTS = (sessions.c.eid, sessions.c.lab, sessions.c.subject, sessions.c.date, sessions.c.number)
_RIGHT = and_(
    copies.c.condition == Condition.PRESENT,
    copies.c.path.is_not(None),
    copies.c.proved_md5 == datasets.c.registered_md5,
)
"""The copy stands at the store, proved, in the version that is registered."""


def _of_lab(lab: str, store: str) -> Select[Any]:
    here, there = datasets.alias(), copies.alias()
    of_session = here.c.session == sessions.c.id
    at_store = and_(there.c.dataset == here.c.id, there.c.repository == store)
    unfinished = exists().where(of_session, at_store, items.c.copy == there.c.id, items.c.open == OPEN)
    given_up = exists().where(items.c.copy == there.c.id, items.c.status == Status.ABANDONED)
    right = and_(there.c.condition == Condition.PRESENT, there.c.proved_md5 == here.c.registered_md5)
    wrong = exists().where(of_session, at_store, func.coalesce(~right, true()), ~given_up)
    troubled = exists().where(of_session, here.c.gone_at.is_(None), trouble(here))
    return (
        select(datasets.c.session, datasets.c.dataset_uuid, datasets.c.path, copies.c.repository, *_FACTS)
        .add_columns(copies.c.path.label("store_path"), copies.c.proved_size, copies.c.proved_md5)
        .add_columns(copies.c.proved_at, copies.c.proof)
        .join(copies, copies.c.dataset == datasets.c.id)
        .join(sessions, sessions.c.id == datasets.c.session)
        .where(copies.c.repository == store, _RIGHT, sessions.c.lab == lab)
        .where(sessions.c.eid.is_not(None), sessions.c.complete_at.is_not(None), sessions.c.hold.is_(None))
        .where(sessions.c.not_before.is_(None), ~unfinished, ~wrong, ~troubled)
        .order_by(sessions.c.id, datasets.c.path)
    )


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
