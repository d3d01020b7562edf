"""Sending a large file, from where an earlier attempt ended if its bytes prove right.

An attempt that died left a partial that is whole up to `SPAN` before its end (see `stripes_out`).  That much of it
is copied on the server into a partial of our own, or, when its writer is known to be gone, the partial is taken
over by a rename.  Then it is proved: what stands in our own partial must hash to what the source's bytes hash to.

Promises: the earlier partial is never written, and removed only after the proof; whatever goes wrong on this way
ends in sending everything, under the same partial; `moved` counts only bytes that are sent now.
"""

import contextlib
import struct
from collections.abc import Callable
from pathlib import PurePosixPath

from transfer.digests import Digests
from transfer.errors import ConnectionLost, TransferError
from transfer.transports.base import Sent, Upload
from transfer.transports.sftp import protocol
from transfer.transports.sftp.aside import Aside
from transfer.transports.sftp.fetching import Fetcher
from transfer.transports.sftp.jobs import Ask, Call, Job, Signal
from transfer.transports.sftp.pipelining import Line
from transfer.transports.sftp.protocol import Refusal, string
from transfer.transports.sftp.sending import Opened, Sender, discard
from transfer.transports.sftp.sharing import STRIPE, Offering
from transfer.transports.sftp.store import Store, look, open_to_read
from transfer.transports.sftp.stripes_out import SPAN, LargeUpload, StripeSource

WORTH_CONTINUING = 2 * SPAN
COPIED_AT_ONCE = 64 << 20

HashStored = Callable[[bytes], str | None]
"""The md5 of a stored file by the server's own command; None when it could not be had."""


