"""SFTP version 3 as spoken over one stream of bytes: requests, answers, and what the server offers besides.

Facts: draft-ietf-secsh-filexfer-02 (the protocol), PROTOCOL of OpenSSH (the extensions).  Every request has a
number and every answer names it, so many may be on their way: `begin` makes one, `flush` sends what is not
sent yet, `collect` gives the answers that came, whatever their order.

Promises: a refusal keeps the server's code (`Refusal`); everything that goes wrong with the stream itself is
`ConnectionLost`; large fields are sent from where they lie, without a copy, and may be reused when `begin`
returns.

It does not know files, roots or batches, and one conversation belongs to one thread at a time.
"""

import contextlib
import stat
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

from transfer.errors import ConnectionLost

INIT, VERSION = 1, 2
OPEN, CLOSE, READ, WRITE, FSTAT, SETSTAT, FSETSTAT = 3, 4, 5, 6, 8, 9, 10
OPENDIR, READDIR, REMOVE, MKDIR, STAT, RENAME = 11, 12, 13, 14, 17, 18
STATUS, HANDLE, DATA, NAME, ATTRS, EXTENDED, EXTENDED_REPLY = 101, 102, 103, 104, 105, 200, 201

OK, EOF, NO_SUCH_FILE, PERMISSION_DENIED, FAILURE, BAD_MESSAGE = 0, 1, 2, 3, 4, 5
OP_UNSUPPORTED = 8

FOR_READING = 0x01
FOR_WRITING = 0x02
FOR_NEW = 0x02 | 0x08 | 0x20  # write, create, exclusively

POSIX_RENAME, FSYNC, STATVFS = "posix-rename@openssh.com", "fsync@openssh.com", "statvfs@openssh.com"
HARDLINK, LIMITS, COPY_DATA = "hardlink@openssh.com", "limits@openssh.com", "copy-data"

_HAS_SIZE, _HAS_OWNER, _HAS_MODE, _HAS_TIMES = 1, 2, 4, 8
_ALL, _ALL_OF_THEM = 15, struct.Struct(">QQIII")  # what most servers send: size, owner, mode, times
_LONGEST_ANSWER = 16 << 20
_LOOK_UP = 0.5  # seconds
_RECEIVED_AT_ONCE = 256 << 10
_SENT_AT_ONCE = 128 << 10  # small requests are joined up to this
_NOT_COPIED = 48 << 10  # a field of this size is sent by itself

Part = TypeVar("Part", int, bytes)
Answer = tuple[int, int, memoryview]
"""The number of the request, the kind of the answer, its body."""


class Stream(Protocol):
    """What carries a conversation, and behaves like a socket: what goes wrong with it is an OSError."""

    def send(self, s: bytes | memoryview, /) -> int: ...
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

    def __init__(self, body: bytes | memoryview) -> None:
        self._body = memoryview(body)
        self._at = 0

    def u32(self) -> int:
        self._at += 4
        return int.from_bytes(self._body[self._at - 4 : self._at], "big")

    def u64(self) -> int:
        self._at += 8
        return int.from_bytes(self._body[self._at - 8 : self._at], "big")

    def view(self) -> memoryview:
        """A string field where it lies: it keeps all that came with it in memory."""
        length = self.u32()
        self._at += length
        return self._body[self._at - length : self._at]

    def string(self) -> bytes:
        return bytes(self.view())

    @property
    def more(self) -> bool:
        return self._at < len(self._body)

    def attributes(self) -> Attributes:
        has = self.u32()
        if has == _ALL:
            size, _owner, mode, _atime, mtime = _ALL_OF_THEM.unpack_from(self._body, self._at)
            self._at += _ALL_OF_THEM.size
            return Attributes(size, mode, mtime)
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


