"""The regular rounds as they stand: when each is walked, when it was, what came of it, when it is due again."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from config import rounds
from config.queues import CENTRAL
from config.rounds import Regular
from config.sections import Settings
from transfer.errors import SourceRootMissing

if TYPE_CHECKING:
    from transfer.ledger import Ledger
    from transfer.ledger.glance.rounds import Round
    from transfer.ledger.health import Check

OVERDUE = timedelta(minutes=15)
"""So late a central round may be.  Beat rings for it every five minutes; a hand may be busy meanwhile."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Due:
    """One round: when it is walked (an interval, or a cron expression and its zone), and how it stands.

    `due_at` is None for one that was never walked: it is due now; `holder` walks it at this moment; `queue` is heard by
    the workers that walk it.
    """

    name: str
    when: str
    queue: str
    last_run: datetime | None
    last_outcome: str | None
    holder: str | None
    due_at: datetime | None


def schedule_of(settings: Settings, ledger: "Ledger") -> tuple[Due, ...]:
    """Every round of the config, by name; the sweeps first, which have no memory."""
    from transfer.ledger.glance.rounds import rounds as walked

    last = {one.name: one for one in walked(ledger)}
    found = [_due(one, last.get(name)) for name, one in sorted(rounds.table(settings).items())]
    return (*(_due(one, None) for one in rounds.sweeps(settings)), *found)


def _due(planned: Regular, last: "Round | None") -> Due:
    run = last.last_run if last is not None else None
    return Due(
        name=planned.name,
        when=str(planned.when),
        queue=planned.queue,
        last_run=run,
        last_outcome=last.last_outcome if last is not None else None,
        holder=last.holder if last is not None else None,
        due_at=planned.when.after(run) if run is not None else None,
    )


def with_rounds(found: "Check", settings: Settings, ledger: "Ledger") -> "Check":
    """What was found, and what the rounds tell where workers live.

    Central rounds that are overdue: then no beat rings, or none hears.  A lab's own do not count: its machine may be
    switched off at night.  And labs whose folder the last scan did not find: nothing of them waits, as nothing is seen.
    """
    if not found.versions:
        return found
    known = schedule_of(settings, ledger)
    late = (
        one.name
        for one in known
        if one.queue == CENTRAL and one.due_at is not None and not one.holder
        if found.now - one.due_at > OVERDUE
    )
    scans = {rounds.name_of(rounds.SCAN, lab): lab for lab in settings.labs}
    missing = f"[{SourceRootMissing.code}]"
    away = (
        scans[one.name] for one in known if one.name in scans and (one.last_outcome or "").startswith(missing)
    )
    return replace(found, unwalked=tuple(late), away=tuple(away))
