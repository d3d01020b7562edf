"""The lines to one server: opened when they are needed, as many as it allows, each lent to one user at a time.

Promises: a line that was left in the middle of something is closed, not lent again.  Servers close lines that
were idle for some minutes, or after so many commands; a line that was closed *between* two files is replaced
by a fresh one unasked.  A line lost in the middle of one means that the connection is lost: then every further
wish is `ConnectionLost`, and whoever wants another try opens another transport.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from transfer.errors import ConnectionLost, EndpointUnreachable, TransferError
from transfer.transports.ftp.line import Line, Refusal

IDLE = 20.0  # seconds; a line that rested longer is asked whether it lives before it is used

Result = TypeVar("Result")


class Hand:
    """What one worker holds: a line, or the right to open one."""

    def __init__(self, line: Line | None, dial: Callable[[], Line]) -> None:
        self._line = line
        self._dial = dial
        self._given_up = False
        self._guard = threading.Lock()

    def lend(self) -> Line:
        """A line that lives, as far as one can know.  Raises what dialling raises."""
        if self._line is None or not _lives(self._line):
            self._replace()
        line = self._line
        assert line is not None
        line.answers, line.hung_up = 0, False
        return line

    def act(self, work: Callable[[Line], Result]) -> Result:
        """Do something on a line, once more on a fresh one if the server had hung up before we began."""
        line = self.lend()
        try:
            return work(line)
        except ConnectionLost:
            if not line.hung_up or self._given_up:
                raise
        return work(self.lend())

    def interrupt(self) -> None:
        """Wake whoever waits on the line.  From any thread."""
        with self._guard:
            self._given_up = True
            if self._line is not None:
                self._line.interrupt()

    def give_back(self) -> Line | None:
        """The line, if it is in step."""
        line, self._line = self._line, None
        if line is None or line.usable:
            return line
        line.close()
        return None

    def _replace(self) -> None:
        before, self._line = self._line, None
        if before is not None:
            before.close()
        if self._given_up:
            raise ConnectionLost("the connection was given up")
        try:
            fresh = self._dial()
        except EndpointUnreachable as error:
            if before is None:
                raise
            raise ConnectionLost(
                "the connection was lost and none is to be had", to=before.address
            ) from error
        with self._guard:
            self._line = fresh
            if self._given_up:
                fresh.interrupt()


def _lives(line: Line) -> bool:
    if line.usable and time.monotonic() - line.last_used > IDLE:
        with contextlib.suppress(ConnectionLost, Refusal):
            line.ask("NOOP")
    return line.usable


class Lines:
    """Owns them all.  `most` at a time; `dial` opens one."""

    def __init__(self, dial: Callable[[], Line], *, address: str, most: int) -> None:
        self._dial = dial
        self._address = address
        self._most = most
        self._idle: list[Line] = []
        self._lost: ConnectionLost | None = None
        self._guard = threading.Lock()

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()

    def require(self) -> None:
        """Raises `ConnectionLost` if the connection is known to be lost."""
        if self._lost is not None:
            raise ConnectionLost("the connection was lost", to=self._address) from self._lost

    def note(self, error: TransferError) -> None:
        """Remember that the connection is lost, if that is what `error` says."""
        if isinstance(error, ConnectionLost):
            self._lost = error

    def ask(self, work: Callable[[Line], Result]) -> Result:
        """Do one thing on one line."""
        self.require()
        with self.several(1) as (hand,):
            try:
                return hand.act(work)
            except TransferError as error:
                self.note(error)
                raise

    @contextlib.contextmanager
    def several(self, wanted: int) -> Iterator[list[Hand]]:
        """One to `wanted` hands until the end.  Two users never share one, not even in one thread."""
        hands = [Hand(line, self._dial) for line in self._take(wanted)]
        try:
            yield hands
        finally:
            for hand in hands:
                line = hand.give_back()
                if line is not None:
                    with self._guard:
                        self._idle.append(line)

    def _take(self, wanted: int) -> list[Line]:
        wanted = max(1, min(wanted, self._most))
        with self._guard:
            lines, self._idle = self._idle[:wanted], self._idle[wanted:]
        missing = wanted - len(lines)
        if not lines:
            lines.append(self._dial())
            missing -= 1
        if missing:
            lines += self._open(missing)
            # Servers limit the lines of a client; with fewer the work only takes longer.
            self._most = max(1, self._most - (wanted - len(lines)))
        return lines

    def _open(self, count: int) -> list[Line]:
        """Up to `count` more lines, dialled at the same time: each takes about ten round trips."""

        def attempt(_number: int) -> Line | None:
            with contextlib.suppress(TransferError):
                return self._dial()
            return None

        with ThreadPoolExecutor(count) as pool:
            return [line for line in pool.map(attempt, range(count)) if line is not None]
