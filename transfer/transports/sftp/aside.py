"""Work beside the lines: one thread that does one thing after the other, such as hashing pieces in their order.

Promises: `signal` is given after each thing; when `act` raises, the error is kept and the rest is dropped; after
`stop` the thread is gone.
"""

import queue
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Generic, Self, TypeVar

from transfer.transports.sftp.jobs import Job, Park, Signal

Thing = TypeVar("Thing")


class Aside(Generic[Thing]):
    """A context manager: leaving it stops the thread, whatever is left to do."""

    def __init__(self, act: Callable[[Thing], None], signal: Signal) -> None:
        self._act = act
        self._signal = signal
        self._todo: queue.SimpleQueue[Thing | None] = queue.SimpleQueue()
        self._stopped = False
        self._finished = False
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._toil, name="transport-hand", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped = True
        self._todo.put(None)
        self._thread.join()

    def put(self, thing: Thing) -> None:
        self._todo.put(thing)

    def finish(self) -> Job[None]:
        """Wait until all is done.  Raises what `act` raised."""
        self._todo.put(None)
        while True:
            seen = self._signal.given
            if self.error is not None:
                raise self.error
            if self._finished:
                return
            yield Park(self._signal, seen)

    def _toil(self) -> None:
        while (thing := self._todo.get()) is not None and not self._stopped:
            try:
                self._act(thing)
            except BaseException as error:  # noqa: BLE001
                self.error = error
                break
            self._signal.give()
        self._finished = True
        self._signal.give()
