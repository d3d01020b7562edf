"""What the ledger keeps of limits: a person's own, a person's timetable, and that a lab machine must not be disturbed.

A person's limit and timetable are a JSON column each of the endpoint's row, so that every worker finds them; who set
them and why is an event, as for all that persons do.  Keeping a lab machine's work back is no failure: it counts none,
opens no breaker, and lapses by itself when the worker that said so dies.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Select, null, select, update

from transfer.bandwidth import Wish, Written
from transfer.errors import QuietHours, RigRecording, TransferError
from transfer.ledger import endpoints as places
from transfer.ledger.leases import Lease
from transfer.ledger.ledger import Ledger
from transfer.ledger.tables import batches, endpoints, events, sessions
from transfer.timetable import shown

_OURS = frozenset({RigRecording.code, QuietHours.code})


def wish_of(ledger: Ledger, name: str) -> Wish | None:
    """A person's limit for the endpoint, also one that is over; None if there is none."""
    with ledger.reading() as connection:
        kept = connection.scalar(select(endpoints.c.bandwidth).where(endpoints.c.name == name))
    return _wish(kept)


def said(ledger: Ledger, name: str) -> tuple[Wish | None, Written | None]:
    """A person's limit and timetable for the endpoint, each None if there is none."""
    query = select(endpoints.c.bandwidth, endpoints.c.timetable).where(endpoints.c.name == name)
    with ledger.reading() as connection:
        row = connection.execute(query).first()
    return (_wish(row.bandwidth), _written(row.timetable)) if row else (None, None)


def timetables(ledger: Ledger) -> dict[str, Written]:
    """Every timetable that a person wrote, by the endpoint's name."""
    query = select(endpoints.c.name, endpoints.c.timetable).where(endpoints.c.timetable.is_not(None))
    with ledger.reading() as connection:
        rows = connection.execute(query).all()
    found = {row.name: _written(row.timetable) for row in rows}
    return {name: written for name, written in found.items() if written is not None}


def set_timetable(
    ledger: Ledger, name: str, entries: Sequence[str], *, timezone: str | None, why: str | None
) -> bool:
    """Have these entries, which were read before, hold instead of the config's; False when they do already."""
    with ledger.unguarded() as tx:
        before = _written(tx.connection.scalar(_timetable_of(name)))
        if before is not None and (before.entries, before.timezone) == (tuple(entries), timezone):
            return False
        value = {
            "entries": list(entries),
            "timezone": timezone,
            "by": tx.actor,
            "since": tx.now.isoformat(),
            "why": why,
        }
        tx.connection.execute(update(endpoints).where(endpoints.c.name == name).values(timetable=value))
        was = "; ".join(before.entries)[:_SHOWN] if before else None
        tx.log("endpoint", [(name, "timetable set", was, "; ".join(entries)[:_SHOWN], why)])
        return True


_SHOWN = 200  # letters of a timetable in its event


def clear_timetable(ledger: Ledger, name: str, *, why: str | None) -> bool:
    """Let the config's timetable hold again; False when it does already."""
    with ledger.unguarded() as tx:
        before = _written(tx.connection.scalar(_timetable_of(name)))
        if before is None:
            return False
        tx.connection.execute(update(endpoints).where(endpoints.c.name == name).values(timetable=null()))
        was = "; ".join(before.entries)[:_SHOWN]
        tx.log("endpoint", [(name, "timetable cleared", was, None, why)])
        return True


def _timetable_of(name: str) -> Select[Any]:
    return select(endpoints.c.timetable).where(endpoints.c.name == name)


def _written(kept: dict[str, Any] | None) -> Written | None:
    if kept is None:
        return None
    return Written(
        entries=tuple(kept["entries"]),
        timezone=kept["timezone"],
        by=kept["by"],
        since=datetime.fromisoformat(kept["since"]),
        why=kept["why"],
    )


