"""What the tasks of one worker process share: the rounds, when they are due, and how to ring for more."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from config.queues import CENTRAL
from config.rounds import name_of
from transfer.errors import NothingFound
from transfer.model import Lab
from transfer.recurrence import ALWAYS, Recurrence
from transfer.rounds import Rounds

_ENOUGH = 20  # rings that wait: every hand that becomes free finds one


class Ring(Protocol):
    """Rings for a task with an id; False when the broker is away."""

    def __call__(self, task: str, one: int, /, *, queue: str) -> bool: ...


def _never_waiting(_queue: str) -> int:
    return 0


@dataclass(frozen=True, kw_only=True)
class Crew:
    """One worker process's hands.  `unheard` tells how many rings of a queue nobody has answered yet.

    `session_queues` and `batch_queues` are by a lab's repository; what they do not name is rung for centrally.
    """

    rounds: Rounds
    when: Mapping[str, Recurrence]
    ring: Ring
    unheard: Callable[[str], int] = _never_waiting
    session_queues: Mapping[str, str] = field(default_factory=dict)
    batch_queues: Mapping[str, str] = field(default_factory=dict)

    def ring_all(self, task: str, ids: Iterable[int], *, queue: str = CENTRAL) -> None:
        """Ring once for each, until one is lost: the broker is away, and the sweep will ring again."""
        for one in ids:
            if not self.ring(task, one, queue=queue):
                return

    def for_sessions(self, lab: Lab) -> str:
        """The queue in which the lab's sessions are rung for."""
        return self.session_queues.get(lab.repository, CENTRAL)

    def for_batches(self, lab: Lab) -> str:
        """The queue in which the lab's batches are rung for."""
        return self.batch_queues.get(lab.repository, CENTRAL)

    def busy(self, queue: str) -> bool:
        """Whether enough rings wait there already.

        The same work stays due while all hands are full, and each sweep would ring for it once more: over a
        long weekend with a slow store that makes millions of messages.
        """
        return self.unheard(queue) >= _ENOUGH

    def due(self, task: str, of: str | None, *, by_hand: bool) -> Recurrence:
        """When a round is to be walked: at once if a person rang.

        Raises `NothingFound` when another config's beat rang for it.
        """
        name = name_of(task, of)
        if name not in self.when:
            do = "Give beat and workers the same config."
            raise NothingFound("the config has no such round", to=name, do=do)
        return ALWAYS if by_hand else self.when[name]
