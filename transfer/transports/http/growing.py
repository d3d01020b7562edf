"""A landing that goes on where an earlier try stopped, and can begin again."""

import os
from pathlib import Path
from types import TracebackType
from typing import Self

from transfer.digests import BUFFER, Digests
from transfer.transports.landing import Landing, naming

_GROW = (
    os.O_RDWR
    | os.O_CREAT
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)


class Growing(Landing):
    """One download over as many requests as it takes.

    With `keep` what stands in `into` counts as the file's beginning and is hashed at the start, and a failure
    leaves the file for the next try.  Without it a failed landing removes what it wrote, as its parent does.
    """

    def __init__(self, into: Path | None, *, keep: bool) -> None:
        super().__init__(into)
        self._keep = keep and into is not None

    def __enter__(self) -> Self:
        if not self._keep or self._into is None:
            return super().__enter__()
        with naming(self._into):
            self._into.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(self._into, _GROW, 0o666)  # less the umask
            while piece := os.read(self._descriptor, BUFFER):
                self._digests.add(piece)
                self.size += len(piece)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._keep:
            os.close(self._descriptor)
        else:
            super().__exit__(kind, error, trace)

    def begin_again(self) -> None:
        """Forget every byte."""
        self._digests = Digests()
        self.size = 0
        if self._into is not None:
            with naming(self._into):
                os.lseek(self._descriptor, 0, os.SEEK_SET)
                os.ftruncate(self._descriptor, 0)
