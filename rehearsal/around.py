"""What may stand between the program and its store, or its Alyx, for the length of a drill.

Each of these holds the real thing and changes one answer of it.  Drills stage faults with them, and
`protections` switches a protection off with them: the program is given the wrapped thing and does not know.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, Self, cast

from rehearsal.plan import Fault
from transfer.catalog.base import Catalog
from transfer.digests import Algorithm
from transfer.transports.base import (
    Capabilities,
    Digested,
    Download,
    Failed,
    Got,
    Moved,
    Published,
    RemoteFile,
    Rename,
    Sent,
    StreamingTransport,
    Upload,
)


class Around:
    """The real transport, unchanged."""

    def __init__(self, real: StreamingTransport) -> None:
        self.real = real

    def __enter__(self) -> Self:
        self.real.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.real.__exit__(kind, error, trace)

    @property
    def capabilities(self) -> Capabilities:
        return self.real.capabilities

    def put(self, uploads: Iterable[Upload], moved: Moved) -> Iterator[Sent | Failed]:
        return self.real.put(uploads, moved)

    def get(self, downloads: Iterable[Download], moved: Moved) -> Iterator[Got | Failed]:
        return self.real.get(downloads, moved)

    def publish(self, renames: Iterable[Rename]) -> Iterator[Published | Failed]:
        return self.real.publish(renames)

    def digests(self, paths: Sequence[PurePosixPath], algorithm: Algorithm = "md5") -> Iterator[Digested]:
        return self.real.digests(paths, algorithm)

    def stat(self, paths: Sequence[PurePosixPath]) -> Iterator[RemoteFile | None]:
        return self.real.stat(paths)

    def list_leftovers(self, folders: Sequence[PurePosixPath]) -> Iterator[RemoteFile]:
        return self.real.list_leftovers(folders)

    def remove(self, paths: Sequence[PurePosixPath]) -> Iterator[Failed]:
        return self.real.remove(paths)

    def link(self, existing: PurePosixPath, new: PurePosixPath) -> bool:
        return self.real.link(existing, new)

    def free_space(self) -> int | None:
        return self.real.free_space()


class Before(Around):
    """Calls `act` with the operation's name before files are sent or renamed."""

    def __init__(self, real: StreamingTransport, act: Callable[[str], None]) -> None:
        super().__init__(real)
        self._act = act

    def put(self, uploads: Iterable[Upload], moved: Moved) -> Iterator[Sent | Failed]:
        self._act("put")
        return self.real.put(uploads, moved)

    def publish(self, renames: Iterable[Rename]) -> Iterator[Published | Failed]:
        self._act("publish")
        return self.real.publish(renames)


class Damaging(Around):
    """One bit of a lab's file that arrived is turned over on the store's own disk, before anybody has looked at it.

    What the program sends to try the store out is not from the lab's folder, and stays whole.
    """

    def __init__(self, real: StreamingTransport, *, lab: Path, store: Path, fault: Fault) -> None:
        super().__init__(real)
        self._lab, self._store, self._fault = lab, store, fault

    def put(self, uploads: Iterable[Upload], moved: Moved) -> Iterator[Sent | Failed]:
        theirs: dict[int, PurePosixPath] = {}

        def noted() -> Iterator[Upload]:
            for upload in uploads:
                if upload.size and upload.source.is_relative_to(self._lab):
                    theirs[upload.key] = upload.partial
                yield upload

        for outcome in self.real.put(noted(), moved):
            if isinstance(outcome, Sent) and outcome.key in theirs and self._fault.strike():
                turn_a_bit(self._store / theirs[outcome.key])
            yield outcome


class Remembering(Around):
    """Knows for each name the digest of the bytes that were sent to it."""

    def __init__(self, real: StreamingTransport) -> None:
        super().__init__(real)
        self._sent: dict[PurePosixPath, str] = {}

    def put(self, uploads: Iterable[Upload], moved: Moved) -> Iterator[Sent | Failed]:
        partials: dict[int, PurePosixPath] = {}
        for outcome in self.real.put(_noted(uploads, partials), moved):
            if isinstance(outcome, Sent):
                self._sent[partials[outcome.key]] = outcome.md5
            yield outcome


class HashesByName(Remembering):
    """A store that answers for a name what came in under it first, and does not read the file again."""

    def __init__(self, real: StreamingTransport, fault: Fault) -> None:
        super().__init__(real)
        self._fault = fault

    @property
    def capabilities(self) -> Capabilities:
        return replace(self.real.capabilities, remote_hash=True)

    def publish(self, renames: Iterable[Rename]) -> Iterator[Published | Failed]:
        def noted() -> Iterator[Rename]:
            for rename in renames:
                if rename.partial in self._sent:
                    self._sent.setdefault(rename.final, self._sent[rename.partial])
                yield rename

        return self.real.publish(noted())

    def digests(self, paths: Sequence[PurePosixPath], algorithm: Algorithm = "md5") -> Iterator[Digested]:
        assert algorithm == "md5", "only md5 is asked of a store"
        for path in paths:
            self._fault.strike()
            yield Digested(path=path, digest=self._sent.get(path))


class SaysWhatWasExpected(Remembering):
    """Verification switched off: whoever asks for the stored bytes' digest is told that of the bytes sent."""

    def get(self, downloads: Iterable[Download], moved: Moved) -> Iterator[Got | Failed]:
        wanted: dict[int, PurePosixPath] = {}

        def noted() -> Iterator[Download]:
            for download in downloads:
                wanted[download.key] = download.path
                yield download

        for outcome in self.real.get(noted(), moved):
            if isinstance(outcome, Got):
                outcome = replace(outcome, md5=self._sent.get(wanted[outcome.key], outcome.md5))
            yield outcome

    def digests(self, paths: Sequence[PurePosixPath], algorithm: Algorithm = "md5") -> Iterator[Digested]:
        for told in self.real.digests(paths, algorithm):
            yield replace(told, digest=self._sent.get(told.path, told.digest))


def turn_a_bit(place: Path) -> None:
    """Change one bit in the middle of a file; its size stays."""
    with place.open("r+b") as file:
        middle = place.stat().st_size // 2
        file.seek(middle)
        (byte,) = file.read(1)
        file.seek(middle)
        file.write(bytes([byte ^ 1]))


def _noted(uploads: Iterable[Upload], partials: dict[int, PurePosixPath]) -> Iterator[Upload]:
    for upload in uploads:
        partials[upload.key] = upload.partial
        yield upload


class AroundCatalog:
    """The real catalogue; what a subclass does not name is passed on as it is."""

    def __init__(self, real: Catalog) -> None:
        self.real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


def around_catalog(made: "AroundCatalog") -> Catalog:
    """`made` as what it stands for."""
    return cast(Catalog, made)
