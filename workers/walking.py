"""Which round a task's name means: one table for whoever walks, worker or person."""

from collections.abc import Callable, Mapping

from config.rounds import MIRROR, NOTICES, PROBE, PROVE, RECONCILE, REPORT, SANITY, SCAN, TIDY
from transfer.errors import NothingFound
from transfer.model import Lab
from transfer.recurrence import Recurrence
from transfer.rounds import Rounds

Walk = Callable[[Rounds, str, Recurrence], str | None]


def walk(rounds: Rounds, task: str, of: str, when: Recurrence) -> str | None:
    """Walk the round for the lab or store `of` if it is due; answers what came of it, None when it was not walked.

    Raises what the round does, and `NothingFound` for a lab that is not ours.
    """
    return WALKS[task](rounds, of, when)


def lab_of(rounds: Rounds, name: str) -> Lab:
    """A lab of ours.  Raises `NothingFound` when another config's beat rang for it."""
    for lab in rounds.runner.labs:
        if lab.name == name:
            return lab
    raise NothingFound("the config has no such lab", to=name, do="Give beat and workers the same config.")


WALKS: Mapping[str, Walk] = {
    SCAN: lambda rounds, of, when: rounds.scan(lab_of(rounds, of), when=when),
    MIRROR: lambda rounds, of, when: rounds.mirror(lab_of(rounds, of), when=when),
    RECONCILE: lambda rounds, of, when: rounds.reconcile(lab_of(rounds, of), when=when),
    PROBE: lambda rounds, of, when: rounds.look(of, when=when),
    TIDY: lambda rounds, of, when: rounds.tidy(of, when=when),
    PROVE: lambda rounds, of, when: rounds.prove(of, when=when),
    SANITY: lambda rounds, _, when: rounds.sanity(when=when),
    REPORT: lambda rounds, _, when: rounds.report(when=when),
    NOTICES: lambda rounds, _, when: rounds.notices(when=when),
}
