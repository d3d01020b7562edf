"""Sending one file: looked for, streamed, measured, dated.

Promises: the md5 is of exactly the bytes that were sent; success means that the server said it has them all,
and that the stored file has the promised size.  A file that failed is removed again unless the connection is
gone, so that a full disk is not kept full; one whose connection was lost stays, to be continued.

What of an earlier attempt is continued was first read back and compared byte by byte with the source.

FTP cannot open a file exclusively.  We look first, and refuse what stands; between look and open another
could take the name, but the name holds this attempt's random id, and nobody else draws it.

FTP cannot flush a file to the disk either.
"""

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime

from transfer.digests import Source
from transfer.errors import ConnectionLost, PartialExists, StoreRefused, TransferError
from transfer.transports.base import Moved, Sent, Upload
from transfer.transports.ftp.folders import Folders, set_mode
from transfer.transports.ftp.line import Data, Enough, Line, Refusal
from transfer.transports.ftp.store import Store

CONTINUED_FROM = 8 << 20  # bytes; a smaller rest is sent again sooner than it is proved
_NANO = 1_000_000_000


class Sender:
    """Sends the files of one batch; `file_mode` None leaves the server's own."""

    def __init__(self, store: Store, folders: Folders, *, file_mode: int | None) -> None:
        self._store = store
        self._folders = folders
        self._file_mode = file_mode

    def send(self, line: Line, upload: Upload, moved: Moved) -> Sent:
        """Raises `TransferError`."""
        place = self._store.place(upload.partial)
        self._store.require_sayable(line, upload.partial)
        with Source(upload.source, below=upload.below) as source:
            source.expect(upload.size)
            self._folders.ensure(line, upload.partial.parent)
            if self._store.size(line, upload.partial) is not None:
                what = "a file of that name stands already"
                raise PartialExists(what, to=self._store.name(upload.partial))
            try:
                done = self._taken_over(line, upload, moved)
                self._stream(line, source, upload, done, moved)
                self._finish(line, place, upload)
            except ConnectionLost:
                raise
            except TransferError:
                _discard(line, place)
                raise
        return Sent(key=upload.key, size=upload.size, md5=source.digests.hex())

    # ---- an earlier attempt's bytes -----------------------------------------------------------------------

    def _taken_over(self, line: Line, upload: Upload, moved: Moved) -> int:
        """How many bytes now stand under our name, proved to be the source's first; 0 where none could be had."""
        if upload.earlier is None or not upload.earlier_ended or upload.size < CONTINUED_FROM:
            return 0
        size = self._store.size(line, upload.earlier)
        if size is None or not CONTINUED_FROM <= size <= upload.size:
            return 0
        place = self._store.place(upload.partial)
        try:
            # Ours before it is read: if we are lost meanwhile, the next attempt finds it under our name.
            line.ask(f"RNFR {self._store.place(upload.earlier)}")
            line.ask(f"RNTO {place}")
            if self._store.size(line, upload.partial) == size and _agrees(line, place, upload, size, moved):
                return size
            line.ask(f"DELE {place}")
        except Refusal:
            _discard(line, place)
        return 0

    # ---- streaming ------------------------------------------------------------------------------------------

    def _stream(self, line: Line, source: Source, upload: Upload, done: int, moved: Moved) -> None:
        place = self._store.place(upload.partial)
        read = 0
        try:
            with line.transfer(f"APPE {place}" if done else f"STOR {place}") as data:
                for piece in source.pieces(upload.size):
                    unsent = piece[max(0, min(done - read, len(piece))) :]
                    read += len(piece)
                    if unsent:
                        data.send(unsent, moved)
                    else:
                        moved(0)
                source.settle()
        except Refusal as refusal:
            raise self._store.explain_writing(line, refusal, upload.partial) from refusal

    def _finish(self, line: Line, place: str, upload: Upload) -> None:
        kept = self._store.size(line, upload.partial)
        if kept != upload.size:
            what = f"the store kept {'nothing' if kept is None else kept} of {upload.size} bytes"
            raise StoreRefused(what, to=self._store.name(upload.partial))
        set_mode(line, place, self._file_mode)
        _set_time(line, place, upload.mtime_ns)


def _agrees(line: Line, place: str, upload: Upload, size: int, moved: Moved) -> bool:
    """Whether the stored file's `size` bytes are the source's first.  Raises `Refusal` if it cannot be read."""
    memory = memoryview(bytearray(1 << 20))
    left = size
    try:
        with Source(upload.source, below=upload.below) as source, line.transfer(f"RETR {place}") as data:
            for piece in source.pieces(upload.size):
                for at in _filled(piece[:left], memory, data):
                    if memory[: at.stop - at.start] != piece[at]:
                        raise Enough
                left -= min(left, len(piece))
                moved(0)
                if not left:
                    break
    except Enough:
        return False
    return True


def _filled(piece: memoryview, memory: memoryview, data: Data) -> Iterator[slice]:
    """Receive as many bytes as `piece` has, and say after each receipt which of them stand in `memory`."""
    at = 0
    while at < len(piece):
        got = data.receive(memory[: len(piece) - at])
        if not got:
            raise Enough
        yield slice(at, at + got)
        at += got


def _set_time(line: Line, place: str, mtime_ns: int) -> None:
    """Keep the time, in whole seconds and UTC: by MFMT, or as older servers do it, by MDTM with a time.

    A server that knows neither keeps its own: a time is good to have, and proves nothing.
    """
    when = datetime.fromtimestamp(mtime_ns // _NANO, UTC).strftime("%Y%m%d%H%M%S")
    with contextlib.suppress(Refusal):
        line.ask(f"{'MFMT' if 'MFMT' in line.features else 'MDTM'} {when} {place}")


def _discard(line: Line, place: str) -> None:
    """Remove what failed; the failure itself is what gets reported."""
    with contextlib.suppress(Refusal, ConnectionLost):
        line.ask(f"DELE {place}")
