"""prioritise: a person's word on what goes first.

A session's level counts for its visits, for the batches that its files travel in already, and for those that they are
planned into later.  A lab's word is given to those of its sessions that have something to do now.  A batch may be named
itself; its level holds until one of its sessions gets another.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, Select, func, select, update

from transfer.errors import ActionUnfitting
from transfer.ledger.finding import Target
from transfer.ledger.guarded import Guarded, chunks
from transfer.ledger.ledger import Ledger
from transfer.ledger.scopes import Conditions, Done, sessions_of, tell, with_open_items
from transfer.ledger.tables import OPEN, batches, copies, datasets, items, sessions

NORMAL = 0
RAISED = 10
"""What a person means who names no level."""
HIGHEST = 100
"""A level is at most so far above or below `NORMAL`."""

_WHAT = "prioritised"


def prioritise(ledger: Ledger, target: Target, level: int, *, why: str | None = None) -> Done:
    """Let a session, a batch or what a lab has to do go before all of a lower level.  Raises `ActionUnfitting`."""
    if not -HIGHEST <= level <= HIGHEST:
        raise ActionUnfitting(f"a level is between {-HIGHEST} and {HIGHEST}", to=level, do="Choose another.")
    which = sessions_of(target)
    if which is None and target.kind != "batch":
        raise ActionUnfitting(
            f"{'an endpoint' if target.kind == 'endpoint' else 'a file'} has no priority of its own",
            to=target.name,
            do="Name a session, a batch or a lab.",
        )
    with ledger.unguarded() as tx:
        done = Done()
        if which is None:
            _set_batches(tx, [(row, level) for row in _batches(tx, target)], done, why)
            return done
        busy = [sessions.c.not_before.is_not(None) | with_open_items()] if target.kind == "lab" else []
        _set_sessions(tx, [*which, *busy], level, done, why)
        _set_batches(tx, [(row, row.wanted) for row in tx.connection.execute(_carrying(which))], done, why)
        return done


def _set_sessions(tx: Guarded, which: Conditions, level: int, done: Done, why: str | None) -> None:
    found = tx.connection.execute(
        select(sessions.c.id, sessions.c.priority).where(sessions.c.priority != level, *which)
    ).all()
    done.sessions = [row.id for row in found]
    for some in chunks(done.sessions):
        tx.connection.execute(update(sessions).where(sessions.c.id.in_(some)).values(priority=level))
    tell(tx, "session", [(row.id, _WHAT, str(row.priority), str(level), why) for row in found])


def _batches(tx: Guarded, target: Target) -> Sequence[Any]:
    query = select(batches.c.id, batches.c.priority).where(batches.c.id == target.row, batches.c.open == OPEN)
    return tx.connection.execute(query).all()


def _carrying(which: Conditions) -> Select[Any]:
    """The open batches with open files of these sessions, and the level that the highest of their sessions asks for."""
    loaded = (
        select(items.c.batch)
        .join(copies, copies.c.id == items.c.copy)
        .join(datasets, datasets.c.id == copies.c.dataset)
        .join(sessions, sessions.c.id == datasets.c.session)
        .where(items.c.open == OPEN, items.c.batch.is_not(None), *which)
    )
    return (
        select(batches.c.id, batches.c.priority, func.max(sessions.c.priority).label("wanted"))
        .join(items, items.c.batch == batches.c.id)
        .join(copies, copies.c.id == items.c.copy)
        .join(datasets, datasets.c.id == copies.c.dataset)
        .join(sessions, sessions.c.id == datasets.c.session)
        .where(batches.c.open == OPEN, items.c.open == OPEN, batches.c.id.in_(loaded))
        .group_by(batches.c.id, batches.c.priority)
    )


def _set_batches(tx: Guarded, found: Sequence[tuple[Row[Any], int]], done: Done, why: str | None) -> None:
    changed = [(row, level) for row, level in found if row.priority != level]
    done.batches = [row.id for row, _ in changed]
    by_level = defaultdict(list)
    for row, level in changed:
        by_level[level].append(row.id)
    for level, ids in by_level.items():
        for some in chunks(ids):
            tx.connection.execute(update(batches).where(batches.c.id.in_(some)).values(priority=level))
    tell(tx, "batch", [(row.id, _WHAT, str(row.priority), str(level), why) for row, level in changed])
