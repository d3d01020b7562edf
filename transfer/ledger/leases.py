"""Who is busy with a session, a batch or a job, and until when.

A claim draws a random attempt id, the lease's token.  Every guarded transaction begins by renewing the
row `WHERE token = mine AND until > now`, so guard, heartbeat and row lock are one write.  The holder
itself stops acting by its own monotonic clock a margin before the lease ends (`ensure`), because a
worker that was paused must not go on in the belief that it still holds what another has taken over.
"""

import os
import secrets
import socket
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import ColumnElement, Connection, Table, and_, or_, select, update

from transfer.errors import LostRace
from transfer.ledger.tables import batches, jobs, sessions

Kind = Literal["session", "batch", "job"]

_TABLES: dict[Kind, Table] = {"session": sessions, "batch": batches, "job": jobs}
_MARGIN = 0.2  # of the lease: how long before its end the holder stops acting


def holder_name() -> str:
    """This process, as leases show it: host, pid."""
    return f"{socket.gethostname()}:{os.getpid()}"


class Lease:
    """A held claim.  `token` is the attempt id, 8 hex digits, drawn at random for each claim."""

    def __init__(
        self,
        kind: Kind,
        subject: int | str,
        *,
        seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
        token: str | None = None,
    ) -> None:
        self.kind: Kind = kind
        self.subject = subject
        self.seconds = seconds
        self.token = token or secrets.token_hex(4)
        self._monotonic = monotonic
        self._act_until = monotonic() + seconds * (1 - _MARGIN)
        self._forfeited = False

    def ensure(self) -> None:
        """Raise `LostRace` when it is too late to act; call it before every outside effect."""
        if self._forfeited or self._monotonic() >= self._act_until:
            raise LostRace(
                f"this worker was too slow and no longer holds the {self.kind}",
                to=f"{self.kind} {self.subject}",
            )

    def forfeit(self) -> None:
        """From any thread: whoever works under this lease stops at its next outside effect."""
        self._forfeited = True

    def begin_renewal(self) -> float:
        """The monotonic moment *before* a renewal is sent; hand it to `renewed`."""
        return self._monotonic()

    def renewed(self, begun: float) -> None:
        """A renewal that was sent at `begun` was committed."""
        self._act_until = begun + self.seconds * (1 - _MARGIN)

    def __repr__(self) -> str:
        return f"<Lease {self.token} on {self.kind} {self.subject}>"


def free(table: Table, now: datetime) -> ColumnElement[bool]:
    """The condition that nobody holds the row."""
    return or_(table.c.lease_until.is_(None), table.c.lease_until <= now)


def _row(lease: Lease) -> tuple[Table, ColumnElement[bool]]:
    table = _TABLES[lease.kind]
    key = table.c.name if lease.kind == "job" else table.c.id
    return table, key == lease.subject


def take(connection: Connection, lease: Lease, now: datetime) -> bool:
    """Write the lease on its row if nobody holds it."""
    table, row = _row(lease)
    taken = connection.execute(
        update(table)
        .where(row, free(table, now))
        .values(
            lease_token=lease.token,
            lease_holder=holder_name(),
            lease_until=now + timedelta(seconds=lease.seconds),
        )
    )
    return taken.rowcount == 1


def renew(connection: Connection, lease: Lease, now: datetime) -> None:
    """Guard, heartbeat and row lock in one write.  Raises `LostRace`."""
    table, row = _row(lease)
    renewed = connection.execute(
        update(table)
        .where(and_(row, table.c.lease_token == lease.token, table.c.lease_until > now))
        .values(lease_until=now + timedelta(seconds=lease.seconds))
    )
    if renewed.rowcount != 1:
        raise LostRace(f"another worker holds the {lease.kind} now", to=f"{lease.kind} {lease.subject}")


def release(connection: Connection, lease: Lease) -> None:
    """Give the row back if it is still ours."""
    table, row = _row(lease)
    connection.execute(
        update(table)
        .where(row, table.c.lease_token == lease.token)
        .values(lease_token=None, lease_holder=None, lease_until=None)
    )


def held_by(connection: Connection, kind: Kind, subject: int | str, now: datetime) -> str | None:
    """Who holds the row now, None when nobody does."""
    table = _TABLES[kind]
    key = table.c.name if kind == "job" else table.c.id
    return connection.scalar(select(table.c.lease_holder).where(key == subject, table.c.lease_until > now))
