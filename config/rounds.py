"""The regular rounds of an installation: which there are, when each is walked, who walks it, the task that does.

The names of the tasks are here and not with the workers, so that whoever rings (see `doorbell`) need not import them.
A round's name is that of its row in the ledger's `jobs`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from config.queues import CENTRAL, of_lab
from config.sections import Settings
from transfer.recurrence import Interval, Recurrence

VISIT = "alyx_transfer.visit_session"
MOVE = "alyx_transfer.move_batch"
SWEEP = "alyx_transfer.sweep"
SCAN = "alyx_transfer.scan"
RECONCILE = "alyx_transfer.reconcile"
TIDY = "alyx_transfer.tidy"
PROVE = "alyx_transfer.prove"
PROBE = "alyx_transfer.probe"
MIRROR = "alyx_transfer.mirror"
SANITY = "alyx_transfer.sanity"
REPORT = "alyx_transfer.report"
NOTICES = "alyx_transfer.notices"

NOW = "now"
"""The last argument of a ring by a person: the round is walked although it is not due."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Regular:
    """One round: `scan cortexlab`.  `of` is the lab or the store it is walked for, if for one; `queue` is heard by
    those who walk it."""

    task: str
    of: str | None
    when: Recurrence
    queue: str = CENTRAL

    @property
    def name(self) -> str:
        return name_of(self.task, self.of)

    @property
    def arguments(self) -> tuple[str, ...]:
        """What beat rings with."""
        return () if self.of is None else (self.of,)

    @property
    def by_hand(self) -> tuple[str, ...]:
        """What a person's ring carries: walk it now."""
        return (*self.arguments, NOW)


def name_of(task: str, of: str | None) -> str:
    """A round's name: `scan cortexlab`."""
    word = task.rpartition(".")[2]
    return word if of is None else f"{word} {of}"


def table(settings: Settings) -> Mapping[str, Regular]:
    """Every round of the config by its name, without the sweeps, which are no rounds: rung for and never due."""
    return {one.name: one for one in _rounds(settings)}


def sweeps(settings: Settings) -> Sequence[Regular]:
    """One look at what is due for each lab, and one for what no lab's worker does."""
    often = Interval(timedelta(seconds=settings.schedule.sweep_seconds))
    labs = [Regular(task=SWEEP, of=lab, when=often, queue=of_lab(lab)) for lab in settings.labs]
    return [*labs, Regular(task=SWEEP, of=None, when=often)]


def _rounds(settings: Settings) -> Iterator[Regular]:
    told = settings.schedule
    for name, lab in settings.labs.items():
        own = lab.schedule
        yield Regular(task=SCAN, of=name, when=told.when("scan", own), queue=of_lab(name))
        yield Regular(task=MIRROR, of=name, when=told.when("mirror", own), queue=of_lab(name))
        yield Regular(task=RECONCILE, of=name, when=told.when("reconcile", own))
    for store in settings.stores:
        yield Regular(task=PROBE, of=store, when=told.when("probe"))
        yield Regular(task=TIDY, of=store, when=told.when("tidy"))
        yield Regular(task=PROVE, of=store, when=told.when("prove"))
    yield Regular(task=SANITY, of=None, when=told.when("sanity"))
    yield Regular(task=REPORT, of=None, when=told.when("report"))
    if settings.notices.targets_file is not None:
        often = Interval(timedelta(minutes=settings.notices.at_once_minutes))
        yield Regular(task=NOTICES, of=None, when=often)
