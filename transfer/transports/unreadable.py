"""A store that nobody here can read: its bytes go through a mover only, and no other road is configured.

Every question about bytes is answered with `StoreRefused`, and never with "no such file".
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePosixPath
from types import TracebackType
from typing import Self

from transfer.digests import Algorithm
from transfer.errors import StoreRefused
from transfer.transports.base import Digested, Download, Failed, Got, Moved, RemoteFile

_DO = "Give the repository a data_url in Alyx, so that its files can be read over HTTP."


class Unreadable:
    """A `Readable` that reads nothing."""

    def __init__(self, store: str) -> None:
        self._store = store

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """There is nothing to close."""

    def get(self, downloads: Iterable[Download], moved: Moved) -> Iterator[Got | Failed]:  # noqa: ARG002
        for download in downloads:
            yield Failed(key=download.key, error=self._refusal(download.path))

    def digests(self, paths: Sequence[PurePosixPath], algorithm: Algorithm = "md5") -> Iterator[Digested]:  # noqa: ARG002
        raise self._refusal(self._store)

    def stat(self, paths: Sequence[PurePosixPath]) -> Iterator[RemoteFile | None]:  # noqa: ARG002
        raise self._refusal(self._store)

    def _refusal(self, what: object) -> StoreRefused:
        return StoreRefused("the store's files cannot be read from here", to=what, do=_DO)
