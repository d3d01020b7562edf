"""Hashing while reading: every byte is read once, and the digest is of exactly the bytes that were read.

Promises: a `Source` is a regular file, opened without following a link and without waiting for a pipe or a
device; it is compared with itself before and after the reading, so a file that somebody writes to meanwhile
is `SourceChanged` and never a digest.  Memory is one buffer of `BUFFER` bytes, or a few for a
large file, whatever its size.

It does not decide what a digest means (see `verdicts`), and it knows no Alyx and no store.

The surprise: the pieces handed out are views on one and the same memory.  A view is valid until the next one
is asked for.
"""

import contextlib
import errno
import hashlib
import os
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from transfer.errors import SourceChanged, SourceUnreadable, SourceVanished, TransferError, UnsafeSource
from transfer.opening import open_regular

BUFFER = 1 << 20
_BUFFERS = 3  # one being read or sent, one being hashed, one ready
_WORTH_A_THREAD = 8 << 20

Algorithm = Literal["md5", "sha256"]


@dataclass(frozen=True, kw_only=True, slots=True)
class FileDigest:
    """Digests in lower-case hex, with the size (bytes) and time (ns) of the file they are of."""

    size: int
    mtime_ns: int
    md5: str
    sha256: str | None = None


class Digests:
    """Several digests of one stream of bytes."""

    def __init__(self, algorithms: Sequence[Algorithm] = ("md5",)) -> None:
        # Alyx registers MD5; it finds damage, and nobody relies on it against an attacker.
        self._all = {name: hashlib.new(name, usedforsecurity=False) for name in algorithms}

    def add(self, piece: bytes | memoryview) -> None:
        for one in self._all.values():
            one.update(piece)

    def hex(self, algorithm: Algorithm = "md5") -> str:
        return self._all[algorithm].hexdigest()

    def get(self, algorithm: Algorithm) -> str | None:
        """The digest, or None when it was not asked for."""
        return self._all[algorithm].hexdigest() if algorithm in self._all else None


class Source:
    """An open regular file of the lab, read once from front to back.

    Entering opens it; raises `SourceVanished`, `SourceUnreadable` or `UnsafeSource` (link, folder, device).
    `below` is the folder under which no link is followed; None where only the file itself must be none.
    """

    def __init__(
        self, path: Path, algorithms: Sequence[Algorithm] = ("md5",), *, below: Path | None = None
    ) -> None:
        self.path = path
        self._below = below
        self.digests = Digests(algorithms)

    def __enter__(self) -> Self:
        with _naming(self.path):
            self._file = open_regular(self.path, below=self._below)
            self._before = os.fstat(self._file.fileno())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def size(self) -> int:
        return self._before.st_size

    @property
    def mtime_ns(self) -> int:
        return self._before.st_mtime_ns

    def expect(self, size: int) -> None:
        """Raises `SourceChanged` if the file is not `size` bytes long."""
        if self.size != size:
            raise _changed(self.path, f"{size} bytes were promised, it has {self.size}")

    def pieces(self, size: int, *, at_most: int = BUFFER) -> Iterator[memoryview]:
        """Exactly `size` bytes, hashed, in pieces of at most `at_most` bytes.

        Raises `SourceChanged` when the file is not `size` bytes long, at the start or in the end.
        """
        self.expect(size)
        length = min(at_most, size) or 1
        if size < _WORTH_A_THREAD:
            memory = memoryview(bytearray(length))
            for piece in self._filled(size, lambda: memory):
                self.digests.add(piece)
                yield piece
            return
        with _HashingBeside(self.digests, length) as hashing:
            for piece in self._filled(size, hashing.memory):
                hashing.add(piece)
                yield piece

    def _filled(self, size: int, memory: Callable[[], memoryview]) -> Iterator[memoryview]:
        """`size` bytes of the file, each time as many as a read puts into what `memory` gives."""
        left = size
        while left:
            into = memory()
            piece = into[: self._read(into[: min(left, len(into))])]
            if not piece:
                raise _changed(self.path, f"it ended {left} bytes early")
            left -= len(piece)
            yield piece

    def settle(self) -> None:
        """Raise `SourceChanged` if the file is not what it was when it was opened."""
        with _naming(self.path):
            after = os.fstat(self._file.fileno())
        if (after.st_size, after.st_mtime_ns) != (self._before.st_size, self._before.st_mtime_ns):
            raise _changed(self.path, "it was written to while it was read")

    def _read(self, into: memoryview) -> int:
        with _naming(self.path):
            return self._file.readinto(into) or 0


class _HashingBeside:
    """Hashes the pieces of a large file in their order, in a thread beside the reader.

    A context manager: leaving it waits for what was added.
    """

    def __init__(self, digests: Digests, length: int) -> None:
        self._digests = digests
        self._free: queue.SimpleQueue[memoryview] = queue.SimpleQueue()
        for _ in range(_BUFFERS):
            self._free.put(memoryview(bytearray(length)))
        self._todo: queue.SimpleQueue[tuple[memoryview, memoryview] | None] = queue.SimpleQueue()
        self._lent: memoryview | None = None
        self._thread = threading.Thread(target=self._toil, name="hashing", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._todo.put(None)
        self._thread.join()

    def memory(self) -> memoryview:
        """A buffer that is hashed already; what was handed out before it is not used any more."""
        self._lent = self._free.get()
        return self._lent

    def add(self, piece: memoryview) -> None:
        assert self._lent is not None
        self._todo.put((piece, self._lent))

    def _toil(self) -> None:
        while (found := self._todo.get()) is not None:
            piece, memory = found
            self._digests.add(piece)
            self._free.put(memory)


def digest_file(
    path: Path,
    algorithms: Sequence[Algorithm] = ("md5",),
    moved: Callable[[int], None] | None = None,
    *,
    below: Path | None = None,
) -> FileDigest:
    """Hash a file of the lab; md5 is always among the digests.

    `moved(n)` is called for each buffer with the bytes read since the last call.  Raises `SourceVanished`,
    `SourceUnreadable`, `UnsafeSource` or `SourceChanged`.
    """
    with Source(path, tuple(dict.fromkeys(("md5", *algorithms))), below=below) as source:
        for piece in source.pieces(source.size):
            if moved is not None:
                moved(len(piece))
        source.settle()
        return FileDigest(
            size=source.size,
            mtime_ns=source.mtime_ns,
            md5=source.digests.hex("md5"),
            sha256=source.digests.get("sha256"),
        )


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Translate what the operating system says about `path`."""
    try:
        yield
    except OSError as error:
        raise _source_error(error, path) from error


def _source_error(error: OSError, path: Path) -> TransferError:
    match error.errno:
        case errno.ENOENT | errno.ENOTDIR:
            return SourceVanished("the source file is gone", to=path)
        case errno.ELOOP | errno.EMLINK:
            return UnsafeSource("the source is a link", to=path)
        case errno.ENXIO | errno.EISDIR:
            return UnsafeSource("the source is not a regular file", to=path)
        case _:
            return SourceUnreadable(f"the source cannot be read ({error.strerror})", to=path)


def _changed(path: Path, how: str) -> SourceChanged:
    return SourceChanged(f"the source changed while it was sent or hashed: {how}", to=path)
