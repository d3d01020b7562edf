"""Reading one stored file: many reads under way, hashed in their order.

Promises: the md5 is of exactly the bytes that came, all of them; a file that ends early is a failure, not a
shorter file.  Memory is what is under way, whatever the size of the file.

A file of more than `LARGE` bytes is shared by several lines (see `sharing`), at most `AHEAD` bytes beyond what is
hashed.
"""

import struct
from collections import deque
from collections.abc import Callable, Iterator

from transfer.errors import ConnectionLost, StoreRefused, TransferError
from transfer.transports.base import Download, Got, Moved
from transfer.transports.landing import Landing
from transfer.transports.sftp import protocol
from transfer.transports.sftp.aside import Aside
from transfer.transports.sftp.jobs import Ask, Call, Called, Job, Park, Room
from transfer.transports.sftp.pipelining import WINDOW, Line
from transfer.transports.sftp.protocol import Refusal, string
from transfer.transports.sftp.sharing import STRIPE, Large, Offering
from transfer.transports.sftp.store import Store, open_to_read

LARGE = 8 << 20
AHEAD = 16 << 20
_ALL = memoryview(b"")  # what comes after the last piece

Span = tuple[int, int]
"""Offset and length of one read."""


class Fetcher:
    """Reads the files of one batch, in reads of `piece` bytes."""

    def __init__(self, store: Store, batch: Offering, *, piece: int, moved: Moved) -> None:
        self._store = store
        self._batch = batch
        self._moved = moved
        self._most = max(WINDOW // piece, 2)
        self.piece = piece

    def fetch(self, line: Line, download: Download) -> Job[Got]:
        """Raises `TransferError`, `StoredFileMissing` among them."""
        place = self._store.place(download.path)
        try:
            handle = yield from open_to_read(place)
        except Refusal as refusal:
            raise (yield from self.explain(refusal, download)) from refusal
        try:
            got = yield from self._land(line, download, handle)
        except Refusal as refusal:
            error = yield from self.explain(refusal, download)
            yield Call(protocol.CLOSE, string(handle))
            raise error from refusal
        except ConnectionLost:
            raise
        except TransferError:
            yield Call(protocol.CLOSE, string(handle))
            raise
        yield Call(protocol.CLOSE, string(handle))
        return got

    def _land(self, line: Line, download: Download, handle: bytes) -> Job[Got]:
        size = yield from self._size(handle, download)
        if size > LARGE:
            yield from self._batch.my_turn()
            try:
                large = LargeDownload(self, download, self._store.place(download.path), size)
                return (yield from large.lead(line, handle, self._batch))
            finally:
                self._batch.turn_over()
        # A place in the window first, then the local file: few are open at a time.
        yield Room(min(size, self.piece))
        with Landing(download.into) as landing:
            spans = self.spans(0, size)
            yield from self.read(line, handle, lambda: next(spans, None), lambda _at, data: landing.add(data))
            return Got(key=download.key, size=landing.size, md5=landing.finish())

    def _size(self, handle: bytes, download: Download) -> Job[int]:
        found = (yield Ask(protocol.FSTAT, string(handle))).attributes()
        if not found.is_regular or found.size is None:
            raise StoreRefused("not a regular file", to=self._store.name(download.path))
        size: int = found.size
        return size

    def spans(self, start: int, end: int) -> Iterator[Span]:
        return ((at, min(self.piece, end - at)) for at in range(start, end, self.piece))

    def read(
        self,
        line: Line,
        handle: bytes,
        next_span: Callable[[], Span | None],
        deliver: Callable[[int, memoryview], None],
    ) -> Job[None]:
        """Read until there is no next span; deliver in the order of the spans.  Raises `Refusal`."""
        field = string(handle)
        asked: deque[tuple[Called, int, int]] = deque()
        while True:
            while len(asked) < self._most and (not asked or line.roomy(self.piece)):
                if (span := next_span()) is None:
                    break
                asked.append(((yield _read(field, *span)), *span))
            if not asked:
                return
            call, at, length = asked.popleft()
            data = (yield call).view()
            if not data:
                raise Refusal(protocol.EOF, "the file ended early")
            deliver(at, data)
            self._moved(len(data))
            # A server may give less than was asked for: ask for the rest, in its place.
            if len(data) < length:
                at, length = at + len(data), length - len(data)
                asked.appendleft(((yield _read(field, at, length)), at, length))

    def explain(self, refusal: Refusal, download: Download) -> Job[TransferError]:
        return self._store.explain(refusal, download.path)


def _read(field: bytes, offset: int, length: int) -> Call:
    return Call(protocol.READ, field, struct.pack(">QI", offset, length), weight=length)


class LargeDownload(Large):
    """A file that comes in over several lines; what arrives is hashed and kept in order, beside the lines."""

    def __init__(self, fetcher: Fetcher, download: Download, place: bytes, size: int) -> None:
        super().__init__(place, protocol.FOR_READING, size=size)
        self._fetcher = fetcher
        self._download = download
        self._arrived: dict[int, memoryview] = {}
        self._handed_on = 0  # bytes given to the landing
        self._landed = 0  # bytes it is done with
        self._landing = Landing(download.into)
        self._lander = Aside(self._land, self.changed)

    def lead(self, line: Line, handle: bytes, batch: Offering) -> Job[Got]:
        with self._landing, self._lander:
            yield from self.together(line, handle, batch)
            self._lander.put(_ALL)
            yield from self._lander.finish()
        return Got(key=self._download.key, size=self._landing.size, md5=self._md5)

    def take_part(self, line: Line, handle: bytes, /) -> Job[None]:
        spans: Iterator[Span] = iter(())

        def next_span() -> Span | None:
            nonlocal spans
            if (span := next(spans, None)) is None:
                spans = self._next_stripe()
                span = next(spans, None)
            return span

        while (yield from self._more()):
            yield from self._fetcher.read(line, handle, next_span, self._deliver)

    def explain(self, refusal: Refusal) -> Job[TransferError]:
        return self._fetcher.explain(refusal, self._download)

    def _more(self) -> Job[bool]:
        """Wait until a stripe may be read, or nothing is left."""
        while True:
            seen = self.changed.given
            if self._lander.error is not None:
                raise self._lander.error
            with self.taking:
                if self.next >= self.size or self._may_take():
                    return self.next < self.size
            yield Park(self.changed, seen)

    def _may_take(self) -> bool:
        return self.next < self.size and self.next < self._landed + AHEAD

    def _next_stripe(self) -> Iterator[Span]:
        with self.taking:
            start = self.next
            if self._may_take():
                self.next = min(start + STRIPE, self.size)
            return self._fetcher.spans(start, self.next)

    def _deliver(self, at: int, data: memoryview) -> None:
        with self.guard:
            self._arrived[at] = data
            while (piece := self._arrived.pop(self._handed_on, None)) is not None:
                self._handed_on += len(piece)
                self._lander.put(piece)

    def _land(self, piece: memoryview) -> None:
        if piece is _ALL:
            self._md5 = self._landing.finish()
            return
        self._landing.add(piece)
        self._landed += len(piece)
