"""cancel: stop moving a file, a session, a batch or a lab, until somebody releases it.

A running worker is not interrupted: held items are gone for it at its next guarded transaction.  What
stands under its final name already (PUBLISHED) is left to finish: it is one request away from its end, and
nothing may be held whose central record nobody has read.  Not stopped is what a visit is discovering at
this very moment; cancel again once it has.
"""

from sqlalchemy import ColumnElement, exists, or_, select, update

from transfer.errors import NothingFound
from transfer.ledger.finding import Target
from transfer.ledger.guarded import Guarded, chunks
from transfer.ledger.ledger import Ledger
from transfer.ledger.scopes import CANCELLED, Done, items_of, open_items, sessions_of, tell
from transfer.ledger.tables import OPEN, batches, copies, datasets, items, sessions
from transfer.status import Status


def cancel(ledger: Ledger, target: Target, *, why: str | None = None) -> Done:
    """Stop moving a file, session, batch or lab until it is released.  PUBLISHED items finish."""
    if target.kind == "endpoint":
        raise NothingFound(
            "an endpoint is not cancelled", to=target.name, do=f"Use alyx-transfer pause {target.name}."
        )
    with ledger.unguarded() as tx:
        done = Done()
        reason = f"Cancelled by {ledger.actor.removeprefix('person:')}{': ' + why if why else ''}."
        text = f"{reason.rstrip('.')}. Release it to let it go on."
        found = tx.connection.execute(
            open_items(items.c.status).where(
                items.c.hold.is_(None), items.c.status != Status.PUBLISHED, *items_of(target)
            )
        ).all()
        done.items = [row.id for row in found]
        for some in chunks(done.items):
            tx.connection.execute(
                update(items).where(items.c.id.in_(some)).values(hold=CANCELLED, hold_text=text)
            )
        tell(tx, "item", [(row.id, CANCELLED, row.status, None, why) for row in found])
        _cancel_sessions(tx, target, text, done, why)
        _cancel_batches(tx, target, done, why)
        return done


def _cancel_sessions(tx: Guarded, target: Target, text: str, done: Done, why: str | None) -> None:
    """Hold the sessions as well, or a visit would open new items for them."""
    which = sessions_of(target)
    if which is None:
        return
    busy = exists().where(
        datasets.c.session == sessions.c.id,
        copies.c.dataset == datasets.c.id,
        items.c.copy == copies.c.id,
        items.c.open == OPEN,
    )
    wanted = [sessions.c.not_before.is_not(None) | busy] if target.kind == "lab" else []
    done.sessions = list(
        tx.connection.scalars(select(sessions.c.id).where(sessions.c.hold.is_(None), *which, *wanted))
    )
    for some in chunks(done.sessions):
        tx.connection.execute(
            update(sessions).where(sessions.c.id.in_(some)).values(hold=CANCELLED, hold_text=text)
        )
    tell(tx, "session", [(one, CANCELLED, None, None, why) for one in done.sessions])


def _cancel_batches(tx: Guarded, target: Target, done: Done, why: str | None) -> None:
    """Mark the batches that have nothing left to do, so that nobody claims them."""
    going_on = exists().where(items.c.batch == batches.c.id, items.c.open == OPEN, items.c.hold.is_(None))
    touched: list[ColumnElement[bool]] = []
    if target.kind == "batch":
        touched.append(batches.c.id == target.id)
    touched += [
        exists().where(items.c.batch == batches.c.id, items.c.id.in_(some)) for some in chunks(done.items)
    ]
    if not touched:
        return
    done.batches = list(
        tx.connection.scalars(
            select(batches.c.id).where(
                batches.c.open == OPEN, batches.c.cancel_at.is_(None), ~going_on, or_(*touched)
            )
        )
    )
    for some in chunks(done.batches):
        tx.connection.execute(update(batches).where(batches.c.id.in_(some)).values(cancel_at=tx.now))
    tell(tx, "batch", [(one, CANCELLED, None, None, why) for one in done.batches])
