"""A worker process of the simulated day: its hands and queues, what it did, and when nothing of it was free."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.full_ledger import lab, repository
from bench.scale_world import Queues
from transfer.planning import Limits

Span = tuple[float, float]


@dataclass(kw_only=True)
class Work:
    """A batch or a visit, from the ring to its end.  Times in seconds of the day."""

    kind: str
    id: int
    lab: int
    rung: float
    begun: float = -1
    ended: float = -1
    files: int = 0
    bytes: int = 0

    @property
    def is_large(self) -> bool:
        return self.bytes >= Limits().large_bytes and self.files == 1

    @property
    def waited(self) -> float:
        return self.begun - self.rung


@dataclass
class Crew:
    """One worker process of the day."""

    labs: Sequence[int]
    hands: int
    queues: Queues = field(init=False)
    holds: list[Work] = field(default_factory=list)
    done: list[Work] = field(default_factory=list)
    only_large: list[Span] = field(default_factory=list)
    busy: list[Span] = field(default_factory=list)
    vain: int = 0

    def __post_init__(self) -> None:
        self.queues = Queues([lab(number) for number in self.labs])

    @property
    def sources(self) -> list[str]:
        return [repository(number) for number in self.labs]
