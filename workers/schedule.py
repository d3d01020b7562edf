"""The schedule: one table of what beat rings for, and how often.

Beat rings more often than a round is due; the ledger's `jobs` decide whether it is walked (see
`transfer.rounds`).  So beats may be missed, doubled or late.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from transfer.model import Lab
from workers import tasks
from workers.crew import Every

_LOOK_IN = timedelta(minutes=5)  # the longest a due round waits for its ring


def beat_schedule(
    *, labs: Sequence[Lab], stores: Sequence[str], every: Every, sweep: timedelta
) -> dict[str, dict[str, Any]]:
    """Celery's `beat_schedule` for these labs and stores."""
    rows: list[tuple[str, timedelta, tuple[str, ...]]] = [(tasks.SWEEP, sweep, ())]
    for lab in labs:
        rows.append((tasks.SCAN, every.scan, (lab.name,)))
        rows.append((tasks.RECONCILE, every.reconcile, (lab.name,)))
        rows.append((tasks.MIRROR, every.mirror, (lab.name,)))
    rows += [(tasks.TIDY, every.tidy, (store,)) for store in stores]
    return {
        " ".join((name, *arguments)): {
            "task": name,
            "schedule": min(interval, _LOOK_IN).total_seconds(),
            "args": arguments,
            "options": {"expires": 60},
        }
        for name, interval, arguments in rows
    }
