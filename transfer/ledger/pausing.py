"""pause and resume: keep a session or an endpoint from moving for a while, and let it go on.

A paused endpoint is used no more; nothing of what waits for it is touched.  A session is paused by a hold of its own
name, so that `resume` lifts that and nothing else; `release` lifts it as well.  As with `cancel`, what stands under its
final name finishes, and what a visit is discovering at this very moment is not stopped.

A lab is paused at its own repository: `place_of` says which.  All may be repeated.
"""

from collections.abc import Mapping
from dataclasses import replace

from transfer.errors import ActionUnfitting
from transfer.ledger import actions, endpoints
from transfer.ledger.cancelling import stop
from transfer.ledger.finding import Target
from transfer.ledger.ledger import Ledger
from transfer.ledger.scopes import PAUSED, Done, items_of, sessions_of
from transfer.ledger.tables import items, sessions


def place_of(target: Target, repositories: Mapping[str, str]) -> Target:
    """Where a target is paused: a lab at its repository, all else where it is.  `repositories` are the labs'."""
    if target.kind != "lab" or target.name not in repositories:
        return target
    return replace(target, kind="endpoint", name=repositories[target.name])


def pause(ledger: Ledger, target: Target, *, why: str) -> Done:
    """Move nothing more of a session, or at an endpoint, until it is resumed.  Raises `ActionUnfitting`."""
    if target.kind == "session":
        return stop(ledger, target, hold=PAUSED, cure="Resume it", why=why)
    _refuse_others(target, "paused")
    state = endpoints.state(ledger, target.name)
    if state is not None and state.paused_by is not None and state.pause_reason == why:
        return Done()
    endpoints.pause(ledger, target.name, by=ledger.actor, reason=why)
    return Done(endpoints=[target.name])


def resume(ledger: Ledger, target: Target, *, why: str | None = None) -> Done:
    """Let a session that is paused, or an endpoint, go on at once.  Raises `ActionUnfitting`, `NothingFound`."""
    if target.kind != "session":
        _refuse_others(target, "resumed")
        return actions.release(ledger, target, why=why)
    which = sessions_of(target)
    assert which is not None
    with ledger.unguarded() as tx:
        done = actions.release_items(tx, [*items_of(target), items.c.hold == PAUSED], why)
        actions.free_sessions(tx, [*which, sessions.c.hold == PAUSED], done, why)
        return done


def _refuse_others(target: Target, done: str) -> None:
    if target.kind != "endpoint":
        raise ActionUnfitting(
            f"a {target.kind} is not {done}",
            to=target.name,
            do="Name a session, a lab of the config or an endpoint; a file or a batch is cancelled and released.",
        )
