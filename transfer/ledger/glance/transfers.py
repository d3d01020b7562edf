"""Batches: what moves now and how fast, and what moved last."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, and_, case, func, or_, select

from transfer.errors import NothingFound
from transfer.ledger.glance.pages import Page, number, paged
from transfer.ledger.health import labs_of
from transfer.ledger.ledger import Ledger
from transfer.ledger.tables import OPEN, batches, events, items
from transfer.status import Status


@dataclass(frozen=True, kw_only=True, slots=True)
class Transfer:
    """One batch.  `holder` is the worker that moves it now; `rate` and `done_at` are told only while it moves.

    `doing` is one word for people: waiting, sending, verifying, recording, cancelled, done.  `done_at` is an honest
    guess from the bytes moved since the lease began; None where too little has moved to tell.
    """

    id: int
    source: str
    target: str
    lab: str | None
    transport: str
    files: int
    bytes: int
    bytes_moved: int
    files_recorded: int
    files_held: int
    priority: int
    open: bool
    doing: str
    holder: str | None
    not_before: datetime | None
    rate: float | None  # bytes/s
    done_at: datetime | None
    tries: int
    error: str | None
    error_text: str | None
    task: str | None  # the mover's
    note: str | None


def moving(ledger: Ledger, *, limit: int = 50) -> tuple[Transfer, ...]:
    """Batches that a worker or a mover moves at this moment."""
    with ledger.reading() as connection:
        return asked(connection, ledger.now(connection), limit=limit)


def asked(connection: Connection, now: datetime, *, limit: int = 50) -> tuple[Transfer, ...]:
    """The same within a transaction that stands."""
    held = or_(batches.c.lease_until > now, batches.c.task.is_not(None))
    query = select(batches).where(batches.c.open == OPEN, held)
    rows = connection.execute(query.order_by(batches.c.id).limit(limit)).all()
    return tuple(_all(connection, rows, now))


def transfers(
    ledger: Ledger, *, open_only: bool = False, after: str | None = None, limit: int = 50
) -> Page[Transfer]:
    """The newest first."""
    query = select(batches).order_by(batches.c.id.desc())
    if open_only:
        query = query.where(batches.c.open == OPEN)
    if after is not None:
        query = query.where(batches.c.id < number(after))
    with ledger.reading() as connection:
        rows = connection.execute(query.limit(limit + 1)).all()
        return paged(_all(connection, rows, ledger.now(connection)), limit, lambda last: last.id)


def transfer(ledger: Ledger, batch: int) -> Transfer:
    """One.  Raises `NothingFound`."""
    with ledger.reading() as connection:
        rows = connection.execute(select(batches).where(batches.c.id == batch)).all()
        for found in _all(connection, rows, ledger.now(connection)):
            return found
    raise NothingFound("the ledger has no such batch", to=batch, do="See the list of transfers.")


_TOO_SOON = timedelta(seconds=3)
"""Before that a rate says nothing."""

_COUNTS = ("recorded", "held", "sent", "verified")


def _all(connection: Connection, rows: Sequence[Row[Any]], now: datetime) -> list[Transfer]:
    """These batches, with the counts of their files and the time since their leases were taken."""
    ids = [row.id for row in rows]
    counts = _counts(connection, ids)
    labs = labs_of(connection, {row.source for row in rows})
    begun = _begun(connection, [row for row in rows if row.lease_until and row.lease_until > now])
    return [_transfer(row, counts[row.id], labs.get(row.source), begun.get(row.id), now) for row in rows]


def _counts(connection: Connection, ids: Sequence[int]) -> dict[int, dict[str, int]]:
    """Of each batch: files that arrived, that are held, and that stand between."""

    def count(condition: Any, name: str) -> Any:
        return func.sum(case((condition, 1), else_=0)).label(name)

    query = (
        select(
            items.c.batch,
            count(items.c.status == Status.RECORDED, "recorded"),
            count(and_(items.c.open == OPEN, items.c.hold.is_not(None)), "held"),
            count(items.c.status == Status.SENT, "sent"),
            count(items.c.status.in_([Status.VERIFIED, Status.PUBLISHED]), "verified"),
            func.count().label("all"),
        )
        .where(items.c.batch.in_(ids))
        .group_by(items.c.batch)
    )
    found: dict[int, dict[str, int]] = defaultdict(lambda: dict.fromkeys((*_COUNTS, "all"), 0))
    for row in connection.execute(query) if ids else ():
        found[row.batch] = {name: int(row._mapping[name]) for name in (*_COUNTS, "all")}
    return found


def _begun(connection: Connection, rows: Sequence[Row[Any]]) -> dict[int, tuple[datetime, int]]:
    """When each of these leases was taken, and the bytes that had moved before."""
    query = select(events.c.subject_id, events.c.at, events.c.attempt, events.c.detail).where(
        events.c.subject == "batch",
        events.c.subject_id.in_([str(row.id) for row in rows]),
        events.c.what == "claimed",
    )
    tokens = {row.lease_token: row.id for row in rows}
    return {
        tokens[row.attempt]: (row.at, int((row.detail or {}).get("bytes_moved", 0)))
        for row in (connection.execute(query) if rows else ())
        if row.attempt in tokens
    }


def _transfer(
    row: Row[Any], counts: dict[str, int], lab: str | None, begun: tuple[datetime, int] | None, now: datetime
) -> Transfer:
    rate, done_at = _pace(row, begun, now)
    return Transfer(
        id=row.id,
        source=row.source,
        target=row.target,
        lab=lab,
        transport=row.transport,
        files=row.files,
        bytes=row.bytes,
        bytes_moved=min(row.bytes_moved, row.bytes),
        files_recorded=counts["recorded"],
        files_held=counts["held"],
        priority=row.priority,
        open=row.open is not None,
        doing=_doing(row, counts, now),
        holder=row.lease_holder if row.lease_until and row.lease_until > now else None,
        not_before=row.not_before,
        rate=rate,
        done_at=done_at,
        tries=row.tries,
        error=row.error,
        error_text=row.error_text,
        task=row.task,
        note=row.note,
    )


def _pace(
    row: Row[Any], begun: tuple[datetime, int] | None, now: datetime
) -> tuple[float | None, datetime | None]:
    """Bytes per second since the lease was taken, and when the rest would be there at that rate."""
    if begun is None or now - begun[0] < _TOO_SOON or row.bytes_moved <= begun[1]:
        return None, None
    rate = (row.bytes_moved - begun[1]) / (now - begun[0]).total_seconds()
    left = max(row.bytes - row.bytes_moved, 0)
    return rate, now + timedelta(seconds=left / rate) if left else None


def _doing(row: Row[Any], counts: dict[str, int], now: datetime) -> str:
    """One word for people."""
    if row.open is None:
        return "cancelled" if row.cancel_at is not None else "done"
    if row.cancel_at is not None:
        return "cancelled"
    if not (row.lease_until and row.lease_until > now):
        return "sending" if row.task is not None else "waiting"
    if counts["sent"] + counts["verified"] + counts["recorded"] + counts["held"] < counts["all"]:
        return "sending"
    return "verifying" if counts["sent"] else "recording"
