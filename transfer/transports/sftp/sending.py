"""Sending one file: opened exclusively, written, then flushed, closed and measured.

Promises: the md5 is of exactly the bytes that were written; success means that the server accepted every
write, the mode and time, the flush (where it offers one) and the closing, and that the closed file has the
promised size.  A file that failed is removed again unless the connection is gone, so that a full disk is not kept
full.

A file of more than `LARGE` bytes is shared by several lines: see `stripes_out`.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass

from transfer.digests import Source
from transfer.errors import ConnectionLost, StoreRefused, TransferError
from transfer.transports.base import Moved, Sent, Upload
from transfer.transports.sftp import protocol
from transfer.transports.sftp.folders import Folders
from transfer.transports.sftp.jobs import DRAIN, Ask, Call, Job, Post, Room
from transfer.transports.sftp.pipelining import WINDOW
from transfer.transports.sftp.protocol import Refusal, string
from transfer.transports.sftp.store import Store, look

LARGE = 8 << 20


@dataclass(slots=True)
class Opened:
    """A file open for writing; its handle means something else as soon as it is closed."""

    place: bytes
    handle: bytes
    closed: bool = False

    @property
    def field(self) -> bytes:
        return string(self.handle)


@dataclass(frozen=True, kw_only=True, slots=True)
class Terms:
    """How files are written: the bytes of a write, the mode of a file, and who is told of the bytes moved."""

    piece: int
    file_mode: int
    moved: Moved


class Sender:
    """Sends the files of one batch that one line can manage alone."""

    def __init__(self, store: Store, folders: Folders, terms: Terms) -> None:
        self._store = store
        self._folders = folders
        self.terms = terms

    def send(self, upload: Upload) -> Job[Sent]:
        """Raises `TransferError`."""
        opened = yield from self.open_new(upload)
        try:
            md5 = yield from self._stream(opened, upload)
            yield from self.finish(opened, upload)
        except ConnectionLost:
            raise
        except TransferError:
            yield from discard(opened)
            raise
        return Sent(key=upload.key, size=upload.size, md5=md5)

    def open_new(self, upload: Upload) -> Job[Opened]:
        """The partial, opened exclusively; missing folders are made."""
        place = self._store.place(upload.partial)
        yield from self._folders.ensure(upload.partial.parent)
        mode = protocol.attributes(mode=self.terms.file_mode)
        flags = struct.pack(">I", protocol.FOR_NEW)
        try:
            answer = yield Ask(protocol.OPEN, string(place), flags, mode)
        except Refusal as refusal:
            raise (
                yield from self._store.refuse_new(refusal, upload.partial, needed=upload.size)
            ) from refusal
        return Opened(place, answer.string())

    def _stream(self, opened: Opened, upload: Upload) -> Job[str]:
        # A place in the window first, then the source: few are open at a time, whatever waits.
        yield Room(min(upload.size, self.terms.piece))
        offset = 0
        try:
            with Source(upload.source, below=upload.below) as source:
                for piece in source.pieces(upload.size, at_most=self.terms.piece):
                    yield write(opened.handle, offset, piece)
                    offset += len(piece)
                    self.terms.moved(len(piece))
                source.settle()
                md5 = source.digests.hex()
            yield DRAIN
        except Refusal as refusal:
            raise (yield from self.explain(refusal, upload, written=offset)) from refusal
        return md5

    def finish(self, opened: Opened, upload: Upload) -> Job[None]:
        """All writes were accepted: mode, time, flush, close, and a last look.  Raises `TransferError`."""
        try:
            stored = yield from self._settle(opened, upload)
            if stored != upload.size:
                # Some servers look before they have closed; this time nothing else is under way.
                found = yield from look(opened.place)
                stored = None if found is None else found.size
        except Refusal as refusal:
            raise (yield from self.explain(refusal, upload, written=upload.size)) from refusal
        if stored != upload.size:
            kept = "nothing" if stored is None else f"{stored} of {upload.size} bytes"
            raise StoreRefused(f"the store kept {kept}", to=self._store.name(upload.partial))

    def _settle(self, opened: Opened, upload: Upload) -> Job[int | None]:
        """Everything after the last write in one round trip; the size the server then sees under the name."""
        both = protocol.attributes(mode=self.terms.file_mode, mtime_ns=upload.mtime_ns)
        set_both = yield Call(protocol.FSETSTAT, opened.field, both)
        if protocol.FSYNC in self._store.extensions:
            yield Post(protocol.EXTENDED, string(protocol.FSYNC), opened.field, patient=True)
        opened.closed = True
        yield Post(protocol.CLOSE, opened.field, patient=True)
        looked = yield Call(protocol.STAT, string(opened.place), patient=True)
        yield DRAIN
        try:
            yield set_both
        except Refusal as refusal:
            if refusal.code not in (protocol.PERMISSION_DENIED, protocol.OP_UNSUPPORTED):
                raise
            # A share without Unix modes refuses them.  Its own rules hold there, but the time must be right.
            when = protocol.attributes(mtime_ns=upload.mtime_ns)
            yield Ask(protocol.SETSTAT, string(opened.place), when)
        try:
            size: int | None = (yield looked).attributes().size
        except Refusal:
            return None
        return size

    def explain(self, refusal: Refusal, upload: Upload, *, written: int) -> Job[TransferError]:
        needed = upload.size - written + WINDOW
        return (yield from self._store.explain(refusal, upload.partial, needed=needed))


def write(handle: bytes, offset: int, piece: memoryview, *, then: Callable[[], None] | None = None) -> Post:
    at = struct.pack(">QI", offset, len(piece))
    return Post(protocol.WRITE, string(handle), at, piece, weight=len(piece), then=then)


def discard(opened: Opened) -> Job[None]:
    """Close and remove what failed; the failure itself is what gets reported."""
    requests = [(protocol.REMOVE, string(opened.place))]
    if not opened.closed:
        requests.insert(0, (protocol.CLOSE, opened.field))
    opened.closed = True
    for kind, field in requests:
        try:
            yield Ask(kind, field)
        except (Refusal, ConnectionLost):
            continue
