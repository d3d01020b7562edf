"""The schedule: one table of what beat rings for, and how often.

Beat rings more often than a round is due; the ledger's `jobs` decide whether it is walked (see
`transfer.rounds`).  So beats may be missed, doubled or late.  A round that was rung for exactly as often as
it is due would be walked every second time only, because its interval begins when the last walk has ended.
A beat that begins rings for everything at once: what was missed while it was away is made up now.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from transfer.model import Lab
from workers import tasks
from workers.crew import Every

Row = tuple[str, timedelta, tuple[str, ...]]  # task, interval, arguments

_LOOK_IN = timedelta(minutes=5)  # the longest a due round waits for its ring
_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
_RINGS = 5  # so often we ring within a round's interval, where that is short


def beat_schedule(
    *, labs: Sequence[Lab], stores: Sequence[str], every: Every, sweep: timedelta
) -> dict[str, dict[str, Any]]:
    """Celery's `beat_schedule` for these labs and stores."""
    rounds: list[Row] = []
    for lab in labs:
        rounds.append((tasks.SCAN, every.scan, (lab.name,)))
        rounds.append((tasks.RECONCILE, every.reconcile, (lab.name,)))
        rounds.append((tasks.MIRROR, every.mirror, (lab.name,)))
    rounds += [(tasks.TIDY, every.tidy, (store,)) for store in stores]
    rounds += [(tasks.PROVE, every.prove, (store,)) for store in stores]
    rounds.append((tasks.SANITY, every.sanity, ()))
    rows: list[Row] = [(tasks.SWEEP, sweep, ())]
    rows += [(name, min(interval / _RINGS, _LOOK_IN), arguments) for name, interval, arguments in rounds]
    return {
        " ".join((name, *arguments)): {
            "task": name,
            "schedule": interval.total_seconds(),
            "args": arguments,
            "last_run_at": _LONG_AGO,
        }
        for name, interval, arguments in rows
    }
