"""The report, and what the plans say by themselves.  Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from transfer.errors import TransferError
from transfer.forecast import Forecast
from transfer.obstacles import twins


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """`problems` would stop a push or parts of it; `notes` are worth knowing."""

    problems: tuple[TransferError, ...] = ()
    notes: tuple[str, ...] = ()


def of_session(plan: Forecast) -> Report:
    """The files that cannot move as they are."""
    return Report(problems=plan.refused)


def of_spellings(plans: Sequence[Forecast], standing: Iterable[PurePosixPath]) -> Report:
    """Names in the plans that one disk takes for another's of the lab, of the store, or of their own.

    `standing` are paths below the store's root.
    """
    moving = [plan.session / path for plan in plans for path, _ in plan.moving]
    there = [
        plan.session / path for plan in plans for path in (*(path for path, _ in plan.staying), *plan.there)
    ]
    return Report(notes=tuple(error.sentence for error in twins(moving, [*there, *standing])))


def together(reports: Sequence[Report]) -> Report:
    """One report; what is said twice is said once."""
    problems = {error.sentence: error for report in reports for error in report.problems}
    notes = dict.fromkeys(note for report in reports for note in report.notes)
    return Report(problems=tuple(problems.values()), notes=tuple(notes))
