"""What the ledger knows of the places: whether one may be used now, and what was learnt about it.

A failure that reaches a whole endpoint keeps back every claim on its routes until `retry_at`; one that
only a person can cure pauses the endpoint with the sentence that says why.  Alyx itself is the endpoint
called `alyx`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, update

from transfer.errors import TransferError
from transfer.ledger.engine import insert_into
from transfer.ledger.ledger import Ledger
from transfer.ledger.tables import endpoints, events

ALYX = "alyx"
PROGRAM = "alyx-transfer"  # who paused an endpoint, when it was no person


@dataclass(frozen=True, kw_only=True, slots=True)
class EndpointState:
    """One endpoint's row."""

    name: str
    failures: int
    retry_at: datetime | None
    paused_by: str | None
    pause_reason: str | None
    capabilities: Mapping[str, Any]
    free_bytes: int | None
    probed_at: datetime | None


def ensure(ledger: Ledger, names: Sequence[str]) -> None:
    """Make sure each endpoint has its row."""
    with ledger.writing() as connection:
        new = [{"name": name, "breaker": "closed", "failures": 0} for name in sorted(set(names))]
        if new:
            connection.execute(insert_into(connection, endpoints).on_conflict_do_nothing(), new)


def state(ledger: Ledger, name: str) -> EndpointState | None:
    with ledger.reading() as connection:
        row = connection.execute(select(endpoints).where(endpoints.c.name == name)).first()
    if row is None:
        return None
    return EndpointState(
        name=row.name,
        failures=row.failures,
        retry_at=row.retry_at,
        paused_by=row.paused_by,
        pause_reason=row.pause_reason,
        capabilities=row.capabilities or {},
        free_bytes=row.free_bytes,
        probed_at=row.probed_at,
    )


def failed(ledger: Ledger, name: str, error: TransferError, *, retry_at: datetime) -> None:
    """Keep back the endpoint's work until `retry_at`."""
    with ledger.unguarded() as tx:
        tx.connection.execute(
            update(endpoints)
            .where(endpoints.c.name == name)
            .values(breaker="open", failures=endpoints.c.failures + 1, retry_at=retry_at)
        )
        tx.log("endpoint", [(name, "failed", None, None, error.sentence)], {"code": error.code})


def last_failure(ledger: Ledger, name: str) -> tuple[str | None, str | None]:
    """Code and sentence of what last kept the endpoint back; (None, None) if nothing ever did."""
    with ledger.reading() as connection:
        row = connection.execute(
            select(events.c.why, events.c.detail)
            .where(
                events.c.subject == "endpoint",
                events.c.subject_id == name,
                events.c.what.in_(["failed", "paused"]),
            )
            .order_by(events.c.id.desc())
            .limit(1)
        ).first()
    return ((row.detail or {}).get("code"), row.why) if row else (None, None)


def went_well(ledger: Ledger, name: str) -> None:
    """The endpoint answered: forget its failures.  Writes nothing when there are none."""
    with ledger.reading() as connection:
        row = connection.execute(
            select(endpoints.c.failures, endpoints.c.retry_at).where(endpoints.c.name == name)
        ).first()
    if row is None or (row.failures == 0 and row.retry_at is None):
        return
    with ledger.unguarded() as tx:
        tx.connection.execute(
            update(endpoints)
            .where(endpoints.c.name == name)
            .values(breaker="closed", failures=0, retry_at=None)
        )
        tx.log("endpoint", [(name, "recovered", None, None, None)])


def pause(ledger: Ledger, name: str, *, by: str, reason: str, code: str | None = None) -> None:
    """Use the endpoint no more until somebody resumes it.  `code` is the error's that is the reason, if one is."""
    with ledger.unguarded() as tx:
        tx.connection.execute(
            update(endpoints).where(endpoints.c.name == name).values(paused_by=by, pause_reason=reason)
        )
        tx.log("endpoint", [(name, "paused", None, None, reason)], {"code": code} if code else None)


def resume(ledger: Ledger, name: str) -> bool:
    """Use the endpoint again, at once; False when there is no such endpoint."""
    with ledger.unguarded() as tx:
        resumed = tx.connection.execute(
            update(endpoints)
            .where(endpoints.c.name == name)
            .values(paused_by=None, pause_reason=None, retry_at=None, failures=0, breaker="closed")
        )
        if resumed.rowcount:
            tx.log("endpoint", [(name, "resumed", None, None, None)])
        return resumed.rowcount == 1


def learnt(ledger: Ledger, name: str, *, free_bytes: int | None = None, **capabilities: object) -> None:
    """Remember what a connection to the endpoint was proved to be able to do."""
    with ledger.unguarded() as tx:
        row = tx.connection.execute(
            select(endpoints.c.capabilities, endpoints.c.free_bytes).where(endpoints.c.name == name)
        ).first()
        if row is None:
            return
        tx.connection.execute(
            update(endpoints)
            .where(endpoints.c.name == name)
            .values(
                capabilities={**(row.capabilities or {}), **capabilities},
                free_bytes=row.free_bytes if free_bytes is None else free_bytes,
                probed_at=tx.now,
            )
        )
