"""What a person may do to what moves: release, retry, cancel, and close what was given up.

PROMISES
- every change leaves an event with the ledger's `actor` (open it as `person:<name>`) and the reason;
- a status never goes forward here, so no action can skip a proof; `retry` of a held file sends it back to
  the beginning, which costs time and nothing else;
- each action may be repeated: what already stands as asked is left alone and makes no event;
- a running worker is not interrupted: it finds held or moved items gone at its next guarded transaction.

`cancel` and `close_abandoned` have files of their own and are offered here too; `pausing` and `prioritising` stand
beside this one.
"""

from sqlalchemy import ColumnElement, exists, or_, select, update

from transfer.errors import NothingFound
from transfer.ledger import endpoints, incidents
from transfer.ledger.abandoning import close_abandoned
from transfer.ledger.cancelling import cancel
from transfer.ledger.files import TROUBLE
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
from transfer.ledger.tables import OPEN, batches, datasets, items, sessions
from transfer.ledger.tables import endpoints as endpoint_table
from transfer.pacing import Breaker
from transfer.status import Status

__all__ = ["CANCELLED", "Done", "cancel", "close_abandoned", "release", "release_all", "retry"]


def release(ledger: Ledger, target: Target, *, why: str | None = None) -> Done:
    """Let what is held go on from the fact it stands at: tries 0, due now.  An endpoint is resumed.

    A file that could not be moved as it was is looked at again.
    """
    if target.kind == "endpoint":
        return _resume(ledger, target.name, why)
    with ledger.unguarded() as tx:
        done = release_items(tx, items_of(target), why)
        if target.kind == "batch":
            _lift_cancellations(tx, [batches.c.id == target.row], done, why)
        else:
            _look_at_troubles(tx, items_of(target), done, why)
        which = sessions_of(target)
        if which is not None:
            free_sessions(tx, which, done, why)
        return done


def release_all(ledger: Ledger, *, hold: str | None = None, why: str | None = None) -> Done:
    """Release everything that is held, or everything held as `hold`; endpoints only without a name."""
    with ledger.unguarded() as tx:
        done = release_items(tx, [items.c.hold == hold] if hold else [], why)
        free_sessions(tx, [sessions.c.hold == hold] if hold else [], done, why)
        if hold in (None, CANCELLED):
            _lift_cancellations(tx, [], done, why)
        if hold is None:
            _look_at_troubles(tx, [], done, why)
            paused = tx.connection.scalars(
                select(endpoint_table.c.name).where(endpoint_table.c.paused_by.is_not(None))
            ).all()
    for name in paused if hold is None else []:
        done.endpoints += _resume(ledger, name, why).endpoints
    return done


def release_items(tx: Guarded, which: Conditions, why: str | None) -> Done:
    """Let the held items among these go on, and what keeps their batches from moving."""
    found = tx.connection.execute(
        open_items(items.c.hold, items.c.status, items.c.batch, datasets.c.session, datasets.c.gone_at).where(
            items.c.hold.is_not(None), *which
        )
    ).all()
    done = Done(items=[row.id for row in found])
    for ids in chunks(done.items):
        tx.connection.execute(
            update(items)
            .where(items.c.id.in_(ids))
            .values(hold=None, hold_text=None, tries=0, not_before=tx.now, error=None, error_text=None)
        )
    tell(tx, "item", [(row.id, "released", row.hold, None, why) for row in found])
    for some in chunks(sorted({row.batch for row in found if row.batch is not None})):
        tx.connection.execute(
            update(batches)
            .where(batches.c.id.in_(some))
            .values(not_before=None, tries=0, error=None, error_text=None)
        )
        _lift_cancellations(tx, [batches.c.id.in_(some)], done, why)
    _visit_again(tx, {row.session for row in found if row.status == Status.DISCOVERED or row.gone_at})
    return done


def _lift_cancellations(tx: Guarded, which: Conditions, done: Done, why: str | None) -> None:
    cancelled = tx.connection.scalars(
        select(batches.c.id).where(batches.c.open == OPEN, batches.c.cancel_at.is_not(None), *which)
    ).all()
    for some in chunks(cancelled):
        tx.connection.execute(update(batches).where(batches.c.id.in_(some)).values(cancel_at=None))
    tell(tx, "batch", [(batch, "released", None, None, why) for batch in cancelled])
    done.batches += cancelled


def _look_at_troubles(tx: Guarded, which: Conditions, done: Done, why: str | None) -> None:
    """Visit the sessions whose files could not be moved as they were, once more and now."""
    found = tx.connection.scalars(
        select(sessions.c.id)
        .distinct()
        .join(datasets, datasets.c.session == sessions.c.id)
        .where(TROUBLE, datasets.c.gone_at.is_(None), sessions.c.hold.is_(None), _not_due(tx), *which)
    ).all()
    _visit_again(tx, set(found))
    tell(tx, "session", [(one, "released", None, None, why) for one in found])
    done.sessions += found


def _not_due(tx: Guarded) -> ColumnElement[bool]:
    return or_(sessions.c.not_before.is_(None), sessions.c.not_before > tx.now)


def free_sessions(tx: Guarded, which: Conditions, done: Done, why: str | None) -> None:
    """Let the held sessions among these be visited again."""
    held = tx.connection.execute(
        select(sessions.c.id, sessions.c.hold).where(sessions.c.hold.is_not(None), *which)
    ).all()
    ids = [row.id for row in held]
    done.sessions += ids
    for some in chunks(ids):
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


def _resume(ledger: Ledger, name: str, why: str | None) -> Done:
    """Use an endpoint again and end its incidents; nothing is written when nothing keeps it back."""
    state = endpoints.state(ledger, name)
    if state is None:
        raise NothingFound("there is no such endpoint", to=name)
    kept_back = state.paused_by or state.retry_at or state.breaker is not Breaker.CLOSED
    if not kept_back and not incidents.current(ledger, name):
        return Done()
    return Done(endpoints=[name] if endpoints.resume(ledger, name, why=why) else [])


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
        return _resume(ledger, target.name, why)
    with ledger.unguarded() as tx:
        done = Done()
        which = items_of(target)
        if target.kind == "file":
            _start_again(tx, which, done, why)
        found = tx.connection.execute(
            open_items(items.c.batch).where(items.c.hold.is_(None), _can_be_hastened(tx), *which)
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


def _can_be_hastened(tx: Guarded) -> ColumnElement[bool]:
    """Whether an item waits for its time, or still remembers failures; so does its batch."""
    batch_waits = exists().where(
        batches.c.id == items.c.batch, or_(batches.c.not_before > tx.now, batches.c.tries > 0)
    )
    return or_(items.c.not_before > tx.now, items.c.tries > 0, items.c.error.is_not(None), batch_waits)


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
    ids = tx.connection.scalars(
        select(sessions.c.id).where(sessions.c.hold.is_(None), _not_due(tx), *which)
    ).all()
    for some in chunks(ids):
        tx.connection.execute(
            update(sessions)
            .where(sessions.c.id.in_(some))
            .values(not_before=tx.now, tries=0, error=None, error_text=None)
        )
    tell(tx, "session", [(one, "retried", None, None, why) for one in ids])
    done.sessions = list(ids)
