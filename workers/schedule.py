"""The schedule: what beat rings for, and how often.  Which rounds there are is in `config.rounds`.

Beat rings more often than a round is due; the ledger's `jobs` decide whether it is walked (see
`transfer.rounds`).  So beats may be missed, doubled or late.  A round that was rung for exactly as often as
it is due would be walked every second time only, because its interval begins when the last walk has ended.
A beat that begins rings for everything at once: what was missed while it was away is made up now.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from config.rounds import SWEEP, Every, table
from transfer.model import Lab

Row = tuple[str, timedelta, tuple[str, ...]]  # task, interval, arguments

_LOOK_IN = timedelta(minutes=5)  # the longest a due round waits for its ring
_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
_RINGS = 5  # so often we ring within a round's interval, where that is short


def beat_schedule(
    *, labs: Sequence[Lab], stores: Sequence[str], every: Every, sweep: timedelta
) -> dict[str, dict[str, Any]]:
    """Celery's `beat_schedule` for these labs and stores."""
    rounds = table(labs=[lab.name for lab in labs], stores=stores, every=every)
    rows: list[Row] = [(SWEEP, sweep, ())]
    rows += [(one.task, min(one.every / _RINGS, _LOOK_IN), one.arguments) for one in rounds]
    return {
        " ".join((name, *arguments)): {
            "task": name,
            "schedule": interval.total_seconds(),
            "args": arguments,
            "last_run_at": _LONG_AGO,
        }
        for name, interval, arguments in rows
    }
