"""cancel: stop moving a file, a session, a batch or a lab, until somebody releases it.  `pausing` stops so, too.

A running worker is not interrupted: held items are gone for it at its next guarded transaction.  What
stands under its final name already (PUBLISHED) is left to finish: it is one request away from its end, and
nothing may be held whose central record nobody has read.  Not stopped is what a visit is discovering at
this very moment; cancel again once it has.
"""

from sqlalchemy import ColumnElement, exists, or_, select, update

from transfer.errors import ActionUnfitting
from transfer.ledger.finding import Target
from transfer.ledger.guarded import Guarded, chunks
from transfer.ledger.ledger import Ledger
from transfer.ledger.scopes import (
    CANCELLED,
    Done,
    items_of,
    open_items,
    sessions_of,
    tell,
    with_open_items,
)
from transfer.ledger.tables import OPEN, batches, items, sessions
from transfer.status import Status


def cancel(ledger: Ledger, target: Target, *, why: str | None = None) -> Done:
    """Stop moving a file, session, batch or lab until it is released.  PUBLISHED items finish."""
    if target.kind == "endpoint":
        raise ActionUnfitting(
            "an endpoint is not cancelled", to=target.name, do=f"Use alyx-transfer pause {target.name}."
        )
    return stop(ledger, target, hold=CANCELLED, cure="Release it", why=why)


def stop(ledger: Ledger, target: Target, *, hold: str, cure: str, why: str | None) -> Done:
    """Hold under the name `hold`, which is the event's name as well, until a person does what `cure` says."""
    with ledger.unguarded() as tx:
        done = Done()
        who = ledger.actor.removeprefix("person:")
        reason = f"{hold.capitalize()} by {who}{': ' + why if why else ''}".rstrip(".")
        text = f"{reason}. {cure} to let it go on."
        found = tx.connection.execute(
            open_items(items.c.status).where(
                items.c.hold.is_(None), items.c.status != Status.PUBLISHED, *items_of(target)
            )
        ).all()
        done.items = [row.id for row in found]
        for some in chunks(done.items):
            tx.connection.execute(update(items).where(items.c.id.in_(some)).values(hold=hold, hold_text=text))
        tell(tx, "item", [(row.id, hold, row.status, None, why) for row in found])
        _stop_sessions(tx, target, (hold, text), done, why)
        _stop_batches(tx, target, hold, done, why)
        return done


def _stop_sessions(tx: Guarded, target: Target, kept: tuple[str, str], done: Done, why: str | None) -> None:
    """Hold the sessions as well, or a visit would open new items for them."""
    which = sessions_of(target)
    if which is None:
        return
    hold, text = kept
    wanted = [sessions.c.not_before.is_not(None) | with_open_items()] if target.kind == "lab" else []
    done.sessions = list(
        tx.connection.scalars(select(sessions.c.id).where(sessions.c.hold.is_(None), *which, *wanted))
    )
    for some in chunks(done.sessions):
        tx.connection.execute(
            update(sessions).where(sessions.c.id.in_(some)).values(hold=hold, hold_text=text)
        )
    tell(tx, "session", [(one, hold, None, None, why) for one in done.sessions])


def _stop_batches(tx: Guarded, target: Target, hold: str, done: Done, why: str | None) -> None:
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
    tell(tx, "batch", [(one, hold, None, None, why) for one in done.batches])
