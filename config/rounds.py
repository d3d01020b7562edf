"""The regular rounds of an installation: which there are, how often each is walked, and the task that walks it.

The names of the tasks are here and not with the workers, so that whoever rings (see `doorbell`) need not import them.
A round's name is that of its row in the ledger's `jobs`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from config.sections import Notices, Schedule

VISIT = "alyx_transfer.visit_session"
MOVE = "alyx_transfer.move_batch"
SWEEP = "alyx_transfer.sweep"
SCAN = "alyx_transfer.scan"
RECONCILE = "alyx_transfer.reconcile"
TIDY = "alyx_transfer.tidy"
PROVE = "alyx_transfer.prove"
MIRROR = "alyx_transfer.mirror"
SANITY = "alyx_transfer.sanity"
NOTICES = "alyx_transfer.notices"

NOW = "now"
"""The last argument of a ring by a person: the round is walked although it is not due."""


@dataclass(frozen=True, kw_only=True)
class Every:
    """How often each round is walked."""

    scan: timedelta
    reconcile: timedelta
    tidy: timedelta
    mirror: timedelta
    prove: timedelta = timedelta(days=1)
    sanity: timedelta = timedelta(hours=1)
    notices: timedelta | None = None  # nobody is to be told


@dataclass(frozen=True, kw_only=True, slots=True)
class Regular:
    """One round: `scan cortexlab`.  `of` is the lab or the store it is walked for, if for one."""

    task: str
    of: str | None
    every: timedelta

    @property
    def name(self) -> str:
        word = self.task.rpartition(".")[2]
        return word if self.of is None else f"{word} {self.of}"

    @property
    def arguments(self) -> tuple[str, ...]:
        """What beat rings with."""
        return () if self.of is None else (self.of,)

    @property
    def by_hand(self) -> tuple[str, ...]:
        """What a person's ring carries: walk it now."""
        return (*self.arguments, NOW)


def every(told: Schedule, notices: Notices) -> Every:
    """How often each round is walked, as the config says."""
    return Every(
        scan=timedelta(seconds=told.scan_seconds),
        reconcile=timedelta(minutes=told.reconcile_minutes),
        tidy=timedelta(hours=told.tidy_hours),
        mirror=timedelta(seconds=told.mirror_seconds),
        prove=timedelta(minutes=told.proof_minutes),
        notices=timedelta(minutes=notices.at_once_minutes) if notices.targets_file else None,
    )


def table(*, labs: Iterable[str], stores: Iterable[str], every: Every) -> list[Regular]:
    """Every round of these labs and stores, without the sweep, which is no round: it is rung for and not due."""
    rounds = [
        Regular(task=task, of=lab, every=interval)
        for lab in labs
        for task, interval in ((SCAN, every.scan), (RECONCILE, every.reconcile), (MIRROR, every.mirror))
    ]
    names = list(stores)
    rounds += [Regular(task=TIDY, of=store, every=every.tidy) for store in names]
    rounds += [Regular(task=PROVE, of=store, every=every.prove) for store in names]
    rounds.append(Regular(task=SANITY, of=None, every=every.sanity))
    if every.notices is not None:
        rounds.append(Regular(task=NOTICES, of=None, every=every.notices))
    return rounds
