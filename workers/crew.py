"""What the tasks of one worker process share: the rounds, and how to ring for more."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta

from transfer.model import Lab
from transfer.rounds import Rounds

Ring = Callable[[str, int], None]


@dataclass(frozen=True, kw_only=True)
class Every:
    """How often each round is walked."""

    scan: timedelta
    reconcile: timedelta
    tidy: timedelta
    mirror: timedelta


@dataclass(frozen=True, kw_only=True)
class Crew:
    """One worker process's hands."""

    rounds: Rounds
    every: Every
    ring: Ring

    def ring_all(self, task: str, ids: Iterable[int]) -> None:
        """Ring once for each; lost rings are rung again by the sweep."""
        for one in ids:
            self.ring(task, one)

    def lab(self, name: str) -> Lab:
        return next(lab for lab in self.rounds.runner.labs if lab.name == name)
