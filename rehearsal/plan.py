"""What a drill means to stage, and how often it was met: a fault that was never met proves nothing."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Fault:
    """One kind of fault that is staged by us; `strike` is asked whether it befalls this one."""

    times: int
    met: int = 0
    _guard: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def strike(self) -> bool:
        """True as often as was planned; from any thread."""
        with self._guard:
            if self.met >= self.times:
                return False
            self.met += 1
            return True


@dataclass(frozen=True, slots=True)
class Planned:
    """What should happen at least `times` times, and how often it did so far."""

    what: str
    times: int
    met: Callable[[], int]


class Plan:
    """What one drill planned."""

    def __init__(self) -> None:
        self._planned: list[Planned] = []

    def add(self, what: str, times: int, met: Callable[[], int]) -> None:
        """`what` is a noun with its circumstances: "a cut in the middle of a file"."""
        self._planned.append(Planned(what, times, met))

    @property
    def struck(self) -> int:
        """How often any of it was met."""
        return sum(one.met() for one in self._planned)

    def missed(self) -> list[str]:
        """A sentence for each that was not met often enough; one that says so where nothing was planned."""
        if not self._planned:
            return ["nothing was staged, so nothing was proved"]
        return [
            f"the drill proves nothing: {one.what} was met {one.met()} of {one.times} times"
            for one in self._planned
            if one.met() < one.times
        ]
