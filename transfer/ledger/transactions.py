"""The ledger's transactions, its clock and its identity: what every question and every write stands on.

Database failures are translated here and nowhere else: a database that is away leaves as
`LedgerUnavailable`, a defect of ours flies as it is.

A database may be away for a minute.  What is begun anew, for at most `patience`:

    to begin      always: nothing of the caller's has run yet
    a whole body  `write`, and the methods marked `begun_anew`: they are right when they run twice, because each
                  write names the state it saw, so that what an earlier COMMIT of unknown outcome wrote is
                  found done by looking
    anything else flies: whoever holds the lease stops, it lapses, and the next one goes on from the facts

While the disk of a SQLite ledger has less than `room` bytes free no work is taken: what is begun must be able to be
written down.
"""

import copy
import functools
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime
from typing import Any, ParamSpec, Self, TypeVar
from uuid import UUID, uuid4

import structlog
from sqlalchemy import Connection, Engine, Row, func, insert, select, text, update
from sqlalchemy.exc import DBAPIError
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_delay,
    wait_random_exponential,
)

from transfer.errors import LedgerDiskFull, LedgerUnavailable
from transfer.ledger.engine import (
    DEFECTS,
    Clock,
    NoConnectionFree,
    database_now,
    free_bytes,
    passes,
    shown,
    unavailable,
)
from transfer.ledger.guarded import Guarded
from transfer.ledger.leases import Lease, holder_name, renew
from transfer.ledger.tables import batches, events, ledger

log = structlog.get_logger()
P = ParamSpec("P")
T = TypeVar("T")


def begun_anew(method: Callable[P, T]) -> Callable[P, T]:
    """Mark a method whose transaction is begun anew when the database failed: it is right when it runs twice."""

    @functools.wraps(method)
    def patient(*args: P.args, **kwargs: P.kwargs) -> T:
        ledger: Any = args[0]
        retrying: Retrying = ledger.again()
        return retrying(method, *args, **kwargs)

    return patient


class Transactions:
    """An open ledger.  `actor` is who we are in the events; `clock` replaces the database's in tests.

    `patience` is how many seconds a database may be away before we give up.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        actor: str | None = None,
        clock: Clock | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        patience: float = 60,
        room: int = 0,
    ) -> None:
        self.engine = engine
        self.actor = actor or f"worker:{holder_name()}"
        self._clock = clock
        self._monotonic = monotonic
        self.patience = patience
        self.room = room

    def acting_as(self, actor: str) -> Self:
        """The same ledger, whose events name `actor`: for one request of one person."""
        other = copy.copy(self)
        other.actor = actor
        return other

    # ---- transactions

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One committed transaction; a database that is away leaves as `LedgerUnavailable`."""
        try:
            with self._begun() as connection:
                yield connection
                connection.commit()
        except DEFECTS:
            raise
        except (DBAPIError, NoConnectionFree) as error:
            raise unavailable(error, self.engine) from error

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that takes no write lock."""
        try:
            with self._begun(sqlite_begin="DEFERRED") as connection:
                yield connection
        except DEFECTS:
            raise
        except (DBAPIError, NoConnectionFree) as error:
            raise unavailable(error, self.engine) from error

    @contextmanager
    def _begun(self, **options: str) -> Iterator[Connection]:
        """A connection whose transaction has begun; what was not committed is undone at the end."""
        with ExitStack() as opened:
            yield self.again()(self._begin, opened, options)

    def _begin(self, opened: ExitStack, options: Mapping[str, str]) -> Connection:
        # Handed to `opened` first: wherever Ctrl-C strikes from here on, the database's lock is given back.
        connection = opened.enter_context(self.engine.connect().execution_options(**options))
        try:
            connection.begin()
        except BaseException:
            connection.close()
            raise
        return connection

    def again(self) -> Retrying:
        """How a transaction is begun anew: soon at first, then every second or two, until our patience ends."""
        return Retrying(
            retry=retry_if_exception(_may_be_begun_anew),
            wait=wait_random_exponential(multiplier=0.05, max=2),
            stop=stop_after_delay(self.patience),
            before_sleep=_tell,
            reraise=True,
        )

    def write(self, lease: Lease, body: Callable[["Guarded"], T]) -> T:
        """A guarded transaction that is begun anew when the database failed; `body` must be right when run twice."""

        def once() -> T:
            with self.guarded(lease) as tx:
                return body(tx)

        return self.again()(once)

    def ensure_room(self) -> None:
        """Raise `LedgerDiskFull` while less is free on the ledger's disk than what is begun may need."""
        free = free_bytes(self.engine) if self.room else None
        if free is not None and free < self.room:
            raise LedgerDiskFull(
                f"only {free // 10**6} MB are free on the disk with the ledger, {self.room // 10**6} MB are wanted",
                to=shown(self.engine.url),
            )

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


def _may_be_begun_anew(error: BaseException) -> bool:
    """A failure of the database that passes: as it comes from the driver, or translated already."""
    if isinstance(error, LedgerUnavailable) and error.__cause__ is not None:
        return passes(error.__cause__)
    return passes(error)


def _tell(state: RetryCallState) -> None:
    """Once, when it begins: what is waited for must be in the log at once."""
    if state.attempt_number == 1 and state.outcome is not None:
        error = state.outcome.exception()
        log.warning("ledger_away", code=LedgerUnavailable.code, because=" ".join(str(error).split())[:300])


def _draw_identity(connection: Connection) -> Row[Any]:
    """The one row of `ledger`, made if nobody else has made it while we waited for the table."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("LOCK TABLE ledger IN EXCLUSIVE MODE"))
    if connection.execute(select(ledger)).first() is None:
        connection.execute(insert(ledger).values(uuid=uuid4(), epoch=1, mirrored_event=0, watermarks={}))
    return connection.execute(select(ledger)).one()
