"""What the ledger knows of the places: whether one may be used now, and what was learnt about it.

A failure that reaches a whole endpoint keeps back every claim on its routes until `retry_at`; one that
only a person can cure pauses the endpoint with the sentence that says why.  Alyx itself is the endpoint
called `alyx`.  When its time has come one piece of work, or one cheap look, goes first (see `pacing` and `gates`);
how many batches may move to it at once is its `pace`, kept with the reasons for every change.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select, update

from transfer import pacing
from transfer.errors import HashCommandLies, TransferError
from transfer.ledger import gates, incidents
from transfer.ledger.engine import insert_into
from transfer.ledger.guarded import Guarded
from transfer.ledger.ledger import Ledger
from transfer.ledger.tables import OPEN, batches, endpoints, events
from transfer.pacing import Breaker, Pace

ALYX = "alyx"
PROGRAM = "alyx-transfer"  # who paused an endpoint, when it was no person


@dataclass(frozen=True, kw_only=True, slots=True)
class EndpointState:
    """One endpoint's row."""

    name: str
    breaker: Breaker
    failures: int
    retry_at: datetime | None
    paused_by: str | None
    pause_reason: str | None
    capabilities: Mapping[str, Any]
    free_bytes: int | None
    probed_at: datetime | None
    pace: Pace


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
        breaker=Breaker(row.breaker),
        failures=row.failures,
        retry_at=row.retry_at,
        paused_by=row.paused_by,
        pause_reason=row.pause_reason,
        capabilities=row.capabilities or {},
        free_bytes=row.free_bytes,
        probed_at=row.probed_at,
        pace=pacing.pace_of(row.pace),
    )


