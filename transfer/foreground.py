"""Pushing named sessions now, in this process: what `alyx-transfer push` runs.

It shares every line with the workers.  What a worker holds is only watched; what must wait (a file still
being written, an endpoint that is away) is left to the ledger and shown.
"""

from collections.abc import Callable, Sequence

from transfer.runner import Runner

_LOOK_AGAIN = 1.0  # seconds between looks at what somebody else holds


def push(
    runner: Runner, sessions: Sequence[int], *, watching: Callable[[Sequence[str]], None] | None = None
) -> None:
    """Take these sessions as far as they go now.  `watching` is told who else works on them while we wait."""
    for session in sessions:
        runner.ledger.make_due(session)
    while True:
        if runner.advance_session(only=sessions):
            continue
        runner.plan(only=sessions)
        batches = runner.ledger.batches_of(sessions)
        if batches and runner.advance_batch(only=batches):
            continue
        others = runner.ledger.busy("session", sessions) + runner.ledger.busy("batch", batches)
        if not others:
            return
        if watching:
            watching(others)
        runner.sleep(_LOOK_AGAIN)
