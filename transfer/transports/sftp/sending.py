"""Sending one file: many writes under way, then flushed, closed and measured.

Promises: the md5 is of exactly the bytes that were written; success means that the server accepted every
write, the flush (where it offers one), the time and the closing, and that the closed file has the promised
size.  A file that failed is removed again unless the connection is gone, so that a full disk is not kept
full.
"""

import struct

from transfer.digests import Source
from transfer.errors import ConnectionLost, StoreRefused, TransferError
from transfer.transports.base import Moved, Sent, Upload
from transfer.transports.sftp import protocol
from transfer.transports.sftp.protocol import Conversation, Refusal, Window, string
from transfer.transports.sftp.store import Folders, Store

UNDER_WAY = 4 << 20  # bytes sent and not yet acknowledged, per channel
MOST_WRITES = 128


class Sender:
    """Sends the files of one batch, in writes of `piece` bytes; waits `sync_timeout` seconds for a flush."""

    def __init__(self, store: Store, *, piece: int, sync_timeout: float) -> None:
        self._store = store
        self._folders = Folders(store)
        self._piece = piece
        self._width = min(MOST_WRITES, max(UNDER_WAY // piece, 2))
        self._sync_timeout = sync_timeout

    def send(self, conversation: Conversation, upload: Upload, moved: Moved) -> Sent:
        """Raises `TransferError`."""
        place = self._store.place(upload.partial)
        with Source(upload.source) as source:
            source.expect(upload.size)
            self._folders.ensure(conversation, upload.partial.parent)
            handle = self._open(conversation, place, upload)
            try:
                self._stream(conversation, handle, source, upload, moved)
                self._check(conversation, place, upload)
            except ConnectionLost:
                raise
            except TransferError:
                _discard(conversation, handle, place)
                raise
        return Sent(key=upload.key, size=upload.size, md5=source.digests.hex())

    def _open(self, conversation: Conversation, place: bytes, upload: Upload) -> bytes:
        try:
            return conversation.open(place, protocol.FOR_NEW)
        except Refusal as refusal:
            raise self._store.refuse_new(
                conversation, refusal, upload.partial, needed=upload.size
            ) from refusal

    def _stream(
        self, conversation: Conversation, handle: bytes, source: Source, upload: Upload, moved: Moved
    ) -> None:
        written = 0
        try:
            with Window(conversation, self._width) as window:
                for piece in source.pieces(upload.size):
                    for at in range(0, len(piece), self._piece):
                        part = piece[at : at + self._piece]
                        offset = struct.pack(">Q", written)
                        window.begin(protocol.WRITE, string(handle), offset, string(bytes(part)))
                        written += len(part)
                        moved(len(part))
                window.drain()
                source.settle()
                self._finish(conversation, window, handle, upload.mtime_ns)
        except Refusal as refusal:
            left = upload.size - written + UNDER_WAY
            raise self._store.explain(conversation, refusal, upload.partial, needed=left) from refusal

    def _finish(self, conversation: Conversation, window: Window, handle: bytes, mtime_ns: int) -> None:
        window.begin(protocol.FSETSTAT, string(handle), protocol.times(mtime_ns))
        if protocol.FSYNC in conversation.extensions:
            window.begin(protocol.EXTENDED, string(protocol.FSYNC), string(handle))
        window.begin(protocol.CLOSE, string(handle))
        conversation.patience(self._sync_timeout)
        try:
            window.drain()
        finally:
            conversation.patience()

    def _check(self, conversation: Conversation, place: bytes, upload: Upload) -> None:
        try:
            stored = conversation.stat(place)
        except Refusal as refusal:
            raise self._store.explain(conversation, refusal, upload.partial) from refusal
        if stored is None or stored.size != upload.size:
            kept = "nothing" if stored is None else f"{stored.size} of {upload.size} bytes"
            raise StoreRefused(f"the store kept {kept}", to=self._store.name(upload.partial))


def _discard(conversation: Conversation, handle: bytes, place: bytes) -> None:
    """Close and remove what failed; the failure itself is what gets reported."""
    for kind, field in ((protocol.CLOSE, handle), (protocol.REMOVE, place)):
        try:
            conversation.ask(kind, string(field))
        except (Refusal, ConnectionLost):
            continue


def limit_of_writes(conversation: Conversation, *, at_most: int, otherwise: int) -> int:
    """The largest write in bytes that this server takes, from limits@openssh.com."""
    if protocol.LIMITS not in conversation.extensions:
        return otherwise
    try:
        answer = conversation.extended(protocol.LIMITS)
    except Refusal:
        return otherwise
    _packet, _read, write = answer.u64(), answer.u64(), answer.u64()
    return max(min(write, at_most), 1024) if write else otherwise
