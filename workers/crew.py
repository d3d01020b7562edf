"""What the tasks of one worker process share: the rounds, and how to ring for more."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from config.rounds import Every
from transfer.errors import NothingFound
from transfer.model import Lab
from transfer.rounds import Rounds

__all__ = ["Crew", "Every", "Ring"]

Ring = Callable[[str, int], bool]

_ENOUGH = 20  # rings that wait: every hand that becomes free finds one


def _never_waiting() -> int:
    return 0


@dataclass(frozen=True, kw_only=True)
class Crew:
    """One worker process's hands.  `unheard` tells how many rings nobody has answered yet."""

    rounds: Rounds
    every: Every
    ring: Ring
    unheard: Callable[[], int] = _never_waiting

    def ring_all(self, task: str, ids: Iterable[int]) -> None:
        """Ring once for each, until one is lost: the broker is away, and the sweep will ring again."""
        for one in ids:
            if not self.ring(task, one):
                return

    def busy(self) -> bool:
        """Whether enough rings wait already.

        The same work stays due while all hands are full, and each sweep would ring for it once more: over a
        long weekend with a slow store that makes millions of messages.
        """
        return self.unheard() >= _ENOUGH

    def lab(self, name: str) -> Lab:
        """A lab of ours.  Raises `NothingFound` when another config's beat rang for it."""
        for lab in self.rounds.runner.labs:
            if lab.name == name:
                return lab
        raise NothingFound("the config has no such lab", to=name, do="Give beat and workers the same config.")
