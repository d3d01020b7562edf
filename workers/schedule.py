"""The schedule: what beat rings for, and how often.  Which rounds there are is in `config.rounds`.

Beat rings more often than a round is due; the ledger's `jobs` decide whether it is walked (see
`transfer.rounds`).  So beats may be missed, doubled or late.  A round that was rung for exactly as often as
it is due would be walked every second time only, because its interval begins when the last walk has ended.
A beat that begins rings for everything at once: what was missed while it was away is made up now.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from config.rounds import SWEEP, Regular, sweeps, table
from config.sections import Settings

_LOOK_IN = timedelta(minutes=5)  # the longest a due round waits for its ring
_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
_RINGS = 5  # so often we ring within a round's interval, where that is short


def beat_schedule(settings: Settings) -> dict[str, dict[str, Any]]:
    """Celery's `beat_schedule` for the labs and stores of a config."""
    return {one.name: _row(one) for one in [*sweeps(settings), *table(settings).values()]}


def _row(one: Regular) -> dict[str, Any]:
    often = one.when.shortest if one.task == SWEEP else min(one.when.shortest / _RINGS, _LOOK_IN)
    return {
        "task": one.task,
        "schedule": often.total_seconds(),
        "args": one.arguments,
        "options": {"queue": one.queue},
        "last_run_at": _LONG_AGO,
    }
