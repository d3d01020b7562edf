"""The ledger: the queue, the memory and the only truth about what is due.

Celery messages are doorbells; what has to be done is asked here.  Claims hand out leases, guarded
transactions (see `guarded`) are the only way a worker writes, and everything else in this file is one
short transaction that is right whoever runs it, and however often.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Connection,
    exists,
    func,
    select,
    update,
)

from transfer.errors import TransferError
from transfer.ledger import rows
from transfer.ledger.batching import hold_taken, open_batch, place
from transfer.ledger.claiming import batch_to_claim, session_to_claim
from transfer.ledger.due import is_kept_back, item_is_due, may_be_claimed
from transfer.ledger.engine import insert_into
from transfer.ledger.gates import admitted, names_of
from transfer.ledger.guarded import CLAIMED, Guarded
from transfer.ledger.leases import Kind, Lease, release, take
from transfer.ledger.tables import OPEN, batches, copies, datasets, items, sessions
from transfer.ledger.transactions import Transactions, begun_anew
from transfer.model import Batch, Item, Lab, Route, Session, SessionKey
from transfer.planning import Batching
from transfer.status import Status

_PLAN_AT_ONCE = 20_000


class Ledger(Transactions):
    """The queue's writes, each guarded or right whoever runs it."""

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

    @begun_anew
    def claim_session(
        self, seconds: float, *, sources: Sequence[str] | None = None, only: Sequence[int] | None = None
    ) -> tuple[Lease, Session] | None:
        """Lease one due session: by priority, then the longest waiting.  Raises `LedgerDiskFull`."""
        self.ensure_room()
        with self.writing() as connection:
            now = self.now(connection)
            row = connection.execute(*session_to_claim(now, sources=sources, only=only)).first()
            if row is None or not admitted(connection, names_of(sessions, row), now):
                return None
            lease = self._take(connection, "session", row.id, seconds, now)
            return (lease, rows.session(row)) if lease else None

    def _take(
        self,
        connection: Connection,
        kind: Kind,
        subject: int | str,
        seconds: float,
        now: datetime,
        *,
        moved: int = 0,
    ) -> Lease | None:
        lease = Lease(kind, subject, seconds=seconds, monotonic=self._monotonic)
        if not take(connection, lease, now):
            return None
        tx = Guarded(connection, now=now, actor=self.actor, lease=lease)
        tx.log(kind, [(subject, CLAIMED, None, None, None)], {"bytes_moved": moved} if moved else None)
        return lease

    @begun_anew
    def release(self, lease: Lease) -> None:
        """Give the claim back; a batch without open items is closed."""
        with self.writing() as connection:
            release(connection, lease)
            if lease.kind == "batch":
                _close_empty(connection, batches.c.id == lease.subject)

    # ---- planning

    @begun_anew
    def plan(self, route: Route, batching: Batching, *, only: Sequence[int] | None = None) -> list[int]:
        """Put the route's REGISTERED items into batches; answers the new batches' ids.

        `only` limits it to items of those sessions.  What a person put first is planned first, and only with its like,
        so that nothing else goes ahead with it.  Two planners at once are harmless: each item moves once.
        Raises `LedgerDiskFull`.
        """
        self.ensure_room()
        with self.unguarded() as tx:
            due = [
                item_is_due(tx.now),
                items.c.status == Status.REGISTERED,
                items.c.batch.is_(None),
                copies.c.repository == route.target,
                sessions.c.source == route.source,
            ]
            if only is not None:
                due.append(sessions.c.id.in_(only))
            query = rows.ITEMS.add_columns(sessions.c.priority).where(*due)
            query = query.order_by(sessions.c.priority.desc(), items.c.id).limit(_PLAN_AT_ONCE)
            found = tx.connection.execute(query.with_for_update(of=items, skip_locked=True)).all()
            levels = {row.id: int(row.priority) for row in found}
            known = [rows.item(row) for row in found]
            places = hold_taken(tx, route, known)
            ours = [item for item in known if item.id in places]
            place(tx, ours, places)
            return [
                open_batch(tx, route, planned.items, priority=level)
                for level in sorted(set(levels.values()), reverse=True)
                for planned in batching([one for one in ours if levels[one.id] == level])
            ]

    # ---- batches

    @begun_anew
    def claim_batch(
        self,
        seconds: float,
        *,
        sources: Sequence[str] | None = None,
        targets: Sequence[str] | None = None,
        only: Sequence[int] | None = None,
        large_bytes: int | None = None,
        large: bool = True,
    ) -> tuple[Lease, Batch] | None:
        """Lease one batch that has due items: by priority, then the oldest.  Raises `LedgerDiskFull`.

        Of files of at least `large_bytes` as many move to an endpoint as leave one place to others, and none is
        taken here if not `large`.
        """
        self.ensure_room()
        with self.writing() as connection:
            now = self.now(connection)
            question = batch_to_claim(
                now, sources=sources, targets=targets, only=only, large_bytes=large_bytes, large=large
            )
            row = connection.execute(*question).first()
            if row is None:
                return None
            at_least = large_bytes if row.files == 1 and row.bytes >= (large_bytes or row.bytes + 1) else None
            if not admitted(connection, names_of(batches, row), now, large_bytes=at_least):
                return None
            lease = self._take(connection, "batch", row.id, seconds, now, moved=row.bytes_moved)
            return (lease, rows.batch(row)) if lease else None

    def due(
        self,
        kind: Literal["session", "batch"],
        *,
        sources: Sequence[str] | None = None,
        targets: Sequence[str] | None = None,
        limit: int = 200,
    ) -> list[int]:
        """Ids of what could be claimed now, by priority, then the oldest: whom to ring for."""
        table = sessions if kind == "session" else batches
        with self.reading() as connection:
            now = self.now(connection)
            query = select(table.c.id).where(*may_be_claimed(table, now, sources, None, targets))
            query = query.order_by(table.c.priority.desc(), table.c.id)
            return list(connection.scalars(query.limit(limit)))

    def due_items(self, batch: int) -> list[Item]:
        """The batch's items whose time has come."""
        with self.reading() as connection:
            now = self.now(connection)
            found = connection.execute(
                rows.ITEMS.where(items.c.batch == batch, item_is_due(now)).order_by(items.c.id)
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

    def wait(self, lease: Lease, *, at: datetime) -> None:
        """Nothing can be done for the batch before `at`; that is no failure."""
        with self.guarded(lease) as tx:
            tx.connection.execute(update(batches).where(batches.c.id == lease.subject).values(not_before=at))

    def is_kept_back(self, endpoint: str) -> bool:
        """Whether the endpoint is not to be used now, as the claims see it."""
        with self.reading() as connection:
            return bool(connection.scalar(select(is_kept_back(endpoint, self.now(connection)))))

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

    @begun_anew
    def close_empty_batches(self) -> None:
        """Close every batch whose items all reached an end."""
        with self.writing() as connection:
            _close_empty(connection, batches.c.open == OPEN)


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
