"""SFTP version 3 as spoken over one stream of bytes: requests, answers, and what the server offers besides.

Facts: draft-ietf-secsh-filexfer-02 (the protocol), PROTOCOL of OpenSSH (the extensions).  Every request has a
number and every answer names it, so many may be on their way: `begin` sends one, `answer` waits for its
answer, whatever the order they come in.

Promises: a refusal keeps the server's code (`Refusal`); everything that goes wrong with the stream itself is
`ConnectionLost`; `forget` leaves the conversation usable although answers are still on their way.

It does not know files, roots or batches, and one conversation belongs to one thread at a time.
"""

import contextlib
import stat
import struct
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

from paramiko import SSHException

from transfer.errors import ConnectionLost

INIT, VERSION = 1, 2
OPEN, CLOSE, READ, WRITE, FSTAT, SETSTAT, FSETSTAT = 3, 4, 5, 6, 8, 9, 10
OPENDIR, READDIR, REMOVE, MKDIR, STAT, RENAME = 11, 12, 13, 14, 17, 18
STATUS, HANDLE, DATA, NAME, ATTRS, EXTENDED, EXTENDED_REPLY = 101, 102, 103, 104, 105, 200, 201

OK, EOF, NO_SUCH_FILE, PERMISSION_DENIED, FAILURE, BAD_MESSAGE = 0, 1, 2, 3, 4, 5
OP_UNSUPPORTED = 8

FOR_READING = 0x01
FOR_NEW = 0x02 | 0x08 | 0x20  # write, create, exclusively

POSIX_RENAME, FSYNC, STATVFS = "posix-rename@openssh.com", "fsync@openssh.com", "statvfs@openssh.com"
HARDLINK, LIMITS = "hardlink@openssh.com", "limits@openssh.com"

_HAS_SIZE, _HAS_OWNER, _HAS_MODE, _HAS_TIMES = 1, 2, 4, 8
_LONGEST_ANSWER = 16 << 20
_PIECE = 32 << 10
_LOOK_UP = 0.5  # seconds

Moved = TypeVar("Moved", int, bytes)


class Stream(Protocol):
    """What carries a conversation: a paramiko Channel, or anything that behaves like one."""

    def send(self, s: bytes, /) -> int: ...
    def recv(self, nbytes: int, /) -> bytes: ...
    def settimeout(self, timeout: float | None, /) -> None: ...
    def close(self) -> None: ...


class Refusal(Exception):
    """The server answered a request with a status other than OK."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"status {code}: {text}")
        self.code = code


@dataclass(frozen=True, slots=True)
class Attributes:
    """What the server says about a file; None where it says nothing.  `mtime` is in whole seconds."""

    size: int | None
    mode: int | None
    mtime: int | None

    @property
    def is_regular(self) -> bool:
        return self.mode is None or stat.S_ISREG(self.mode)

    @property
    def is_folder(self) -> bool:
        return self.mode is not None and stat.S_ISDIR(self.mode)


class Fields:
    """The body of an answer, read from front to back."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    def u32(self) -> int:
        self._at += 4
        return int.from_bytes(self._body[self._at - 4 : self._at], "big")

    def u64(self) -> int:
        self._at += 8
        return int.from_bytes(self._body[self._at - 8 : self._at], "big")

    def string(self) -> bytes:
        length = self.u32()
        self._at += length
        return self._body[self._at - length : self._at]

    @property
    def more(self) -> bool:
        return self._at < len(self._body)

    def attributes(self) -> Attributes:
        has = self.u32()
        size = self.u64() if has & _HAS_SIZE else None
        if has & _HAS_OWNER:
            self.u64()
        mode = self.u32() if has & _HAS_MODE else None
        mtime = self.u64() & 0xFFFFFFFF if has & _HAS_TIMES else None
        for _ in range(self.u32() if has & 0x80000000 else 0):
            self.string(), self.string()
        return Attributes(size, mode, mtime)


def string(value: bytes | str) -> bytes:
    """A field that holds bytes."""
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack(">I", len(raw)) + raw


