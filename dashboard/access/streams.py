"""The streams of events that are open now, so that they can be ended when the dashboard stops.

A browser keeps such a request open for hours; a server that waits for its requests would never end.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Streams:
    """For one application.  Everything happens in the thread of its event loop."""

    def __init__(self) -> None:
        self.closing = False
        self._open: set[asyncio.Task[object]] = set()

    @contextmanager
    def one_more(self, task: "asyncio.Task[object]") -> Iterator[None]:
        """The request that this task answers is a stream while the `with` lasts; told to close, it is cancelled."""
        self._open.add(task)
        if self.closing:
            task.cancel()
        try:
            yield
        finally:
            self._open.discard(task)

    def close(self) -> None:
        """End all of them, and every one that begins later."""
        self.closing = True
        for task in self._open:
            task.cancel()
