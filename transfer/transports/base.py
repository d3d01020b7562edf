"""What a transport promises.

All calls are *batch first*: thousands of small files are the normal case, and only a transport that
sees many files at once can keep the line full.  A transport is a context manager: entering connects,
leaving closes.  Every path is a `PurePosixPath` relative to the endpoint's root; a transport refuses
an absolute path and any `..` with `UntrustedPath` before it touches the far side.

Promises (checked by `transfer.conformance` on every transport):

- one failed file never fails its batch: it yields `Failed` and the others go on;
- every failure is a `TransferError` whose `__cause__` is the foreign exception;
- `put` opens its partial exclusively (a name that exists is `PartialExists`), makes missing folders,
  hashes exactly the bytes it sends, re-stats the source at the end (`SourceChanged`), keeps the
  modification time, and leaves nothing under any other name;
- `publish` renames onto the final name, replacing what stands there in one step; a missing partial is
  `StoredFileMissing`;
- results come in any order, each with its request's `key`;
- `moved(n)` is called with the number of bytes moved since the last call, from any thread, often enough
  to serve as a sign of life (at least once a second while bytes move).  It may take its time, because there the
  lab machine's limit is kept; and what it raises that is no `Exception` breaks everything off, partials left as
  they are (see `transfer.guest`).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Protocol, Self

from transfer.digests import Algorithm
from transfer.errors import TransferError

Moved = Callable[[int], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Capabilities:
    """What this connection can do: asked of it, not assumed of the brand."""

    replaces_atomically: bool  # rename onto an existing name replaces it in one step
    remote_hash: bool  # the far side offers to hash; believed only after a canary
    hard_links: bool
    syncs: bool  # files are flushed to disk before `put` reports them sent
    free_space: bool  # `free_space` gives an answer
    connections: int = 1
    credential_until: datetime | None = (
        None  # when what lets us in, or proves who answers, ends; None: unknown
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Upload:
    """One file to send: exactly `size` bytes of `source` into `partial`.

    `earlier` is the partial of an attempt that did not end, for the same bytes.  What of it is proved to be right
    need not be sent again; a transport that cannot continue it sends everything.  It is copied, never written:
    a late worker may still have it open.  Only with `earlier_ended`, when the process that wrote it is known to be
    gone, may it be taken over by a rename.

    Below the folder `below` no link is followed on the way to `source`.
    """

    key: int
    source: Path
    partial: PurePosixPath
    size: int
    mtime_ns: int
    earlier: PurePosixPath | None = None
    earlier_ended: bool = False
    below: Path | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Download:
    """One stored file to read.  With `into` None its bytes are only hashed: the read-back."""

    key: int
    path: PurePosixPath
    into: Path | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Rename:
    """One partial to bring under its final name."""

    key: int
    partial: PurePosixPath
    final: PurePosixPath


@dataclass(frozen=True, kw_only=True, slots=True)
class Sent:
    """All bytes were written and accepted; `md5` is of exactly the bytes sent."""

    key: int
    size: int
    md5: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Got:
    """All bytes were read; `md5` is of exactly the bytes read."""

    key: int
    size: int
    md5: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """The partial now stands under its final name."""

    key: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Failed:
    """This one failed, the others go on."""

    key: int
    error: TransferError


@dataclass(frozen=True, kw_only=True, slots=True)
class Digested:
    """What the far side says the bytes under `path` hash to; None when there is no such file."""

    path: PurePosixPath
    digest: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class RemoteFile:
    """A stored regular file.  `mtime_ns` may be rounded to whole seconds."""

    path: PurePosixPath
    size: int
    mtime_ns: int


class Readable(Protocol):
    """Read-back, pull, independent proof."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def get(self, downloads: Iterable[Download], moved: Moved) -> Iterator[Got | Failed]:
        """Read whole files; a missing one fails with `StoredFileMissing`."""
        ...

    def digests(self, paths: Sequence[PurePosixPath], algorithm: Algorithm = "md5") -> Iterator[Digested]:
        """Ask the far side to hash many files with one command, in any order, each path once.

        Only where `capabilities.remote_hash`.  Raises `StoreRefused` when the command fails as a whole.
        """
        ...

    def stat(self, paths: Sequence[PurePosixPath]) -> Iterator[RemoteFile | None]:
        """Size and time of each path, in the order asked; None where there is no such file."""
        ...


class StreamingTransport(Readable, Protocol):
    """Bytes flow through us: local, sftp, ftp."""

    @property
    def capabilities(self) -> Capabilities: ...
    def put(self, uploads: Iterable[Upload], moved: Moved) -> Iterator[Sent | Failed]:
        """Send files to their partials.  A lost connection fails every file not yet sent with `ConnectionLost`."""
        ...

    def publish(self, renames: Iterable[Rename]) -> Iterator[Published | Failed]:
        """Bring partials under their final names."""
        ...

    def list_leftovers(self, folders: Sequence[PurePosixPath]) -> Iterator[RemoteFile]:
        """Every partial and kept old copy (see `paths.is_leftover`) that stands directly in one of `folders`.

        A folder that does not exist has none.
        """
        ...

    def remove(self, paths: Sequence[PurePosixPath]) -> Iterator[Failed]:
        """Remove files; one that is already gone is not a failure.  `Failed.key` is the index in `paths`."""
        ...

    def link(self, existing: PurePosixPath, new: PurePosixPath) -> bool:
        """Make a hard link; False where the store has none or `existing` is gone."""
        ...

    def free_space(self) -> int | None:
        """Bytes that may still be written below the root; None when the store does not say."""
        ...