def times(mtime_ns: int) -> bytes:
    """A field that sets both times of a file.  The protocol has whole seconds from 1970 to 2106."""
    seconds = min(max(mtime_ns // 1_000_000_000, 0), 0xFFFFFFFF)
    return struct.pack(">III", _HAS_TIMES, seconds, seconds)


class Conversation:
    """One channel's requests and answers.  `timeout` seconds of silence are a lost connection."""

    def __init__(self, stream: Stream, *, address: str, timeout: float) -> None:
        self._stream = stream
        self._address = address
        self._timeout = self._patience = timeout
        self._received = bytearray()
        self._number = 0
        self._waiting: set[int] = set()
        self._early: dict[int, tuple[int, Fields]] = {}
        self._open = True
        stream.settimeout(min(_LOOK_UP, timeout))
        try:
            self.extensions = self._greet()
        except ConnectionLost:
            self.close()
            raise

    @property
    def usable(self) -> bool:
        """Open, with every answer accounted for: the next user finds it as the first one did."""
        return self._open and not self._waiting and not self._early

    def patience(self, timeout: float | None = None) -> None:
        """Wait this long for an answer from now on; None is the timeout of the beginning."""
        self._patience = self._timeout if timeout is None else timeout

    def interrupt(self) -> None:
        """From another thread: whoever is busy with this conversation soon gets `ConnectionLost`.

        It does not close the stream: what the other thread is just sending would follow the closing, which OpenSSH
        answers by dropping the whole connection.
        """
        self._open = False

    def close(self) -> None:
        """Only where nobody is busy with it: see `interrupt`."""
        self._open = False
        # Closing says goodbye, and a dead line cannot.
        with contextlib.suppress(OSError, EOFError, SSHException):
            self._stream.close()

    # ---- requests and answers ---------------------------------------------------------------------------

    def begin(self, kind: int, *fields: bytes) -> int:
        """Send a request; its number is for `answer`."""
        self._number = (self._number + 1) & 0xFFFFFFFF
        self._waiting.add(self._number)
        self._send(kind, struct.pack(">I", self._number), *fields)
        return self._number

    def answer(self, number: int) -> tuple[int, Fields]:
        """Wait for one answer.  Raises `Refusal` if it is a status other than OK."""
        while number not in self._early:
            kind, body = self._receive()
            fields = Fields(body)
            of = fields.u32()
            if of in self._waiting:
                self._early[of] = kind, fields
        kind, fields = self._early.pop(number)
        self._waiting.discard(number)
        if kind == STATUS and (code := fields.u32()) != OK:
            raise Refusal(code, fields.string().decode(errors="replace") if fields.more else "")
        return kind, fields

    def forget(self, numbers: Iterable[int]) -> None:
        """Nobody will ask for these answers: they are dropped when they come."""
        for number in numbers:
            self._waiting.discard(number)
            self._early.pop(number, None)

    def ask(self, kind: int, *fields: bytes) -> Fields:
        """Send one request and wait for its answer."""
        return self.answer(self.begin(kind, *fields))[1]

    def extended(self, name: str, *fields: bytes) -> Fields:
        return self.ask(EXTENDED, string(name), *fields)

    # ---- requests that are more than one field -----------------------------------------------------------

    def open(self, path: bytes, flags: int) -> bytes:
        return self.ask(OPEN, string(path), struct.pack(">II", flags, 0)).string()

    def stat(self, path: bytes) -> Attributes | None:
        """None where there is no such file."""
        try:
            return self.ask(STAT, string(path)).attributes()
        except Refusal as refusal:
            if refusal.code == NO_SUCH_FILE:
                return None
            raise

    def entries(self, folder: bytes) -> Iterator[tuple[bytes, Attributes]]:
        """The names in a folder.  Read to the end, or the handle stays open until the channel closes."""
        handle = self.ask(OPENDIR, string(folder)).string()
        while True:
            try:
                names = self.ask(READDIR, string(handle))
            except Refusal as refusal:
                if refusal.code != EOF:
                    raise
                break
            for _ in range(names.u32()):
                name, _long = names.string(), names.string()
                yield name, names.attributes()
        self.ask(CLOSE, string(handle))

    # ---- the stream --------------------------------------------------------------------------------------

    def _greet(self) -> frozenset[str]:
        self._send(INIT, struct.pack(">I", 3))
        kind, body = self._receive()
        if kind != VERSION:
            raise ConnectionLost("the server does not speak SFTP", to=self._address)
        offered = Fields(body)
        offered.u32()
        names = set()
        while offered.more:
            names.add(offered.string().decode(errors="replace"))
            offered.string()
        return frozenset(names)

    def _send(self, kind: int, *fields: bytes) -> None:
        packet = b"".join((struct.pack(">IB", sum(map(len, fields)) + 1, kind), *fields))
        try:
            # In pieces of a channel packet: paramiko copies what it could not send at once.
            for at in range(0, len(packet), _PIECE):
                piece = packet[at : at + _PIECE]
                while piece:
                    piece = piece[self._wait_for(partial(self._stream.send, piece)) :]
        except (OSError, EOFError, SSHException) as error:
            raise self._lost(error) from error

    def _receive(self) -> tuple[int, bytes]:
        try:
            length = int.from_bytes(self._take(4), "big")
            if not 0 < length <= _LONGEST_ANSWER:
                raise EOFError("what came is not SFTP")
            packet = self._take(length)
        except (OSError, EOFError, SSHException) as error:
            raise self._lost(error) from error
        return packet[0], packet[1:]

    def _take(self, count: int) -> bytes:
        while len(self._received) < count:
            wanted = max(count - len(self._received), _PIECE)
            piece = self._wait_for(partial(self._stream.recv, wanted))
            if not piece:
                raise EOFError("the server closed the channel")
            self._received += piece
        taken = bytes(memoryview(self._received)[:count])
        del self._received[:count]
        return taken

    def _wait_for(self, act: Callable[[], Moved]) -> Moved:
        """Send or receive, looking up now and then whether anybody still wants it."""
        since = time.monotonic()
        while self._open:
            try:
                return act()
            except TimeoutError:
                if time.monotonic() - since >= self._patience:
                    raise
        raise EOFError("nobody waits for it any more")

    def _lost(self, error: Exception) -> ConnectionLost:
        self._open = False
        silent = isinstance(error, TimeoutError)
        return ConnectionLost(
            "the server left a request unanswered" if silent else "the connection was lost", to=self._address
        )


class Window:
    """Requests under way, at most `width` of them, answered in the order they were sent.

    As a context: what is still under way at an error is forgotten, so that the conversation stays usable.
    """

    def __init__(self, conversation: Conversation, width: int) -> None:
        self._conversation = conversation
        self._width = width
        self._numbers: deque[int] = deque()

    def __enter__(self) -> "Window":
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._conversation.forget(self._numbers)

    def begin(self, kind: int, *fields: bytes) -> None:
        """Send a request, after waiting for the oldest answer if the window is full.  Raises `Refusal`."""
        if len(self._numbers) >= self._width:
            self._conversation.answer(self._numbers.popleft())
        self._numbers.append(self._conversation.begin(kind, *fields))

    def answer(self) -> Fields:
        """Wait for the oldest answer.  Raises `Refusal`."""
        return self._conversation.answer(self._numbers.popleft())[1]

    def drain(self) -> None:
        """Wait for all answers.  Raises the first `Refusal`."""
        while self._numbers:
            self._conversation.answer(self._numbers.popleft())