def failed(ledger: Ledger, name: str, error: TransferError, *, retry_at: datetime) -> None:
    """Keep back the endpoint's work until `retry_at`; from then on one goes first."""
    with ledger.unguarded() as tx:
        told = tx.connection.scalar(
            select(endpoints.c.pace).where(endpoints.c.name == name).with_for_update()
        )
        was = pacing.pace_of(told)
        pace = pacing.after_failure(was, error, now=tx.now)
        tx.connection.execute(
            update(endpoints)
            .where(endpoints.c.name == name)
            .values(
                breaker=Breaker.OPEN.value,
                failures=endpoints.c.failures + 1,
                retry_at=retry_at,
                pace=told if pace == was else pacing.as_json(pace),
            )
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


def went_well(ledger: Ledger, *names: str) -> None:
    """These endpoints did what they were asked: forget their failures, end their incidents.

    Writes nothing, and asks one question, when there are none.
    """
    with ledger.reading() as connection:
        told = connection.execute(
            select(endpoints.c.name, endpoints.c.breaker, endpoints.c.failures, endpoints.c.retry_at).where(
                endpoints.c.name.in_(names)
            )
        ).all()
        troubled = incidents.open_among(connection, names)
    for name in troubled:
        incidents.heard_from(ledger, name)
    for row in told:
        if row.breaker != Breaker.CLOSED or row.failures or row.retry_at is not None:
            _recovered(ledger, row.name)


def _recovered(ledger: Ledger, name: str) -> None:
    with ledger.unguarded() as tx:
        tx.connection.execute(
            update(endpoints)
            .where(endpoints.c.name == name)
            .values(breaker=Breaker.CLOSED.value, failures=0, retry_at=None)
        )
        tx.log("endpoint", [(name, "recovered", None, None, None)])


def moved_well(ledger: Ledger, name: str, *, moved: int, seconds: float) -> None:
    """A batch moved `moved` bytes to the endpoint: perhaps it may be given more at once.  Mostly writes nothing."""
    with ledger.reading() as connection:
        now = ledger.now(connection)
        told = connection.scalar(select(endpoints.c.pace).where(endpoints.c.name == name))
        moving = connection.scalar(
            select(func.count())
            .select_from(batches)
            .where(batches.c.open == OPEN, batches.c.target == name, batches.c.lease_until > now)
        )
    rate = moved * (moving or 1) / seconds if moved and seconds > 0 else None
    was = pacing.pace_of(told)
    pace = pacing.after_success(was, moving=moving or 1, rate=rate, now=now)
    if pace == was:
        return
    with ledger.writing() as connection:
        connection.execute(
            update(endpoints).where(endpoints.c.name == name).values(pace=pacing.as_json(pace))
        )


# ---- looking whether it is well again


def due_for_a_look(ledger: Ledger, names: Sequence[str]) -> list[str]:
    """Those of `names` that failed, whose time has come, and at which nobody is busy."""
    with ledger.reading() as connection:
        now = ledger.now(connection)
        rows = connection.execute(
            select(endpoints).where(endpoints.c.name.in_(names), endpoints.c.name.not_in(gates.full(now)))
        ).all()
    return sorted(
        row.name
        for row in rows
        if pacing.may_probe(row.breaker, retry_at=row.retry_at, paused=row.paused_by is not None, now=now)
    )


def begin_look(ledger: Ledger, name: str, *, seconds: float) -> bool:
    """Take the endpoint for one look of at most `seconds`; False when somebody else has, or it need not be."""
    with ledger.writing() as connection:
        now = ledger.now(connection)
        row = connection.execute(select(endpoints).where(endpoints.c.name == name).with_for_update()).first()
        if row is None or not pacing.may_probe(
            row.breaker, retry_at=row.retry_at, paused=row.paused_by is not None, now=now
        ):
            return False
        if connection.scalar(gates.full(now).where(endpoints.c.name == name)) is not None:
            return False
        connection.execute(
            update(endpoints)
            .where(endpoints.c.name == name)
            .values(breaker=Breaker.PROBING.value, retry_at=now + timedelta(seconds=seconds))
        )
        return True


def looked_well(ledger: Ledger, name: str, *, wholly: bool) -> None:
    """The look went well: one piece of work goes first, or, where a look proves it `wholly`, all goes on."""
    if wholly:
        went_well(ledger, name)
        return
    with ledger.unguarded() as tx:
        looked = tx.connection.execute(
            update(endpoints)
            .where(endpoints.c.name == name, endpoints.c.breaker == Breaker.PROBING.value)
            .values(breaker=Breaker.HALF_OPEN.value, retry_at=None, probed_at=tx.now)
        )
        if looked.rowcount:
            tx.log("endpoint", [(name, "answered", None, None, None)])


# ---- a person's word


def pause(ledger: Ledger, name: str, *, by: str, reason: str, code: str | None = None) -> None:
    """Use the endpoint no more until somebody resumes it.  `code` is the error's that is the reason, if one is."""
    with ledger.unguarded() as tx:
        tx.connection.execute(
            update(endpoints).where(endpoints.c.name == name).values(paused_by=by, pause_reason=reason)
        )
        tx.log("endpoint", [(name, "paused", None, None, reason)], {"code": code} if code else None)


def resume(ledger: Ledger, name: str, *, why: str | None = None) -> bool:
    """Use the endpoint again, at once; False when there is no such endpoint."""
    with ledger.unguarded() as tx:
        resumed = tx.connection.execute(
            update(endpoints)
            .where(endpoints.c.name == name)
            .values(
                paused_by=None,
                pause_reason=None,
                retry_at=None,
                failures=0,
                breaker=Breaker.CLOSED.value,
                capabilities=_put_to_the_test(tx, name),
            )
        )
        if resumed.rowcount:
            tx.log("endpoint", [(name, "resumed", None, None, why)])
        incidents.close(tx, name)
        return resumed.rowcount == 1


def _put_to_the_test(tx: Guarded, name: str) -> dict[str, Any] | None:
    """What was learnt, without the disbelief in a hash command that somebody may have repaired."""
    told: dict[str, Any] | None = tx.connection.scalar(
        select(endpoints.c.capabilities).where(endpoints.c.name == name)
    )
    if not told or not told.get("demoted"):
        return told
    return {key: value for key, value in told.items() if key not in ("demoted", "remote_hash", "canary_at")}


def saw(ledger: Ledger, name: str, *, free_bytes: int | None, credential_until: datetime | None) -> None:
    """Remember what a connection tells of the endpoint, for people; what it does not tell stays as it was."""
    told = {"free_bytes": free_bytes, "credential_until": credential_until}
    known = {key: value for key, value in told.items() if value is not None}
    if not known:
        return
    with ledger.writing() as connection:
        now = ledger.now(connection)
        connection.execute(update(endpoints).where(endpoints.c.name == name).values(**known, probed_at=now))


def learnt(ledger: Ledger, name: str, *, free_bytes: int | None = None, **capabilities: object) -> None:
    """Remember what a connection to the endpoint was proved to be able to do.  `demoted` opens an incident."""
    known = state(ledger, name) if capabilities.get("demoted") else None
    if known is not None and not known.capabilities.get("demoted"):
        incidents.note(ledger, HashCommandLies("the store's hash command lies", to=name), name)
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
