"""Workers: those that say they live, those that fell silent, and what each holds."""

import os
import socket
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, select, update

from transfer.ledger.engine import insert_into
from transfer.ledger.leases import holder_name
from transfer.ledger.ledger import Ledger
from transfer.ledger.tables import OPEN, batches, jobs, sessions
from transfer.ledger.tables import workers as table

SILENT_AFTER = timedelta(minutes=3)
_FORGOTTEN_AFTER = timedelta(days=30)


@dataclass(frozen=True, kw_only=True, slots=True)
class Holding:
    """One lease."""

    kind: str  # session, batch, job
    id: str
    name: str
    until: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Worker:
    """One worker process.  `standing`: alive, silent (not heard of for `SILENT_AFTER`), stopped.

    `duty` is what it takes: names of labs, "central"; empty where that is not known.
    """

    holder: str
    host: str
    pid: int
    version: str
    hands: int
    duty: str
    started_at: datetime
    seen_at: datetime
    standing: str
    holds: tuple[Holding, ...]


def here(ledger: Ledger, *, version: str, hands: int, duty: str = "") -> None:
    """Say that this process lives; called at the start and every minute."""
    with ledger.writing() as connection:
        now = ledger.now(connection)
        row = insert_into(connection, table).values(
            holder=holder_name(),
            host=socket.gethostname(),
            pid=os.getpid(),
            version=version,
            hands=hands,
            duty=duty,
            started_at=now,
            seen_at=now,
        )
        said = {"version": version, "hands": hands, "duty": duty, "seen_at": now, "stopped_at": None}
        connection.execute(row.on_conflict_do_update(index_elements=[table.c.holder], set_=said))
        connection.execute(delete(table).where(table.c.seen_at < now - _FORGOTTEN_AFTER))


def versions(connection: Connection, now: datetime) -> tuple[str, ...]:
    """Of the workers that live; more than one while a fleet is being upgraded."""
    living = select(table.c.version).where(
        table.c.stopped_at.is_(None), table.c.seen_at >= now - SILENT_AFTER
    )
    return tuple(connection.scalars(living.distinct().order_by(table.c.version)))


def gone(ledger: Ledger) -> None:
    """Say that this process stops, of its own will."""
    with ledger.writing() as connection:
        now = ledger.now(connection)
        connection.execute(update(table).where(table.c.holder == holder_name()).values(stopped_at=now))


def workers(ledger: Ledger, *, since: timedelta = timedelta(days=7)) -> tuple[Worker, ...]:
    """Those heard of since then, the living first; leases of processes that never said so are shown as well."""
    with ledger.reading() as connection:
        now = ledger.now(connection)
        heard = connection.execute(select(table).where(table.c.seen_at >= now - since)).all()
        holdings = defaultdict(list)
        for holder, holding in _holdings(connection, now):
            holdings[holder].append(holding)
    found = [
        Worker(
            **{name: getattr(row, name) for name in _SAID},
            standing=_standing(row.seen_at, row.stopped_at, now),
            holds=tuple(holdings.pop(row.holder, ())),
        )
        for row in heard
    ]
    found += [_unsaid(holder, tuple(holds), now) for holder, holds in holdings.items()]
    return tuple(sorted(found, key=lambda one: (_STANDINGS.index(one.standing), one.holder)))


_SAID = ("holder", "host", "pid", "version", "hands", "duty", "started_at", "seen_at")
_STANDINGS = ("alive", "silent", "stopped")


def _standing(seen_at: datetime, stopped_at: datetime | None, now: datetime) -> str:
    if stopped_at is not None:
        return "stopped"
    return "alive" if seen_at >= now - SILENT_AFTER else "silent"


def _unsaid(holder: str, holds: tuple[Holding, ...], now: datetime) -> Worker:
    """A process known by its leases only: `push`, or a worker before its first sweep."""
    host, _, pid = holder.rpartition(":")
    return Worker(
        holder=holder,
        host=host,
        pid=int(pid) if pid.isdigit() else 0,
        version="",
        hands=len(holds),
        duty="",
        started_at=now,
        seen_at=now,
        standing="alive",
        holds=holds,
    )


def _holdings(connection: Connection, now: datetime) -> Iterator[tuple[str, Holding]]:
    """Every lease that holds now, and its holder."""
    some = select(sessions.c.id, sessions.c.path, sessions.c.lease_holder, sessions.c.lease_until)
    leased = connection.execute(some.where(sessions.c.lease_until > now)).all()
    for row in sorted(leased, key=lambda row: row.id):
        yield row.lease_holder, Holding(kind="session", id=str(row.id), name=row.path, until=row.lease_until)
    some = select(batches).where(batches.c.open == OPEN, batches.c.lease_until > now).order_by(batches.c.id)
    for row in connection.execute(some):
        name = f"{row.files} files to {row.target}"
        yield row.lease_holder, Holding(kind="batch", id=str(row.id), name=name, until=row.lease_until)
    for row in connection.execute(select(jobs).where(jobs.c.lease_until > now).order_by(jobs.c.name)):
        yield row.lease_holder, Holding(kind="job", id=row.name, name=row.name, until=row.lease_until)
