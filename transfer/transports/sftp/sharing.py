"""A large file in which several lines take part.

The line that took the file *leads*: it opens the file, offers it to the others, waits for them in the end, and
alone reports what came of it.  Each other line opens a handle of its own.  What goes wrong on one line is the
whole file's failure, and the others stop at their next stripe.
"""

import threading
from typing import Protocol

from transfer.errors import ConnectionLost, TransferError
from transfer.transports.sftp import protocol
from transfer.transports.sftp.jobs import Ask, Job, Park, Signal
from transfer.transports.sftp.pipelining import Line
from transfer.transports.sftp.protocol import Refusal, string

STRIPE = 4 * (255 << 10)  # bytes: four of OpenSSH's largest writes
WORTH_A_LINE = 4 * STRIPE  # what must be left for one more line to take part


class Offering(Protocol):
    """Where a large file is offered to the other lines; see `batch`."""

    def my_turn(self) -> Job[None]: ...
    def turn_over(self) -> None: ...
    def offer(self, shared: "Large") -> None: ...
    def withdraw(self, shared: "Large") -> None: ...


class Large:
    """One file of `size` bytes; from `next` on its stripes are not yet given out."""

    def __init__(self, place: bytes, flags: int, *, size: int, start: int = 0) -> None:
        self.size = size
        self.next = start
        self.changed = Signal()
        self.guard = threading.Lock()  # of what is counted
        self.taking = threading.Lock()  # of the order in which stripes are given out
        self._place = place
        self._flags = flags
        self._lines: set[Line] = set()
        self._sharing = 0
        self._error: TransferError | None = None

    def take_part(self, line: Line, handle: bytes, /) -> Job[None]:
        """Move stripes until there are no more.  Raises `Refusal` or `TransferError`."""
        raise NotImplementedError

    def explain(self, refusal: Refusal) -> Job[TransferError]:
        raise NotImplementedError

    # ---- for the line that leads -------------------------------------------------------------------------

    def together(self, line: Line, handle: bytes, batch: Offering) -> Job[None]:
        """Do it all, with the other lines.  Raises what went wrong on any of them."""
        self._lines.add(line)
        batch.offer(self)
        try:
            yield from self._guarded(line, handle)
            while self._sharing:
                seen = self.changed.given
                if self._sharing:
                    yield Park(self.changed, seen)
        finally:
            batch.withdraw(self)
            with self.taking:
                self.next = self.size
        if self._error is not None:
            raise self._error

    def _guarded(self, line: Line, handle: bytes) -> Job[None]:
        try:
            yield from self.take_part(line, handle)
        except Refusal as refusal:
            self._fail((yield from self.explain(refusal)), refusal)
        except ConnectionLost as error:
            self._fail(error)
            raise
        except TransferError as error:
            self._fail(error)

    # ---- for the others ----------------------------------------------------------------------------------

    def share(self, line: Line) -> Job[None] | None:
        """What `line` can do for it; None if it does its part already, or not enough is left."""
        with self.guard:
            if line in self._lines or self.size - self.next < WORTH_A_LINE:
                return None
            self._lines.add(line)
        return self._share(line)

    def _share(self, line: Line) -> Job[None]:
        with self.taking:
            # The line that leads looks for those who share only after the last stripe is given out.
            if self.next >= self.size:
                return
            self._sharing += 1
        try:
            handle = yield from self._open_again()
            if handle is not None:
                yield from self._guarded(line, handle)
                yield Ask(protocol.CLOSE, string(handle))
        except Refusal as refusal:
            self._fail((yield from self.explain(refusal)), refusal)
        except TransferError as error:
            self._fail(error)
        finally:
            with self.taking:
                self._sharing -= 1
            self.changed.give()

    def _open_again(self) -> Job[bytes | None]:
        """None where the server gives no further handle: then the others do without this line."""
        flags = self._flags.to_bytes(4, "big")
        try:
            answer = yield Ask(protocol.OPEN, string(self._place), flags, protocol.attributes())
        except Refusal:
            return None
        handle: bytes = answer.string()
        return handle

    def _fail(self, error: TransferError, cause: Exception | None = None) -> None:
        error.__cause__ = error.__cause__ or cause
        with self.taking:
            self._error = self._error or error
            self.next = self.size
        self.changed.give()