def attributes(*, size: int | None = None, mode: int | None = None, mtime_ns: int | None = None) -> bytes:
    """A field that sets what is given.  The protocol has whole seconds from 1970 to 2106."""
    has, values = 0, b""
    if size is not None:
        has, values = _HAS_SIZE, struct.pack(">Q", size)
    if mode is not None:
        has, values = has | _HAS_MODE, values + struct.pack(">I", mode)
    if mtime_ns is not None:
        seconds = min(max(mtime_ns // 1_000_000_000, 0), 0xFFFFFFFF)
        has, values = has | _HAS_TIMES, values + struct.pack(">II", seconds, seconds)
    return struct.pack(">I", has) + values


def refusal(kind: int, body: memoryview) -> Refusal | None:
    """The refusal that an answer is, or None."""
    if kind != STATUS or bytes(body[:4]) == b"\0\0\0\0":
        return None
    fields = Fields(body)
    return Refusal(fields.u32(), fields.string().decode(errors="replace") if fields.more else "")


class Conversation:
    """One channel's requests and answers.  `timeout` seconds of silence are a lost connection."""

    def __init__(self, stream: Stream, *, address: str, timeout: float) -> None:
        self._stream = stream
        self._address = address
        self._timeout = self._patience = timeout
        self._unsent = bytearray()
        self._partly = bytearray()
        self._number = 0
        self._waiting: set[int] = set()
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
        return self._open and not self._waiting and not self._unsent and not self._partly

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
        with contextlib.suppress(OSError, EOFError):
            self._stream.close()

    # ---- requests and answers ---------------------------------------------------------------------------

    def begin(self, kind: int, *fields: bytes | memoryview) -> int:
        """Make a request; its answer bears the number.  Small ones are only sent by `flush` or `collect`."""
        self._number = number = (self._number + 1) & 0xFFFFFFFF
        self._waiting.add(number)
        self._put(struct.pack(">IBI", sum(map(len, fields)) + 5, kind, number), *fields)
        return number

    def flush(self) -> None:
        if self._unsent:
            unsent, self._unsent = self._unsent, bytearray()
            self._send(memoryview(unsent))

    def collect(self) -> list[Answer]:
        """Send what is not sent, then wait for answers: all that came by then, at least one."""
        self.flush()
        answers: list[Answer] = []
        while not answers:
            for packet in self._packets():
                number = int.from_bytes(packet[1:5], "big")
                if number in self._waiting:
                    self._waiting.discard(number)
                    answers.append((number, packet[0], packet[5:]))
        return answers

    def ask(self, kind: int, *fields: bytes) -> Fields:
        """Send one request and wait for its answer, where nothing else is under way.  Raises `Refusal`."""
        self.begin(kind, *fields)
        ((_number, answered, body),) = self.collect()
        if refused := refusal(answered, body):
            raise refused
        return Fields(body)

    # ---- the stream --------------------------------------------------------------------------------------

    def _greet(self) -> frozenset[str]:
        self._put(struct.pack(">IBI", 5, INIT, 3))
        self.flush()
        packets: list[memoryview] = []
        while not packets:
            packets = list(self._packets())
        if packets[0][0] != VERSION:
            raise ConnectionLost("the server does not speak SFTP", to=self._address)
        offered = Fields(packets[0][5:])
        names = set()
        while offered.more:
            names.add(offered.string().decode(errors="replace"))
            offered.string()
        return frozenset(names)

    def _put(self, *fields: bytes | memoryview) -> None:
        for field in fields:
            if len(field) < _NOT_COPIED:
                self._unsent += field
            else:
                self.flush()
                self._send(memoryview(field))
        if len(self._unsent) >= _SENT_AT_ONCE:
            self.flush()

    def _send(self, rest: memoryview) -> None:
        try:
            while rest:
                sent = self._wait_for(partial(self._stream.send, rest))
                if not sent:
                    raise EOFError("the server closed the channel")
                rest = rest[sent:]
        except (OSError, EOFError) as error:
            raise self._lost(error) from error

    def _packets(self) -> Iterator[memoryview]:
        """Wait for a piece of what the server says; the packets that it completes."""
        try:
            piece = memoryview(self._wait_for(partial(self._stream.recv, _RECEIVED_AT_ONCE)))
            if not piece:
                raise EOFError("the server closed the channel")
            if self._partly:
                missing = max(4 - len(self._partly), 0) or _length(self._partly) - len(self._partly)
                while missing and piece:
                    self._partly += piece[:missing]
                    piece = piece[missing:]
                    missing = max(4 - len(self._partly), 0) or _length(self._partly) - len(self._partly)
                if missing:
                    return
                whole, self._partly = self._partly, bytearray()
                yield memoryview(whole)[4:]
            while len(piece) >= 4 and len(piece) >= (length := _length(piece)):
                yield piece[4:length]
                piece = piece[length:]
            self._partly += piece
        except (OSError, EOFError) as error:
            raise self._lost(error) from error

    def _wait_for(self, act: Callable[[], Part]) -> Part:
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


def _length(packet: bytearray | memoryview) -> int:
    """Of the whole packet that begins here, in bytes.  Raises EOFError if it cannot be one."""
    length = int.from_bytes(packet[:4], "big")
    if not 0 < length <= _LONGEST_ANSWER:
        raise EOFError("what came is not SFTP")
    return 4 + length
