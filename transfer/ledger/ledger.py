"""The ledger: the queue, the memory and the only truth about what is due.

Celery messages are doorbells; what has to be done is asked here.  Claims hand out leases, guarded
transactions (see `guarded`) are the only way a worker writes, and everything else in this file is one
short transaction that is right whoever runs it, and however often.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Literal
from uuid import UUID, uuid4

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Row,
    Select,
    Table,
    and_,
    exists,
    func,
    insert,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.exc import DBAPIError

from transfer.errors import TransferError
from transfer.ledger import rows
from transfer.ledger.batching import hold_taken, open_batch
from transfer.ledger.engine import DEFECTS, Clock, database_now, insert_into, unavailable
from transfer.ledger.guarded import Guarded
from transfer.ledger.leases import Kind, Lease, free, holder_name, release, renew, take
from transfer.ledger.tables import OPEN, batches, copies, datasets, endpoints, events, items, ledger, sessions
from transfer.model import Batch, Item, Lab, Route, Session, SessionKey
from transfer.planning import Batching
from transfer.status import Status

_PLAN_AT_ONCE = 20_000
_ALYX = "alyx"  # the endpoint that every step but planning needs


class Ledger:
    """All writes, each guarded.  `actor` is who we are in the events; `clock` replaces the database's in tests."""

    def __init__(
        self,
        engine: Engine,
        *,
        actor: str | None = None,
        clock: Clock | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.engine = engine
        self.actor = actor or f"worker:{holder_name()}"
        self._clock = clock
        self._monotonic = monotonic

    # ---- transactions

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One committed transaction; a database that is away leaves as `LedgerUnavailable`."""
        try:
            with self.engine.begin() as connection:
                yield connection
        except DEFECTS:
            raise
        except DBAPIError as error:
            raise unavailable(error, self.engine) from error

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that takes no write lock."""
        try:
            with self.engine.connect().execution_options(sqlite_begin="DEFERRED") as connection:
                yield connection
        except DEFECTS:
            raise
        except DBAPIError as error:
            raise unavailable(error, self.engine) from error

    def now(self, connection: Connection) -> datetime:
        return self._clock() if self._clock else database_now(connection)

    @contextmanager
    def guarded(self, lease: Lease) -> Iterator[Guarded]:
        """A lease holder's transaction.  Raises `LostRace` before anything is written."""
        lease.ensure()
        begun = lease.begin_renewal()
        with self.writing() as connection:
            now = self.now(connection)
            renew(connection, lease, now)
            yield Guarded(connection, now=now, actor=self.actor, lease=lease)
        lease.renewed(begun)

    @contextmanager
    def unguarded(self) -> Iterator[Guarded]:
        """The same writes for a person's action or a sweep, which hold no lease."""
        with self.writing() as connection:
            yield Guarded(connection, now=self.now(connection), actor=self.actor, lease=None)

    def heartbeat(self, lease: Lease, moved: int = 0) -> None:
        """Renew, and for a batch add the bytes moved since the last beat: progress and liveness in one write."""
        begun = lease.begin_renewal()
        with self.writing() as connection:
            renew(connection, lease, self.now(connection))
            if moved and lease.kind == "batch":
                connection.execute(
                    update(batches)
                    .where(batches.c.id == lease.subject)
                    .values(bytes_moved=batches.c.bytes_moved + moved)
                )
        lease.renewed(begun)

    # ---- who we are

    def identity(self) -> tuple[UUID, int]:
        """This ledger's uuid and epoch; drawn at the first call."""
        with self.writing() as connection:
            row = connection.execute(select(ledger)).first()
            if row is None:
                row = _draw_identity(connection)
            return row.uuid, row.epoch

    def last_event(self) -> int:
        with self.reading() as connection:
            return connection.scalar(select(func.max(events.c.id))) or 0

    def watermark(self, name: str) -> str | None:
        with self.reading() as connection:
            marks: dict[str, str] = connection.scalar(select(ledger.c.watermarks)) or {}
        return marks.get(name)

    def set_watermark(self, name: str, value: str | None) -> None:
        """Remember `value` under `name`; None forgets it."""
        self.identity()
        with self.writing() as connection:
            marks: dict[str, str] = dict(
                connection.scalar(select(ledger.c.watermarks).with_for_update()) or {}
            )
            marks.pop(name, None)
            if value is not None:
                marks[name] = value
            connection.execute(update(ledger).values(watermarks=marks))

    def moment(self) -> datetime:
        """Now, by the ledger's clock."""
        with self.reading() as connection:
            return self.now(connection)

    # ---- sessions

    def saw_session(self, key: SessionKey, lab: Lab, *, eid: UUID | None = None) -> int:
        """Make sure the session has a row; answers its id.  A new one is not due yet."""
        wanted = select(sessions.c.id).where(
            sessions.c.source == key.source, sessions.c.path == str(key.path)
        )
        with self.writing() as connection:
            found = connection.scalar(wanted)
            if found is not None:
                return int(found)
            connection.execute(
                insert_into(connection, sessions)
                .values(
                    source=key.source,
                    path=str(key.path),
                    lab=lab.name,
                    subject=key.subject,
                    date=key.date,
                    number=key.number,
                    eid=eid,
                    origin=lab.work,
                )
                .on_conflict_do_nothing()
            )
            return int(connection.execute(wanted).scalar_one())

    def looked_at(self, session: int, look: str, *, due: bool) -> None:
        """Remember a look at the folder of a complete session; `due` rings for discover.

        Complete it stays: the flag that said so may be removed before the next look.
        """
        with self.writing() as connection:
            now = self.now(connection)
            complete_at = func.coalesce(sessions.c.complete_at, now)
            values: dict[str, Any] = {"look": look, "looked_at": now, "complete_at": complete_at}
            if due:
                values["not_before"] = func.coalesce(sessions.c.not_before, now)
            connection.execute(update(sessions).where(sessions.c.id == session).values(**values))

    def make_due(self, session: int) -> None:
        """Discover and register the session now (unless it is held)."""
        with self.writing() as connection:
            connection.execute(
                update(sessions).where(sessions.c.id == session).values(not_before=self.now(connection))
            )

    def claim_session(
        self, seconds: float, *, sources: Sequence[str] | None = None, only: Sequence[int] | None = None
    ) -> tuple[Lease, Session] | None:
        """Lease one due session, the longest waiting first."""
        with self.writing() as connection:
            now = self.now(connection)
            due = _due(sessions, now, sources, only)
            row = connection.execute(
                select(sessions)
                .where(*due)
                .order_by(sessions.c.not_before.nulls_first(), sessions.c.id)
                .limit(1)
                .with_for_update(skip_locked=True)
            ).first()
            if row is None:
                return None
            lease = self._take(connection, "session", row.id, seconds, now)
            return (lease, rows.session(row)) if lease else None

    def _take(
        self, connection: Connection, kind: Kind, subject: int | str, seconds: float, now: datetime
    ) -> Lease | None:
        lease = Lease(kind, subject, seconds=seconds, monotonic=self._monotonic)
        return lease if take(connection, lease, now) else None

    def release(self, lease: Lease) -> None:
        """Give the claim back; a batch without open items is closed."""
        with self.writing() as connection:
            release(connection, lease)
            if lease.kind == "batch":
                _close_empty(connection, batches.c.id == lease.subject)

    # ---- planning

    def plan(self, route: Route, batching: Batching, *, only: Sequence[int] | None = None) -> list[int]:
        """Put the route's REGISTERED items into batches; answers the new batches' ids.

        `only` limits it to items of those sessions.  Two planners at once are harmless: each item moves once.
        """
        with self.unguarded() as tx:
            due = [
                _due_item(tx.now),
                items.c.status == Status.REGISTERED,
                items.c.batch.is_(None),
                copies.c.repository == route.target,
                sessions.c.source == route.source,
            ]
            if only is not None:
                due.append(sessions.c.id.in_(only))
            query = rows.ITEMS.where(*due).order_by(items.c.id).limit(_PLAN_AT_ONCE)
            locked = query.with_for_update(of=items, skip_locked=True)
            found = [rows.item(row) for row in tx.connection.execute(locked)]
            ours = hold_taken(tx, route, found)
            return [open_batch(tx, route, planned.items) for planned in batching(ours)]

    # ---- batches

    def claim_batch(
        self,
        seconds: float,
        *,
        sources: Sequence[str] | None = None,
        only: Sequence[int] | None = None,
    ) -> tuple[Lease, Batch] | None:
        """Lease one batch that has due items: by priority, then the oldest."""
        with self.writing() as connection:
            now = self.now(connection)
            due = _due(batches, now, sources, only)
            row = connection.execute(
                select(batches)
                .where(*due)
                .order_by(batches.c.priority.desc(), batches.c.id)
                .limit(1)
                .with_for_update(skip_locked=True)
            ).first()
            if row is None:
                return None
            lease = self._take(connection, "batch", row.id, seconds, now)
            return (lease, rows.batch(row)) if lease else None

    def due(
        self, kind: Literal["session", "batch"], *, sources: Sequence[str] | None = None, limit: int = 200
    ) -> list[int]:
        """Ids of what could be claimed now, the longest waiting first: whom to ring for."""
        table = sessions if kind == "session" else batches
        with self.reading() as connection:
            now = self.now(connection)
            query = select(table.c.id).where(*_due(table, now, sources, None)).order_by(table.c.id)
            return list(connection.scalars(query.limit(limit)))

    def due_items(self, batch: int) -> list[Item]:
        """The batch's items whose time has come."""
        with self.reading() as connection:
            now = self.now(connection)
            found = connection.execute(
                rows.ITEMS.where(items.c.batch == batch, _due_item(now)).order_by(items.c.id)
            )
            return [rows.item(row) for row in found]

    def batches_of(self, session_ids: Sequence[int]) -> list[int]:
        """The batches that hold open items of these sessions."""
        with self.reading() as connection:
            return list(
                connection.scalars(
                    select(items.c.batch)
                    .join(copies, copies.c.id == items.c.copy)
                    .join(datasets, datasets.c.id == copies.c.dataset)
                    .where(datasets.c.session.in_(session_ids), items.c.open == 1, items.c.batch.is_not(None))
                    .distinct()
                )
            )

    def busy(self, kind: Literal["session", "batch"], ids: Sequence[int]) -> list[str]:
        """Who holds any of these now."""
        table = sessions if kind == "session" else batches
        with self.reading() as connection:
            return list(
                connection.scalars(
                    select(table.c.lease_holder)
                    .where(table.c.id.in_(ids), table.c.lease_until > self.now(connection))
                    .distinct()
                )
            )

    def session_items(self, session: int, *statuses: Status) -> list[Item]:
        """The session's open, unheld items that stand at one of `statuses`."""
        with self.reading() as connection:
            found = connection.execute(
                rows.ITEMS.where(
                    datasets.c.session == session,
                    items.c.open == 1,
                    items.c.hold.is_(None),
                    items.c.status.in_(statuses),
                ).order_by(items.c.id)
            )
            return [rows.item(row) for row in found]

    def postpone(self, lease: Lease, *, at: datetime, error: TransferError) -> None:
        """Try the whole batch or session again not before `at`."""
        table = sessions if lease.kind == "session" else batches
        with self.guarded(lease) as tx:
            tx.connection.execute(
                update(table)
                .where(table.c.id == lease.subject)
                .values(not_before=at, tries=table.c.tries + 1, error=error.code, error_text=error.sentence)
            )
            tx.log(lease.kind, [(lease.subject, "postponed", None, None, error.sentence)])

    def hold_session(self, lease: Lease, error: TransferError, *, because: str = "") -> None:
        """Put the session in a person's hands."""
        with self.guarded(lease) as tx:
            tx.connection.execute(
                update(sessions)
                .where(sessions.c.id == lease.subject)
                .values(hold=error.name, hold_text=because + error.sentence, error=error.code)
            )
            tx.log("session", [(lease.subject, "held", None, None, error.sentence)])

    def went_well(self, lease: Lease) -> None:
        """The batch made progress: earlier failures of the whole batch no longer count."""
        with self.guarded(lease) as tx:
            tx.connection.execute(
                update(batches)
                .where(batches.c.id == lease.subject, batches.c.tries > 0)
                .values(tries=0, error=None, error_text=None, not_before=None)
            )

    def tries(self, lease: Lease) -> int:
        """How often the batch or session as a whole has failed in a row."""
        table = sessions if lease.kind == "session" else batches
        with self.reading() as connection:
            return connection.scalar(select(table.c.tries).where(table.c.id == lease.subject)) or 0

    def source_of(self, lease: Lease) -> str:
        """The lab repository that the leased session or batch belongs to."""
        table = sessions if lease.kind == "session" else batches
        with self.reading() as connection:
            return str(connection.scalar(select(table.c.source).where(table.c.id == lease.subject)))

    def close_empty_batches(self) -> None:
        """Close every batch whose items all reached an end."""
        with self.writing() as connection:
            _close_empty(connection, batches.c.open == OPEN)


def _due(
    table: Table, now: datetime, sources: Sequence[str] | None, only: Sequence[int] | None
) -> list[ColumnElement[bool]]:
    """The conditions under which a session or batch may be claimed."""
    due = [free(table, now), ~_kept_back(table.c.source, now), ~_kept_back(_ALYX, now)]
    if table is sessions:
        waiting = and_(sessions.c.not_before.is_(None), sessions.c.id.in_(_sessions_with_work(now)))
        due += [or_(sessions.c.not_before <= now, waiting), sessions.c.hold.is_(None)]
    else:
        due += [
            batches.c.open == OPEN,
            or_(batches.c.not_before.is_(None), batches.c.not_before <= now),
            batches.c.cancel_at.is_(None),
            ~_kept_back(batches.c.target, now),
            exists().where(_due_item(now), items.c.batch == batches.c.id),
        ]
    if sources is not None:
        due.append(table.c.source.in_(sources))
    if only is not None:
        due.append(table.c.id.in_(only))
    return due


def _sessions_with_work(now: datetime) -> Select[Any]:
    """Sessions with an item at DISCOVERED whose time has come.

    Such a session is due even if nobody rang: the ring is a write of its own, so a death or a visit that was
    just ending may have swallowed it, and an item that could not be registered waits by its own `not_before`.
    """
    return (
        select(datasets.c.session)
        .join(copies, copies.c.dataset == datasets.c.id)
        .join(items, items.c.copy == copies.c.id)
        .where(_due_item(now), items.c.batch.is_(None), items.c.status == Status.DISCOVERED)
    )


def _due_item(now: datetime) -> ColumnElement[bool]:
    return and_(items.c.open == OPEN, items.c.hold.is_(None), items.c.not_before <= now)


def _kept_back(name: Any, now: datetime) -> ColumnElement[bool]:
    return exists().where(
        endpoints.c.name == name, or_(endpoints.c.paused_by.is_not(None), endpoints.c.retry_at > now)
    )


def _draw_identity(connection: Connection) -> Row[Any]:
    """The one row of `ledger`, made if nobody else has made it while we waited for the table."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("LOCK TABLE ledger IN EXCLUSIVE MODE"))
    if connection.execute(select(ledger)).first() is None:
        connection.execute(insert(ledger).values(uuid=uuid4(), epoch=1, mirrored_event=0, watermarks={}))
    return connection.execute(select(ledger)).one()


def _close_empty(connection: Connection, which: ColumnElement[bool]) -> None:
    connection.execute(
        update(batches)
        .where(
            which,
            batches.c.open == OPEN,
            ~exists().where(items.c.batch == batches.c.id, items.c.open == OPEN),
        )
        .values(open=None)
    )
