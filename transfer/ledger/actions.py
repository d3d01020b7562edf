"""What a person may do to what moves: release, retry, cancel, and close what was given up.

PROMISES
- every change leaves an event with the ledger's `actor` (open it as `person:<name>`) and the reason;
- a status never goes forward here, so no action can skip a proof; `retry` of a held file sends it back to
  the beginning, which costs time and nothing else;
- each action may be repeated: what already stands as asked is left alone and makes no event;
- a running worker is not interrupted: it finds held or moved items gone at its next guarded transaction.

`cancel` and `close_abandoned` have files of their own and are offered here too.
"""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, and_, select, update

from transfer.errors import NothingFound
from transfer.ledger import endpoints
from transfer.ledger.abandoning import close_abandoned
from transfer.ledger.cancelling import cancel
from transfer.ledger.finding import Target
from transfer.ledger.guarded import Guarded, chunks
from transfer.ledger.ledger import Ledger
from transfer.ledger.scopes import (
    CANCELLED,
    Conditions,
    Done,
    items_of,
    open_items,
    sessions_of,
    sessions_of_batch,
    tell,
)
from transfer.ledger.tables import batches, datasets, items, sessions
from transfer.ledger.tables import endpoints as endpoint_table
from transfer.status import Status

__all__ = ["CANCELLED", "Done", "cancel", "close_abandoned", "release", "release_all", "retry"]


def release(ledger: Ledger, target: Target, *, why: str | None = None) -> Done:
    """Let what is held go on from the fact it stands at: tries 0, due now.  An endpoint is resumed."""
    if target.kind == "endpoint":
        return _resume(ledger, target.name)
    with ledger.unguarded() as tx:
        return _release(tx, items_of(target), sessions_of(target), _batches_of(target), why)


def release_all(ledger: Ledger, *, hold: str | None = None, why: str | None = None) -> Done:
    """Release everything that is held, or everything held as `hold`; endpoints only without a name."""
    named_items: list[ColumnElement[bool]] = [items.c.hold == hold] if hold else []
    named_sessions: list[ColumnElement[bool]] = [sessions.c.hold == hold] if hold else []
    with ledger.unguarded() as tx:
        cancelled = [batches.c.cancel_at.is_not(None)] if hold in (None, CANCELLED) else None
        done = _release(tx, named_items, named_sessions, cancelled, why)
    if hold is None:
        with ledger.reading() as connection:
            paused = connection.scalars(
                select(endpoint_table.c.name).where(endpoint_table.c.paused_by.is_not(None))
            ).all()
        for name in paused:
            done.endpoints += _resume(ledger, name).endpoints
    return done


def _release(
    tx: Guarded,
    which: Conditions,
    of_sessions: Conditions | None,
    of_batches: Conditions | None,
    why: str | None,
) -> Done:
    done = Done()
    found = tx.connection.execute(
        open_items(items.c.hold, items.c.status, items.c.batch, datasets.c.session, datasets.c.gone_at).where(
            items.c.hold.is_not(None), *which
        )
    ).all()
    done.items = [row.id for row in found]
    for ids in chunks(done.items):
        tx.connection.execute(
            update(items)
            .where(items.c.id.in_(ids))
            .values(hold=None, hold_text=None, tries=0, not_before=tx.now, error=None, error_text=None)
        )
    tell(tx, "item", [(row.id, "released", row.hold, row.status, why) for row in found])
    _free_batches(tx, sorted({row.batch for row in found if row.batch is not None}), of_batches, done, why)
    if of_sessions is not None:
        _free_sessions(tx, of_sessions, done, why)
    _visit_again(tx, {row.session for row in found if row.status == Status.DISCOVERED or row.gone_at})
    return done


def _free_batches(
    tx: Guarded, ids: Sequence[int], which: Conditions | None, done: Done, why: str | None
) -> None:
    """Lift cancellations, and forget failures of batches whose items were released."""
    cancelled: set[int] = set()
    of_ids = [batches.c.id.in_(some) for some in chunks(ids)]
    for condition in [*of_ids, *([and_(*which)] if which else [])]:
        cancelled |= set(
            tx.connection.scalars(
                select(batches.c.id).where(batches.c.open == 1, batches.c.cancel_at.is_not(None), condition)
            )
        )
    for some in chunks(sorted(cancelled | set(ids))):
        tx.connection.execute(
            update(batches)
            .where(batches.c.id.in_(some), batches.c.open == 1)
            .values(cancel_at=None, not_before=None, tries=0, error=None, error_text=None)
        )
    done.batches = sorted(cancelled)
    tell(tx, "batch", [(batch, "released", None, None, why) for batch in done.batches])


