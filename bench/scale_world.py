"""A simulated day's clock, lines and hands.  The ledger is the real one; time and bytes are not.

    clock     jumps from one event to the next; the ledger is given it, so leases and `not_before` are its times
    line      a lab's way out: shared by what moves on it, each stream at most so fast
    crew      a worker process: hands, and a queue of rings for each of its labs, which it takes in turn, as Celery does

Whatever a worker does by itself on a ring is done here in the same order with the same methods of the ledger
(`workers/tasks.py`, `transfer/rounds.py`): a ring for a batch claims that batch and no other, a sweep rings for what
is due unless enough rings wait, and a visit plans only when no session of its labs is due any more.
"""

import heapq
import itertools
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

EPSILON = 1e-6


class Clock:
    """Seconds since the day began, and what happens when."""

    def __init__(self, begin: datetime) -> None:
        self.seconds = 0.0
        self._begin = begin
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    def now(self) -> datetime:
        return self._begin + timedelta(seconds=self.seconds)

    def at(self, seconds: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._events, (max(seconds, self.seconds), next(self._numbers), what))

    def after(self, seconds: float, what: Callable[[], None]) -> None:
        self.at(self.seconds + seconds, what)

    def run(self) -> None:
        """Until nothing happens any more."""
        while self._events:
            self.seconds, _, what = heapq.heappop(self._events)
            what()


@dataclass(eq=False)
class Stream:
    """Bytes under way, and what happens when the last has arrived."""

    left: float
    arrived: Callable[[], None]


class Line:
    """So many bytes a second for all streams together, and for each of them."""

    def __init__(self, clock: Clock, *, rate: float, each: float) -> None:
        self._clock = clock
        self._rate, self._each = rate, each
        self._streams: list[Stream] = []
        self._since = 0.0
        self._version = 0

    def send(self, size: float, arrived: Callable[[], None]) -> None:
        self._advance()
        self._streams.append(Stream(size, arrived))
        self._plan()

    def _speed(self) -> float:
        return min(self._each, self._rate / len(self._streams))

    def _advance(self) -> None:
        if self._streams:
            moved = (self._clock.seconds - self._since) * self._speed()
            for stream in self._streams:
                stream.left -= moved
        self._since = self._clock.seconds

    def _plan(self) -> None:
        """The next arrival; an earlier plan is void."""
        self._version += 1
        if self._streams:
            version, next_one = self._version, min(stream.left for stream in self._streams)
            self._clock.after(max(next_one, 0) / self._speed(), lambda: self._arrive(version))

    def _arrive(self, version: int) -> None:
        if version != self._version:
            return
        self._advance()
        least = min(stream.left for stream in self._streams)
        here = [stream for stream in self._streams if stream.left <= max(least, 0) + EPSILON]
        self._streams = [stream for stream in self._streams if stream not in here]
        self._plan()
        for stream in here:
            stream.arrived()


@dataclass(frozen=True)
class Ring:
    """A message: have a look at this session, or at this batch."""

    kind: str
    id: int
    at: float


@dataclass
class Queues:
    """A worker's queues, taken from in turn."""

    labs: Sequence[str]
    rings: dict[str, deque[Ring]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rings = {name: deque() for name in self.labs}
        self._turn = deque(self.labs)

    def put(self, name: str, ring: Ring) -> None:
        self.rings[name].append(ring)

    def waiting(self, name: str) -> int:
        return len(self.rings[name])

    def take(self) -> Ring | None:
        for _ in range(len(self._turn)):
            name = self._turn[0]
            self._turn.rotate(-1)
            if self.rings[name]:
                return self.rings[name].popleft()
        return None
