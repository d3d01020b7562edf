"""Who hears what: each lab has its queue, heard by the worker on its machine, and there is a central one.

What needs a lab's disk (its sessions, the sending of bytes through us, its scan and its row in Alyx) is rung for in the
lab's queue.  What needs none (a mover's tasks, reconcile, the stores' rounds, reports) is rung for in the central one.
A worker that is told nothing hears all of them: one machine needs no more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from config.sections import Settings
from transfer.transports.registry import is_delegated

CENTRAL = "alyx-transfer"
_OF_LAB = CENTRAL + ".lab."


def of_lab(name: str) -> str:
    """The queue that a lab's own worker hears."""
    return _OF_LAB + name


def of_batches(settings: Settings) -> Mapping[str, str]:
    """By the repository of each lab: where its batches are rung for."""
    return {
        lab.repository: CENTRAL if is_delegated(settings.stores[lab.store].transport) else of_lab(name)
        for name, lab in settings.labs.items()
    }


def of_sessions(settings: Settings) -> Mapping[str, str]:
    """By the repository of each lab: where its sessions are rung for."""
    return {lab.repository: of_lab(name) for name, lab in settings.labs.items()}


@dataclass(frozen=True, kw_only=True, slots=True)
class Duty:
    """What one worker process takes: some labs' own work, and the central work or not."""

    labs: Sequence[str]
    central: bool

    @property
    def queues(self) -> list[str]:
        return [*([CENTRAL] if self.central else []), *(of_lab(name) for name in self.labs)]

    def __str__(self) -> str:
        return ", ".join([*self.labs, *(["central"] if self.central else [])])


def every_duty(settings: Settings) -> Duty:
    """All that the config names."""
    return Duty(labs=list(settings.labs), central=True)