def _free_sessions(tx: Guarded, which: Conditions, done: Done, why: str | None) -> None:
    held = tx.connection.execute(
        select(sessions.c.id, sessions.c.hold).where(sessions.c.hold.is_not(None), *which)
    ).all()
    done.sessions = [row.id for row in held]
    for some in chunks(done.sessions):
        tx.connection.execute(
            update(sessions)
            .where(sessions.c.id.in_(some))
            .values(
                hold=None,
                hold_text=None,
                tries=0,
                not_before=tx.now,
                error=None,
                error_text=None,
                unquiet_since=None,
            )
        )
    tell(tx, "session", [(row.id, "released", row.hold, None, why) for row in held])


def _resume(ledger: Ledger, name: str) -> Done:
    """Use an endpoint again; nothing is written when nothing keeps it back."""
    state = endpoints.state(ledger, name)
    if state is None:
        raise NothingFound("there is no such endpoint", to=name)
    if state.paused_by is None and state.retry_at is None:
        return Done()
    return Done(endpoints=[name] if endpoints.resume(ledger, name) else [])


def _batches_of(target: Target) -> Conditions | None:
    return [batches.c.id == target.row] if target.kind == "batch" else None


def _visit_again(tx: Guarded, ids: set[int]) -> None:
    """Sessions whose visit is the released items' next step are due, too."""
    for some in chunks(sorted(ids)):
        tx.connection.execute(
            update(sessions)
            .where(sessions.c.id.in_(some), sessions.c.hold.is_(None))
            .values(not_before=tx.now)
        )


def retry(ledger: Ledger, target: Target, *, why: str | None = None) -> Done:
    """Make it due now and forget its failures.  Held files stay held, except one that is named itself.

    A held file that is named goes back to DISCOVERED: it is hashed, registered and sent anew.
    """
    if target.kind == "endpoint":
        return _resume(ledger, target.name)
    with ledger.unguarded() as tx:
        done = Done()
        which = items_of(target)
        if target.kind == "file":
            _start_again(tx, which, done, why)
        found = tx.connection.execute(
            open_items(items.c.status, items.c.batch).where(items.c.hold.is_(None), *which)
        ).all()
        ids = [row.id for row in found if row.id not in done.items]
        for some in chunks(ids):
            tx.connection.execute(
                update(items)
                .where(items.c.id.in_(some))
                .values(not_before=tx.now, tries=0, error=None, error_text=None)
            )
        tell(tx, "item", [(one, "retried", None, None, why) for one in ids])
        done.items += ids
        for some in chunks(sorted({row.batch for row in found if row.batch is not None})):
            tx.connection.execute(
                update(batches)
                .where(batches.c.id.in_(some), batches.c.cancel_at.is_(None))
                .values(not_before=None, tries=0, error=None, error_text=None)
            )
        _rediscover(tx, target, done, why)
        return done


def _start_again(tx: Guarded, which: Conditions, done: Done, why: str | None) -> None:
    """Held items go back to the first fact; workers leave held items alone, so nobody is in between."""
    held = tx.connection.execute(open_items(items.c.status).where(items.c.hold.is_not(None), *which)).all()
    for some in chunks([row.id for row in held]):
        tx.connection.execute(
            update(items)
            .where(items.c.id.in_(some))
            .values(
                status=Status.DISCOVERED,
                batch=None,
                attempt=None,
                partial=None,
                proof=None,
                proved_at=None,
                hold=None,
                hold_text=None,
                tries=0,
                not_before=tx.now,
                error=None,
                error_text=None,
                since=tx.now,
            )
        )
    reason = why or "a person lets it begin again"
    tell(tx, "item", [(row.id, "moved", row.status, Status.DISCOVERED, reason) for row in held])
    done.items += [row.id for row in held]


def _rediscover(tx: Guarded, target: Target, done: Done, why: str | None) -> None:
    which = sessions_of(target)
    if which is None:
        file = select(datasets.c.session).where(datasets.c.id == target.id)
        which = (
            [sessions.c.id.in_(file)]
            if target.kind == "file"
            else [sessions.c.id.in_(sessions_of_batch(target))]
        )
    ids = tx.connection.scalars(select(sessions.c.id).where(sessions.c.hold.is_(None), *which)).all()
    for some in chunks(ids):
        tx.connection.execute(
            update(sessions)
            .where(sessions.c.id.in_(some))
            .values(not_before=tx.now, tries=0, error=None, error_text=None)
        )
    tell(tx, "session", [(one, "retried", None, None, why) for one in ids])
    done.sessions = list(ids)
