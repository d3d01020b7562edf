"""Endpoints as an operator looks at them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, select

from transfer import pacing
from transfer.ledger.ledger import Ledger
from transfer.ledger.sums import total
from transfer.ledger.tables import OPEN, copies, endpoints, events, items
from transfer.pacing import Breaker, Gate


@dataclass(frozen=True, kw_only=True, slots=True)
class Reason:
    """One change of the pace, and why."""

    at: datetime
    at_once: int  # batches
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """One endpoint.  `standing` is one word: well, waiting (failed, tried again at `retry_at`), looking, paused."""

    name: str
    standing: str
    breaker: str
    failures: int
    retry_at: datetime | None
    paused_by: str | None
    pause_reason: str | None
    last_error: str | None
    last_error_text: str | None
    at_once: int  # how many batches may move to it at once
    reasons: tuple[Reason, ...]
    capabilities: Mapping[str, Any]
    free_bytes: int | None
    probed_at: datetime | None
    credential_until: datetime | None
    backlog_files: int
    backlog_bytes: int


def places(ledger: Ledger) -> tuple[Place, ...]:
    """All of them, by name."""
    with ledger.reading() as connection:
        return asked(connection, ledger.now(connection))


def asked(connection: Connection, now: datetime) -> tuple[Place, ...]:
    """The same within a transaction that stands."""
    waiting = {row.name: (int(row.files), int(row.bytes)) for row in connection.execute(_WAITING)}
    rows = connection.execute(select(endpoints).order_by(endpoints.c.name)).all()
    return tuple(_place(connection, row, waiting.get(row.name, (0, 0)), now) for row in rows)


# The place is looked up for each open item: joined, a database may begin with every copy there is.
_WAITING_AT = select(copies.c.repository).where(copies.c.id == items.c.copy).scalar_subquery().label("name")
_WAITING = (
    select(_WAITING_AT, func.count().label("files"), total(items.c.size).label("bytes"))
    .where(items.c.open == OPEN)
    .group_by("name")
)


def _place(connection: Connection, row: Row[Any], waiting: tuple[int, int], now: datetime) -> Place:
    pace = pacing.pace_of(row.pace)
    code, text = _last_failure(connection, row.name) if row.failures or row.paused_by else (None, None)
    return Place(
        name=row.name,
        standing=_standing(row, now),
        breaker=row.breaker,
        failures=row.failures,
        retry_at=row.retry_at,
        paused_by=row.paused_by,
        pause_reason=row.pause_reason,
        last_error=code,
        last_error_text=text,
        at_once=pace.at_once,
        reasons=tuple(Reason(at=one.at, at_once=one.became, why=one.why) for one in reversed(pace.decisions)),
        capabilities=row.capabilities or {},
        free_bytes=row.free_bytes,
        probed_at=row.probed_at,
        credential_until=row.credential_until,
        backlog_files=waiting[0],
        backlog_bytes=waiting[1],
    )


def _standing(row: Row[Any], now: datetime) -> str:
    if row.paused_by is not None:
        return "paused"
    if row.breaker == Breaker.PROBING:
        return "looking"
    gate = pacing.gate(row.breaker, retry_at=row.retry_at, paused=False, now=now)
    return "well" if gate is Gate.FREE else "waiting"


def _last_failure(connection: Connection, name: str) -> tuple[str | None, str | None]:
    """Code and sentence of what last kept the endpoint back."""
    row = connection.execute(
        select(events.c.why, events.c.detail)
        .where(events.c.subject == "endpoint", events.c.subject_id == name)
        .where(events.c.what.in_(["failed", "paused"]))
        .order_by(events.c.id.desc())
        .limit(1)
    ).first()
    return ((row.detail or {}).get("code"), row.why) if row else (None, None)
