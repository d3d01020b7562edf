"""One ssh process, with one socket as its input and its output.

Promises: its standard error is read, kept up to `MOST_SAID` bytes, and never waited for; `close` leaves no
process and no file open; when our own process dies, however it dies, ssh finds its input ended and ends.

It runs in a session of its own: Ctrl-C in the terminal is for us, and ssh has no terminal to ask at.
"""

import contextlib
import os
import selectors
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from transfer.errors import TransferError

MOST_SAID = 16 << 10
_PIECE = 256 << 10
_BUFFER = 4 << 20  # bytes; the system gives what it allows
OVERDUE = "timed out"
_ENDS_WITHIN = 5.0  # seconds that an ssh may take to end by itself after it closed its output
_STOPS_WITHIN = 2.0


class SshProcess:
    """`argv`, started.  Raises OSError if it cannot be.  `line` is our end of its input and output."""

    def __init__(self, argv: Sequence[str]) -> None:
        self._said = bytearray()
        self._reading = threading.Lock()
        with contextlib.ExitStack() as undo:
            self.line, theirs = socket.socketpair()
            undo.callback(self.line.close)
            with theirs:
                for end in (self.line, theirs):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
                self._process = subprocess.Popen(
                    argv,
                    stdin=theirs.fileno(),
                    stdout=theirs.fileno(),
                    stderr=subprocess.PIPE,
                    env=environment(),
                    start_new_session=True,
                )
            assert self._process.stderr is not None
            self._errors = self._process.stderr
            os.set_blocking(self._errors.fileno(), False)
            undo.pop_all()

    @property
    def closed(self) -> bool:
        return bool(self._errors.closed)

    @property
    def said(self) -> str:
        """What it said on its standard error so far, from the beginning."""
        self.listen()
        return self._said.decode(errors="replace")

    def listen(self) -> bool:
        """Take what it said on its standard error, so that it never waits for us.  False at the end of it."""
        with self._reading, contextlib.suppress(BlockingIOError):
            while not self._errors.closed:
                piece = os.read(self._errors.fileno(), MOST_SAID)
                if not piece:
                    return False
                self._said += piece[: MOST_SAID - len(self._said)]
        return True

    def converse(self, given: bytes, timeout: float) -> Iterator[bytes]:
        """Send `given` and end the input; what comes meanwhile and after, to its end.

        Raises TimeoutError after `timeout` seconds in which nothing moved, and OSError.
        """
        left = memoryview(given)
        self.line.setblocking(False)
        with selectors.DefaultSelector() as selector:
            selector.register(self.line, selectors.EVENT_READ | selectors.EVENT_WRITE)
            selector.register(self._errors, selectors.EVENT_READ)
            while ready := selector.select(timeout):
                for key, events in ready:
                    if key.fileobj is self._errors:
                        if not self.listen():
                            selector.unregister(self._errors)
                        continue
                    if events & selectors.EVENT_WRITE:
                        left = _sent(self.line, left)
                        if not left:
                            selector.modify(self.line, selectors.EVENT_READ)
                    if events & selectors.EVENT_READ:
                        piece = self.line.recv(_PIECE)
                        if not piece:
                            return
                        yield piece
        raise TimeoutError

    def ended(self, within: float) -> bool:
        """Whether it ends by itself within so many seconds."""
        try:
            self._process.wait(within)
        except subprocess.TimeoutExpired:
            return False
        return True

    @property
    def status(self) -> int | None:
        """The exit status; None while it runs and if it was killed."""
        status = self._process.poll()
        return status if status is not None and status >= 0 else None

    def stop(self) -> None:
        """Ask it to end; `close` makes sure."""
        self.line.close()
        self._signal(signal.SIGTERM)

    def close(self) -> None:
        """End it.  What it had not sent yet is lost.  May be called twice."""
        self.stop()
        if not self.ended(_STOPS_WITHIN):
            self._signal(signal.SIGKILL)
            self._process.wait()
        with self._reading:
            self._errors.close()

    def _signal(self, number: signal.Signals) -> None:
        # To the group: a jump host's ssh is in it.  Only while ssh is not reaped is the number surely its own.
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)


class SshStream:
    """The process as a `Stream`.

    The server has `patience` seconds for its first word; what keeps it from speaking is raised as the error that
    `explain` makes of ssh's words, later losses as with any socket.
    """

    def __init__(
        self, process: SshProcess, *, patience: float, explain: Callable[[str], TransferError]
    ) -> None:
        self._process = process
        self._line = process.line
        self._explain = explain
        self._until = time.monotonic() + patience
        self._spoke = False

    def send(self, s: bytes | memoryview, /) -> int:
        try:
            return self._line.send(s)
        except TimeoutError:
            self._process.listen()
            raise
        except OSError as error:
            if self._spoke:
                raise
            raise self._reason() from error

    def recv(self, nbytes: int, /) -> bytes:
        try:
            piece = self._line.recv(nbytes)
        except TimeoutError as error:
            self._process.listen()
            if self._spoke or time.monotonic() < self._until:
                raise
            raise self._explain(OVERDUE) from error
        except OSError as error:
            if self._spoke:
                raise
            raise self._reason() from error
        if not piece and not self._spoke:
            raise self._reason()
        self._spoke = True
        return piece

    def settimeout(self, timeout: float | None, /) -> None:
        self._line.settimeout(timeout)

    def close(self) -> None:
        self._process.close()

    def _reason(self) -> TransferError:
        # Its words are complete once it has ended.
        self._process.ended(_ENDS_WITHIN)
        return self._explain(self._process.said)


def _sent(line: socket.socket, left: memoryview) -> memoryview:
    """What is left of the input; nothing when nobody takes any more, who may still have something to say."""
    try:
        left = left[line.send(left) :] if left else left
        if not left:
            line.shutdown(socket.SHUT_WR)
    except OSError:
        return memoryview(b"")
    return left


def environment() -> dict[str, str]:
    """Ours, without our secrets and without what could make ssh, or a jump host's ssh, ask somebody."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ALYX_TRANSFER_")}
    for name in ("SSH_ASKPASS", "DISPLAY", "WAYLAND_DISPLAY"):
        kept.pop(name, None)
    return kept | {"SSH_ASKPASS_REQUIRE": "never"}