class LargeSender:
    """Sends the large files of one batch."""

    def __init__(
        self, store: Store, sender: Sender, batch: Offering, *, read_piece: int, hash_stored: HashStored
    ) -> None:
        self._store = store
        self._sender = sender
        self._fetcher = Fetcher(store, batch, piece=read_piece, moved=self._alive)
        self._batch = batch
        self._hash_stored = hash_stored

    def _alive(self, _read: int = 0) -> None:
        """A sign of life while nothing is sent."""
        self._sender.terms.moved(0)

    def send(self, line: Line, upload: Upload) -> Job[Sent]:
        """Raises `TransferError`."""
        yield from self._batch.my_turn()
        try:
            with StripeSource(upload.source, below=upload.below) as source:
                source.expect(upload.size)
                return (yield from self._send(line, upload, source))
        finally:
            self._batch.turn_over()

    def _send(self, line: Line, upload: Upload, source: StripeSource) -> Job[Sent]:
        opened, stands = yield from self._begin(upload)
        try:
            if stands and not (yield from self._proved(line, source, opened, stands)):
                source.rewind()
                stands = 0
                opened = yield from self._emptied(opened, upload)
            if stands and upload.earlier is not None:
                yield Call(protocol.REMOVE, string(self._store.place(upload.earlier)))
            large = LargeUpload(self._sender, upload, opened, source, start=stands)
            md5 = yield from large.lead(line, self._batch)
            yield from self._sender.finish(opened, upload)
        except ConnectionLost:
            raise
        except TransferError:
            yield from discard(opened)
            raise
        return Sent(key=upload.key, size=upload.size, md5=md5)

    # ---- what an earlier attempt left --------------------------------------------------------------------

    def _begin(self, upload: Upload) -> Job[tuple[Opened, int]]:
        """The partial, open for writing, and how many bytes stand in it that are yet to be proved."""
        earlier = upload.earlier
        length = 0 if earlier is None else (yield from self._trusted(earlier, upload.size))
        if earlier is not None and length:
            place = self._store.place(earlier)
            if protocol.COPY_DATA in self._store.extensions:
                opened = yield from self._sender.open_new(upload)
                return opened, (yield from self._copy(place, opened, length))
            if upload.earlier_ended:
                taken = yield from self._take_over(place, self._store.place(upload.partial), length)
                if taken is not None:
                    return taken, length
        return (yield from self._sender.open_new(upload)), 0

    def _trusted(self, earlier: PurePosixPath, size: int) -> Job[int]:
        """How many bytes at the beginning of an earlier partial were acknowledged for certain."""
        if size < WORTH_CONTINUING:
            return 0
        try:
            found = yield from look(self._store.place(earlier))
        except Refusal:
            return 0
        if found is None or not found.is_regular:
            return 0
        trusted: int = max(min((found.size or 0) - SPAN, size), 0) // STRIPE * STRIPE
        return trusted

    def _copy(self, earlier: bytes, opened: Opened, length: int) -> Job[int]:
        """Copy on the server; the bytes copied."""
        try:
            source = string((yield from open_to_read(earlier)))
        except Refusal:
            return 0
        copied = 0
        try:
            while copied < length:
                count = min(COPIED_AT_ONCE, length - copied)
                what = (source, struct.pack(">QQ", copied, count), opened.field, struct.pack(">Q", copied))
                yield Ask(protocol.EXTENDED, string(protocol.COPY_DATA), *what, patient=True)
                copied += count
                self._alive()
        except Refusal:
            copied = copied // STRIPE * STRIPE
        yield Call(protocol.CLOSE, source)
        return copied

    def _take_over(self, earlier: bytes, place: bytes, length: int) -> Job[Opened | None]:
        """Bring the earlier partial under our own name, which must be free, and cut it to `length`."""
        try:
            yield Ask(protocol.RENAME, string(earlier), string(place))
        except Refusal:
            return None
        flags = protocol.FOR_WRITING.to_bytes(4, "big")
        try:
            answer = yield Ask(protocol.OPEN, string(place), flags, protocol.attributes())
            opened = Opened(place, answer.string())
            yield Ask(protocol.FSETSTAT, opened.field, protocol.attributes(size=length))
        except Refusal:
            with contextlib.suppress(Refusal):
                yield Ask(protocol.REMOVE, string(place))
            return None
        return opened

    def _emptied(self, opened: Opened, upload: Upload) -> Job[Opened]:
        try:
            yield Ask(protocol.FSETSTAT, opened.field, protocol.attributes(size=0))
        except Refusal:
            yield from discard(opened)
            return (yield from self._sender.open_new(upload))
        return opened

    # ---- the proof ---------------------------------------------------------------------------------------

    def _proved(self, line: Line, source: StripeSource, opened: Opened, length: int) -> Job[bool]:
        """Whether what stands is what the source begins with; leaves the source behind it, hashed."""
        memory = memoryview(bytearray(STRIPE))

        def hash_a_stripe(_at: int) -> None:
            source.fill(memory)
            source.digests.add(memory)
            self._alive()

        with Aside(hash_a_stripe, Signal()) as hashing:
            for at in range(0, length, STRIPE):
                hashing.put(at)
            theirs = yield from self._hash_there(line, opened.place, length)
            yield from hashing.finish()
        return theirs == source.digests.hex()

    def _hash_there(self, line: Line, place: bytes, length: int) -> Job[str | None]:
        if md5 := (yield from elsewhere(self._hash_stored, place)):
            return md5
        digests = Digests()
        spans = self._fetcher.spans(0, length)
        try:
            handle = yield from open_to_read(place)
            yield from self._fetcher.read(
                line, handle, lambda: next(spans, None), lambda _at, data: digests.add(data)
            )
        except Refusal:
            return None
        yield Call(protocol.CLOSE, string(handle))
        return digests.hex()


def elsewhere(act: Callable[[bytes], str | None], place: bytes) -> Job[str | None]:
    """Do what takes long in a thread of its own, while the line goes on with other jobs."""
    found: list[str | None] = []
    asking: Aside[bytes] = Aside(lambda asked: found.append(act(asked)), Signal())
    with asking:
        asking.put(place)
        yield from asking.finish()
    return found[0]
