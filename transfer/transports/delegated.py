"""What a mover promises that we only ask: Globus carries the bytes, we submit, look and rename.

The way of a batch: `reserve` a submission key, `freeze` the document, commit both, `submit`, then `poll` for as
long as it takes.  Files arrive in the staging folder of their submission (`model.staged_path`) and are brought
under their final names by `publish`.

Promises:

- `submit` of one document, however often and by whomever, makes one task;
- `poll` may be asked for ever and changes nothing; a task that the mover no longer knows is `Standing.GONE`,
  never a failure of its files;
- a file is in `Report.arrived` only if the mover compared its checksum with the registered md5 on arrival;
- `faults` on the way are no failure: the mover retries by itself until the deadline;
- a question that could not be answered raises: it is never "no such file";
- `publish` and `set_aside` are renames, done when they return.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import PurePosixPath
from types import TracebackType
from typing import Any, Protocol, Self, runtime_checkable

from transfer.errors import TransferError
from transfer.transports.base import Failed, Published, RemoteFile, Rename

Document = Mapping[str, Any]
"""A frozen submission, as JSON: what is committed to the ledger and sent, again if need be, unchanged."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """One file of a submission.

    `source` is relative to the lab's root, `staged` to the store's root; `md5` is the registered one.
    """

    source: PurePosixPath
    staged: PurePosixPath
    size: int
    md5: str


class Standing(StrEnum):
    """Where a task stands."""

    ACTIVE = "active"  # the mover works on it, or will
    SUCCEEDED = "succeeded"
    FAILED = "failed"  # ended, and not everything arrived; canceled and overdue tasks are failed too
    GONE = "gone"  # the mover does not know it (any more): nothing is said about its files


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What the mover says of a task now.

    `note` is for people ("VERIFY_CHECKSUM", "2 faults, last: ..."); `arrived` are staged paths; `failed` are the
    files that the mover gave up, with the reason; `error` is why a task failed as a whole, where one is known.
    `bytes_moved` counts what has been carried so far.
    """

    standing: Standing
    note: str = ""
    arrived: frozenset[PurePosixPath] = frozenset()
    failed: Mapping[PurePosixPath, TransferError] = field(default_factory=dict)
    bytes_moved: int = 0
    error: TransferError | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Allowance:
    """How much may be asked of the mover at a time (all limits are settings).

    `pending` tasks may be submitted and not ended, and the mover works on `active` of them at a time; a batch of
    `large` bytes or more keeps one of those busy for long, so that all but one may have such work.  `patience`
    seconds pass between two looks at a task; `hours` is the time a task is given.
    """

    pending: int
    active: int
    large: int
    patience: float
    hours: float


@runtime_checkable
class DelegatedTransport(Protocol):
    """Bytes do not flow through us: globus."""

    @property
    def allowance(self) -> Allowance: ...
    def __enter__(self) -> Self:
        """Log in.  Raises `MoverLoginExpired`, `MoverConsentRequired`, `MoverUnavailable`."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def reserve(self) -> str:
        """A new submission key (a UUID).  Nothing is moved by it."""
        ...

    def freeze(self, key: str, source: str, pieces: Sequence[Piece], *, deadline: datetime) -> Document:
        """The document that asks for `pieces` of lab repository `source`; asks nobody, and is the same every time."""
        ...

    def submit(self, document: Document) -> str:
        """The task's id.  Raises `TransferError`; after any failure it may be said again with the same document."""
        ...

    def poll(self, task: str, document: Document) -> Report:
        """Where the task stands."""
        ...

    def cancel(self, task: str) -> None:
        """Ask for the end of a task; one that has ended, or is not known, is no failure."""
        ...

    def stat(self, paths: Sequence[PurePosixPath]) -> Iterator[RemoteFile | None]:
        """Size and time of each path, in the order asked; None only where the mover says that there is no such file."""
        ...

    def publish(self, renames: Iterable[Rename]) -> Iterator[Published | Failed]:
        """Rename staged files to their final names, making folders.

        A missing staged file fails with `StoredFileMissing`; a final name that stands and is not replaced by a
        rename fails with `RenameDoesNotReplace`.
        """
        ...

    def staged(self) -> Iterator[str]:
        """The submission keys that have a staging folder."""
        ...

    def set_aside(self, path: PurePosixPath) -> bool:
        """Rename a file away, so that nobody can publish it or find it there; False if there is none.

        It stays in the staging folder of this transport's own, and goes with `clean`.
        """
        ...

    @property
    def sources(self) -> Sequence[str]:
        """The lab repositories it can carry from."""
        ...

    def see_store(self) -> str:
        """Look at the store's root; answers a sentence for people.  Raises `TransferError`."""
        ...

    def see_source(self, source: str) -> str:
        """Look at a lab's root; answers a sentence for people.  Raises `TransferError`."""
        ...

    def rehearse(self) -> str:
        """Make, rename and remove a folder of one's own in the staging folder; answers a sentence for people."""
        ...

    def clean(self, keys: Sequence[str]) -> None:
        """Have the staging folders of these submissions removed; it may happen after this returns."""
        ...
