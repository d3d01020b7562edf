"""What a piece of work is done with: a hand that may take a large file, a count of its bytes, a heart that beats."""

import threading
import time
from collections.abc import Callable
from typing import Self

from transfer.pulse import Pulse


class Hand:
    """One of the hands that may take a large file, or none; given back at the end of the `with` or before."""

    def __init__(self, hands: threading.Semaphore) -> None:
        self._hands = hands
        self.is_ours = False

    def __enter__(self) -> Self:
        self.is_ours = self._hands.acquire(blocking=False)
        return self

    def __exit__(self, *_: object) -> None:
        self.give_back()

    def give_back(self) -> None:
        if self.is_ours:
            self.is_ours = False
            self._hands.release()


class Carried:
    """Counts the bytes of one batch on their way to whoever else wants to know: a place's pace is learnt of it."""

    def __init__(self, moved: Callable[[int], None]) -> None:
        self._moved = moved
        self._began = time.monotonic()
        self.bytes = 0

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def __call__(self, count: int) -> None:
        self.bytes += count
        self._moved(count)


class Beating:
    """A pulse whose byte counts a watcher sees too."""

    def __init__(self, pulse: Pulse, watcher: Callable[[int], None] | None) -> None:
        self._pulse = pulse
        self._watcher = watcher

    def __enter__(self) -> Callable[[int], None]:
        self._pulse.__enter__()
        return self._moved

    def __exit__(self, *details: object) -> None:
        self._pulse.__exit__(None, None, None)

    def _moved(self, count: int) -> None:
        self._pulse.moved(count)
        if self._watcher:
            self._watcher(count)