def set_limit(
    ledger: Ledger,
    name: str,
    rate: int | None,
    *,
    lasting: timedelta | None,
    until: datetime | None,
    why: str | None,
) -> Wish:
    """Make `rate` the endpoint's limit, by the ledger's actor, for so long or until then; answers what was written."""
    with ledger.unguarded() as tx:
        end = tx.now + lasting if lasting else until
        wish = Wish(rate=rate, by=tx.actor, since=tx.now, until=end, why=why)
        before = _wish(tx.connection.scalar(select(endpoints.c.bandwidth).where(endpoints.c.name == name)))
        tx.connection.execute(update(endpoints).where(endpoints.c.name == name).values(bandwidth=_kept(wish)))
        was = shown(before.rate) if before else None
        detail = {"until": end.isoformat()} if end else None
        tx.log("endpoint", [(name, "limited", was, shown(rate), why)], detail)
        return wish


def clear_limit(ledger: Ledger, name: str, *, why: str | None) -> bool:
    """Let the config's limits hold again; False when there was nothing to clear."""
    with ledger.unguarded() as tx:
        before = _wish(tx.connection.scalar(select(endpoints.c.bandwidth).where(endpoints.c.name == name)))
        if before is None:
            return False
        tx.connection.execute(update(endpoints).where(endpoints.c.name == name).values(bandwidth=null()))
        tx.log("endpoint", [(name, "limit cleared", shown(before.rate), None, why)])
        return True


def _kept(wish: Wish) -> dict[str, Any]:
    return {
        "rate": wish.rate,
        "by": wish.by,
        "since": wish.since.isoformat(),
        "until": wish.until.isoformat() if wish.until else None,
        "why": wish.why,
    }


def _wish(kept: dict[str, Any] | None) -> Wish | None:
    if kept is None:
        return None
    return Wish(
        rate=kept["rate"],
        by=kept["by"],
        since=datetime.fromisoformat(kept["since"]),
        until=datetime.fromisoformat(kept["until"]) if kept["until"] else None,
        why=kept["why"],
    )


# ---- a lab machine that must not be disturbed ----------------------------------------------------------------


def keep_quiet(ledger: Ledger, name: str, error: TransferError, *, until: datetime) -> None:
    """Keep the lab's work back until then, for `error`; an event is written only when this is news."""
    code, _ = places.last_failure(ledger, name)
    with ledger.unguarded() as tx:
        row = tx.connection.execute(select(endpoints.c.retry_at).where(endpoints.c.name == name)).first()
        if row is None or (row.retry_at is not None and row.retry_at >= until):
            return
        tx.connection.execute(update(endpoints).where(endpoints.c.name == name).values(retry_at=until))
        if code != error.code or row.retry_at is None or row.retry_at <= tx.now:
            tx.log("endpoint", [(name, "failed", None, None, error.sentence)], {"code": error.code})


def quiet_reason(connection: Connection, name: str) -> str | None:
    """Why the endpoint was last kept back, if that was for quiet."""
    row = connection.execute(
        select(events.c.why, events.c.detail)
        .where(events.c.subject == "endpoint", events.c.subject_id == name, events.c.what == "failed")
        .order_by(events.c.id.desc())
        .limit(1)
    ).first()
    return row.why if row and (row.detail or {}).get("code") in _OURS else None


def let_go_on(ledger: Ledger, name: str) -> None:
    """Keep the lab's work back no longer, if it was kept back for quiet; another failure's wait stays."""
    state = places.state(ledger, name)
    if state is None or state.retry_at is None or places.last_failure(ledger, name)[0] not in _OURS:
        return
    with ledger.unguarded() as tx:
        tx.connection.execute(update(endpoints).where(endpoints.c.name == name).values(retry_at=None))
        tx.log("endpoint", [(name, "recovered", None, None, None)])


def given_back(ledger: Ledger, lease: Lease, error: TransferError) -> None:
    """Write down why a worker gives its work back; it stays due, and no try is counted."""
    table = sessions if lease.kind == "session" else batches
    with ledger.guarded(lease) as tx:
        tx.connection.execute(
            update(table)
            .where(table.c.id == lease.subject)
            .values(error=error.code, error_text=error.sentence)
        )
        tx.log(lease.kind, [(lease.subject, "given back", None, None, error.sentence)])
