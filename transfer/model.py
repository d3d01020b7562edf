"""The nouns: what the library talks about, as frozen values.

Names are those of the glossary in `docs/architecture.md`.  A path is a `PurePosixPath` relative to the root of
an endpoint (or of a session, where a docstring says so); sizes are bytes; digests are lower-case hex;
times are aware, in UTC.  Nothing here reads a clock, a file or a database.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Literal
from uuid import UUID

from transfer.status import Condition, Proof, Status

Origin = Literal["disk", "alyx"]

STAGING = PurePosixPath(".alyx-transfer")
"""The folder below a store's root where a mover that we only ask (Globus) puts files before they are published."""


def staged_path(submission_key: str, dataset: UUID) -> PurePosixPath:
    """Where such a mover puts a dataset's bytes; each submission has a folder of its own."""
    return STAGING / submission_key / str(dataset)


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionKey:
    """A session's place: `subject/YYYY-MM-DD/NNN` below the root of `source`, the lab's repository."""

    source: str
    subject: str
    date: date
    number: int
    padded: bool = True

    @property
    def path(self) -> PurePosixPath:
        number = f"{self.number:03d}" if self.padded else str(self.number)
        return PurePosixPath(self.subject, self.date.isoformat(), number)


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceFile:
    """One regular file of a session as a look at the disk found it.  `path` is relative to the session."""

    path: PurePosixPath
    size: int
    mtime_ns: int
    md5: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Session:
    """Our row for a session."""

    id: int
    source: str
    path: PurePosixPath
    lab: str
    subject: str
    date: date
    number: int
    eid: UUID | None
    origin: Origin
    complete_at: datetime | None
    hold: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Dataset:
    """Our row for one logical file of a session.  `path` is relative to the session."""

    id: int
    session: int
    path: PurePosixPath
    uuid: UUID | None
    size: int
    mtime_ns: int
    md5: str | None
    registered_md5: str | None
    registered_size: int | None
    unregistrable: str | None
    gone_at: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One copy to be made, with everything a step needs to know about it.

    `source_path` is relative to the lab's root, `target_path` (from PLANNED on) to the store's root.
    `partial` is the name of the attempt's partial beside the target, or `<submission key>/<dataset uuid>` for one
    in the staging folder of a mover; None when the bytes already stand under the final name.  `opened_by` is the
    process that was to open it (see `ledger.processes`).
    `batch` is None before PLANNED.  `stored_md5` is what the copy that stands at the store was last proved to
    hold: None when we never put or proved one, '' when it is known to be damaged.
    """

    id: int
    copy: int
    dataset: int
    session: int
    source: str
    target: str
    source_path: PurePosixPath
    target_path: PurePosixPath | None
    dataset_uuid: UUID | None
    record_uuid: UUID | None
    md5: str
    size: int
    mtime_ns: int
    status: Status
    batch: int | None
    attempt: str | None
    partial: str | None
    tries: int
    proof: Proof | None
    proved_at: datetime | None
    hold: str | None
    created_at: datetime
    stored_md5: str | None = None
    opened_by: str | None = None

    @property
    def store_path(self) -> PurePosixPath:
        """The final name at the store.  Only to be asked from PLANNED on."""
        assert self.target_path is not None, f"item {self.id} is {self.status} and has no target yet"
        return self.target_path

    @property
    def partial_path(self) -> PurePosixPath:
        """Where this item's bytes stand now: beside the final name, or under it."""
        if not self.partial:
            return self.store_path
        folder, _, dataset = self.partial.rpartition("/")
        return staged_path(folder, UUID(dataset)) if folder else self.store_path.with_name(self.partial)

    @property
    def uuid(self) -> UUID:
        """The dataset's uuid.  Only to be asked from REGISTERED on."""
        assert self.dataset_uuid is not None, f"item {self.id} is {self.status} and has no dataset yet"
        return self.dataset_uuid

    @property
    def record(self) -> UUID:
        """The central file record.  Only to be asked from REGISTERED on."""
        assert self.record_uuid is not None, f"item {self.id} is {self.status} and has no record yet"
        return self.record_uuid


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Items of one route that move together: the unit of lease, submission and cancellation."""

    id: int
    source: str
    target: str
    transport: str
    files: int
    bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """From one endpoint to another by one transport."""

    source: str
    target: str
    transport: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Lab:
    """A lab as the config describes it.

    `repository` and `store` are the names Alyx has for the lab's own server and for the central store,
    and our names for the two endpoints.  With `work` "alyx" nothing is registered by us: what has to move
    is what Alyx lists as missing in the store.  A session of a "disk" lab is complete when its `flag` file
    exists or, with `flag` None, when nothing in it has changed for `quiet`.
    """

    name: str
    repository: str
    root: Path
    store: str
    work: Origin
    incumbent: bool = False
    flag: str | None = None
    quiet: timedelta = timedelta(minutes=10)


@dataclass(frozen=True, kw_only=True, slots=True)
class Receipt:
    """What was proved about one copy; written once, kept for ever."""

    item: int
    copy: int
    md5: str
    size: int
    proof: Proof
    proved_at: datetime
    read_back_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Copy:
    """Our row for one file record: what we proved about it, and when."""

    id: int
    dataset: int
    repository: str
    record_uuid: UUID | None
    path: PurePosixPath
    proved_md5: str | None
    proved_size: int | None
    proof: Proof | None
    announced: bool | None
    condition: Condition
