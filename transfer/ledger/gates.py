"""Which endpoints take no further piece of work now, as conditions of a claim: `pacing`'s gates, asked of the ledger.

An endpoint is *full* when its breaker admits one piece of work at a time and somebody is busy there, or when as
many batches move to it as its pace allows.  The claims of two workers on PostgreSQL see each other only after one
has committed, so a claim asks again (`admitted`) with the endpoints' rows locked.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    Table,
    and_,
    bindparam,
    case,
    false,
    func,
    literal,
    or_,
    select,
    union_all,
)

from transfer.ledger.tables import OPEN, Instant, batches, endpoints, sessions
from transfer.pacing import START, Breaker

_ALYX = "alyx"


def full(now: datetime) -> Select[Any]:
    """The names of the endpoints that take nothing more now."""
    one_at_a_time = endpoints.c.breaker != Breaker.CLOSED.value
    moving = (
        select(func.count())
        .select_from(batches)
        .where(batches.c.open == OPEN, batches.c.target == endpoints.c.name, batches.c.lease_until > now)
        .correlate(endpoints)
        .scalar_subquery()
    )
    # `case`, because a database may ask both sides of an AND, and who is busy takes a look at every lease.
    return select(endpoints.c.name).where(
        or_(
            case((one_at_a_time, endpoints.c.name.in_(_busy(now))), else_=false()),
            moving >= func.coalesce(endpoints.c.pace["at_once"].as_integer(), START),
        )
    )


def full_of_large(now: datetime, large_bytes: int) -> Select[Any]:
    """The names of the endpoints that take no further large file now: one place is always left to what is small."""
    moving = (
        select(func.count())
        .select_from(batches)
        .where(
            batches.c.open == OPEN,
            batches.c.target == endpoints.c.name,
            batches.c.lease_until > now,
            is_large(large_bytes),
        )
        .correlate(endpoints)
        .scalar_subquery()
    )
    places = func.coalesce(endpoints.c.pace["at_once"].as_integer(), START)
    return select(endpoints.c.name).where(moving >= case((places > 1, places - 1), else_=1))


def leaves_a_place(now: datetime, large_bytes: int) -> ColumnElement[bool]:
    """The condition that a large batch may be taken: another place at its target stays free of large files."""
    return batches.c.target.not_in(full_of_large(now, large_bytes))


def is_large(large_bytes: int) -> ColumnElement[bool]:
    """The condition that a batch is one file of at least so many bytes."""
    return and_(batches.c.files == 1, batches.c.bytes >= large_bytes)


def _busy(now: datetime) -> Any:
    """The endpoints that a leased session or batch touches.

    A batch is not busy at Alyx: it may push for hours while Alyx is away, and what waits to be told must not wait
    for that.
    """
    parts = [
        select(column).where(table.c.lease_until > now)
        for table, column in (
            (batches, batches.c.target),
            (batches, batches.c.source),
            (sessions, sessions.c.source),
            (sessions, literal(_ALYX)),
        )
    ]
    return union_all(*parts)


def taken(name: Any, now: datetime) -> ColumnElement[bool]:
    """The condition that the endpoint `name` is full."""
    condition: ColumnElement[bool] = (literal(name) if isinstance(name, str) else name).in_(full(now))
    return condition


def names_of(table: Table, row: Row[Any]) -> list[str]:
    """The endpoints that a session or batch cannot do without: bytes move while Alyx is away."""
    return [row.source, _ALYX] if table is sessions else [row.source, row.target]


def admitted(
    connection: Connection, names: Sequence[str], now: datetime, *, large_bytes: int | None = None
) -> bool:
    """Whether a claim that touches these endpoints may still be taken; their rows stay locked until it is.

    `large_bytes` is told for a claim of a large file, by the size from which files are large.
    """
    connection.execute(_LOCK, {"names": list(names)})
    told = {"names": list(names), "now": now}
    if large_bytes is not None:
        told["large_bytes"] = large_bytes
    return connection.execute(_refused(large_bytes is not None), told).first() is None


_NAMES: Any = bindparam("names", expanding=True)
_LOCK = (
    select(endpoints.c.name).where(endpoints.c.name.in_(_NAMES)).order_by(endpoints.c.name).with_for_update()
)


@cache
def _refused(large: bool) -> Select[Any]:
    """Which of these names take nothing more: somebody may have begun a look, or heard of a failure, meanwhile."""
    now: Any = bindparam("now", type_=Instant)
    shut = or_(
        endpoints.c.paused_by.is_not(None), endpoints.c.retry_at > now, endpoints.c.name.in_(full(now))
    )
    if large:
        large_bytes: Any = bindparam("large_bytes")
        shut = or_(shut, endpoints.c.name.in_(full_of_large(now, large_bytes)))
    return select(endpoints.c.name).where(endpoints.c.name.in_(_NAMES), shut).limit(1)
