"""The gap between a read and a write, made wide on purpose.

On the real server every writing request reads whole rows, works for some tens of milliseconds, and writes
the whole rows back. Here the gap is one turn of the event loop unless a test widens it: `latency` sleeps in
every gap, `pause` stops chosen requests in it until the test lets them go.
"""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_PATIENCE = 30.0


class Pause:
    """A stop for the next requests that reach their gap."""

    def __init__(self, method: str, template: str, times: int) -> None:
        self.method = method
        self.template = template
        self._left = times
        self._arrived = 0
        self._changed = threading.Condition()
        self._released = threading.Event()

    def take(self, method: str, template: str) -> bool:
        """Whether this request must stop here; called by the server."""
        with self._changed:
            if (
                self._released.is_set()
                or self._left == 0
                or (method, template) != (self.method, self.template)
            ):
                return False
            self._left -= 1
            self._arrived += 1
            self._changed.notify_all()
            return True

    def hold(self) -> None:
        """Block until released; called by the server, outside its event loop."""
        self._released.wait(_PATIENCE)

    def wait_reached(self, requests: int = 1) -> None:
        """Block until that many requests stand in their gap; raises TimeoutError after 30 seconds."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._arrived >= requests, _PATIENCE):
                raise TimeoutError(
                    f"{self._arrived} of {requests} requests reached {self.method} {self.template}"
                )

    def release(self) -> None:
        """Let them all go on; later requests do not stop."""
        self._released.set()


class Hazards:
    """The server's gaps. `latency` is in seconds and applies to every gap."""

    def __init__(self) -> None:
        self.latency = 0.0
        self._pauses: list[Pause] = []

    @contextmanager
    def pause(self, method: str, template: str, times: int = 1) -> Iterator[Pause]:
        """Stop the next `times` requests, e.g. ("PATCH", "/files/<id>"), between their read and their write.

        Leaving the block releases whoever still waits.
        """
        pause = Pause(method, template, times)
        self._pauses.append(pause)
        try:
            yield pause
        finally:
            self._pauses.remove(pause)
            pause.release()

    async def gap(self, method: str, template: str) -> None:
        """Stand in the gap; called by the server with its lock released."""
        for pause in list(self._pauses):
            if pause.take(method, template):
                await asyncio.get_running_loop().run_in_executor(None, pause.hold)
                return
        await asyncio.sleep(self.latency)
