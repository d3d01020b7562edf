"""Where the bytes of a `get` go: into a local file, or nowhere when they are only hashed.

Promises: the file is written through no link, belongs under its name only when every byte is in it (a failed
landing removes what it wrote), and what goes wrong on this machine is never blamed on the store.
"""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from transfer.digests import Digests
from transfer.errors import LocalDiskFull, SourceUnreadable, TransferError

_WRITE = (
    os.O_WRONLY
    | os.O_CREAT
    | os.O_TRUNC
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)


class Landing:
    """One download: hashes what arrives and keeps it in `into`, if there is one; makes missing folders."""

    def __init__(self, into: Path | None) -> None:
        self._into = into
        self._descriptor = -1
        self._digests = Digests()
        self.size = 0

    def __enter__(self) -> Self:
        if self._into is not None:
            with naming(self._into):
                self._into.parent.mkdir(parents=True, exist_ok=True)
                self._descriptor = os.open(self._into, _WRITE, 0o666)  # less the umask
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._into is None:
            return
        os.close(self._descriptor)
        if error is not None:
            with contextlib.suppress(OSError):
                self._into.unlink()

    def add(self, piece: bytes | memoryview) -> None:
        self._digests.add(piece)
        self.size += len(piece)
        if self._into is not None:
            with naming(self._into):
                rest = memoryview(piece)
                while rest:
                    rest = rest[os.write(self._descriptor, rest) :]

    def finish(self) -> str:
        """All bytes are in: the md5 of what arrived.  A file is on the disk when this returns."""
        if self._into is not None:
            with naming(self._into):
                os.fsync(self._descriptor)
        return self._digests.hex()


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Translate what this machine says about `path`."""
    try:
        yield
    except OSError as error:
        raise _local_error(error, path) from error


def _local_error(error: OSError, path: Path) -> TransferError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return LocalDiskFull("no space left for a download on this machine", to=path)
    return SourceUnreadable(
        f"a download cannot be written on this machine ({error.strerror})",
        to=path,
        do="Give the worker's account the right to write there, then release it.",
    )
