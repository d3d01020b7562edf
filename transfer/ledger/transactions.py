"""The ledger's transactions, its clock and its identity: what every question and every write stands on.

Database failures are translated here and nowhere else: a database that is away leaves as
`LedgerUnavailable`, a defect of ours flies as it is.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection, Engine, Row, func, insert, select, text, update
from sqlalchemy.exc import DBAPIError

from transfer.ledger.engine import DEFECTS, Clock, database_now, unavailable
from transfer.ledger.guarded import Guarded
from transfer.ledger.leases import Lease, holder_name, renew
from transfer.ledger.tables import batches, events, ledger


class Transactions:
    """An open ledger.  `actor` is who we are in the events; `clock` replaces the database's in tests."""

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


def _draw_identity(connection: Connection) -> Row[Any]:
    """The one row of `ledger`, made if nobody else has made it while we waited for the table."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("LOCK TABLE ledger IN EXCLUSIVE MODE"))
    if connection.execute(select(ledger)).first() is None:
        connection.execute(insert(ledger).values(uuid=uuid4(), epoch=1, mirrored_event=0, watermarks={}))
    return connection.execute(select(ledger)).one()
