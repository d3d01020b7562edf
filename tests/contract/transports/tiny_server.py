"""An SFTP server of a few lines behind no network at all, for answers that no real server gives on demand."""

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock

from transfer.errors import StoreRefused
from transfer.transports.sftp import protocol
from transfer.transports.sftp.carrier import Outcome
from transfer.transports.sftp.protocol import Fields, string

FOLDER, REGULAR = 0o040755, 0o100644
FULL = {"free": 0, "names": 5, "flags": 0}


def status(code: int, text: str = "") -> tuple[int, bytes]:
    return protocol.STATUS, struct.pack(">I", code) + string(text) + string("")


def attributes(size: int, mode: int) -> bytes:
    return struct.pack(">IQI", 1 | 4, size, mode)


@dataclass
class TinyServer:
    """Files by absolute name.  It answers all that came since it was last listened to, in `order`.

    `fails` says which request kinds are answered with which status; `short` is the most bytes a read gives,
    and `at_once` what one listening hears.
    """

    files: dict[bytes, bytes] = field(default_factory=dict)
    extensions: tuple[str, ...] = (protocol.POSIX_RENAME, protocol.FSYNC, protocol.STATVFS)
    fails: dict[int, int] = field(default_factory=dict)
    short: int = 1 << 20
    space: dict[str, int] = field(default_factory=lambda: {"free": 1 << 40, "names": 5, "flags": 0})
    order: Callable[[list[bytes]], list[bytes]] = lambda answers: answers
    noise: bytes = b""
    at_once: int = 7001
    one_at_a_time: Lock = field(default_factory=Lock)

    def stream(self) -> "TinyStream":
        return TinyStream(self)

    def begin(self, command: str) -> "TinyStream":
        raise StoreRefused("no commands here")

    def run(self, command: str, given: bytes, *, timeout: float) -> Outcome:
        raise StoreRefused("no commands here")

    def close(self) -> None: ...

    def answer(self, kind: int, body: Fields) -> tuple[int, bytes]:
        if kind == protocol.INIT:
            offered = b"".join(string(name) + string("1") for name in self.extensions)
            return protocol.VERSION, struct.pack(">I", 3) + offered
        first = body.string()
        if kind in self.fails:
            return status(self.fails[kind])
        match kind:
            case protocol.STAT | protocol.FSTAT if first in self.files:
                return protocol.ATTRS, attributes(len(self.files[first]), REGULAR)
            case protocol.STAT if first == b"/root" or not first.rpartition(b"/")[2].startswith(b"f"):
                return protocol.ATTRS, attributes(0, FOLDER)
            case protocol.OPEN if first in self.files or body.u32() & 0x08:
                self.files.setdefault(first, b"")
                return protocol.HANDLE, string(first)
            case protocol.WRITE:
                at, content = body.u64(), body.string()
                stored = self.files[first].ljust(at, b"\0")
                self.files[first] = stored[:at] + content + stored[at + len(content) :]
                return status(protocol.OK)
            case protocol.READ:
                at, length = body.u64(), body.u32()
                piece = self.files[first][at : at + min(length, self.short)]
                return (protocol.DATA, string(piece)) if piece else status(protocol.EOF)
            case protocol.REMOVE:
                found = self.files.pop(first, None)
                return status(protocol.NO_SUCH_FILE if found is None else protocol.OK)
            case protocol.EXTENDED if first == protocol.STATVFS.encode():
                numbers = (
                    4096,
                    1,
                    0,
                    0,
                    self.space["free"],
                    0,
                    0,
                    self.space["names"],
                    0,
                    self.space["flags"],
                    255,
                )
                return protocol.EXTENDED_REPLY, struct.pack(">11Q", *numbers)
            case protocol.CLOSE | protocol.FSETSTAT | protocol.EXTENDED | protocol.MKDIR:
                return status(protocol.OK)
            case _:
                return status(protocol.NO_SUCH_FILE)


class TinyStream:
    """One channel: what is sent is answered when somebody listens."""

    def __init__(self, server: TinyServer) -> None:
        self._server = server
        self._sent = b""
        self._answers: list[bytes] = []
        self._ready = server.noise

    def send(self, s: bytes | memoryview, /) -> int:
        self._sent += s
        while len(self._sent) >= 4 and len(self._sent) >= 4 + int.from_bytes(self._sent[:4], "big"):
            end = 4 + int.from_bytes(self._sent[:4], "big")
            packet, self._sent = self._sent[4:end], self._sent[end:]
            self._answers.append(self._answer(packet))
        return len(s)

    def _answer(self, packet: bytes) -> bytes:
        kind = packet[0]
        number = b"" if kind == protocol.INIT else packet[1:5]
        with self._server.one_at_a_time:
            answer, body = self._server.answer(kind, Fields(packet[1 + len(number) :]))
        return struct.pack(">IB", 1 + len(number) + len(body), answer) + number + body

    def recv(self, nbytes: int, /) -> bytes:
        if not self._ready:
            self._ready = b"".join(self._server.order(self._answers))
            self._answers = []
        # Never more than a few bytes at a time: packets come in pieces.
        most = min(nbytes, self._server.at_once)
        piece, self._ready = self._ready[:most], self._ready[most:]
        return piece

    def settimeout(self, timeout: float | None, /) -> None: ...

    def close(self) -> None: ...
