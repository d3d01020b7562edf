"""What the steps ask of the catalogue.

The only implementation is `alyx.AlyxCatalog`; the protocol is here so that tests can count calls and
rehearsals can break them.  Nothing a catalogue answers is trusted: paths, sizes and hashes are compared
by the steps with what they know.  Times that come from Alyx are naive server time and stay so
(`changed_at`); they are only ever compared with one another.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import PurePosixPath
from types import EllipsisType
from typing import Any, Protocol
from uuid import UUID


@dataclass(frozen=True, kw_only=True, slots=True)
class FileRecord:
    """One file record.  `json` is known only when it was read from `/files`, else None."""

    id: UUID
    dataset: UUID | None
    repository: str
    path: PurePosixPath
    exists: bool
    json: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class CatalogDataset:
    """One dataset row with its file records.  `md5` is '' when Alyx has no hash."""

    id: UUID
    session: UUID | None
    name: str
    collection: str
    revision: str
    md5: str
    size: int | None
    qc: str
    default: bool
    tags: tuple[str, ...]
    created_at: datetime
    changed_at: datetime
    records: tuple[FileRecord, ...]

    @property
    def path(self) -> PurePosixPath:
        """Relative to the session: collection, #revision#, name."""
        folders = [self.collection] if self.collection else []
        if self.revision:
            folders.append(f"#{self.revision}#")
        return PurePosixPath(*folders, self.name)

    def record(self, repository: str) -> FileRecord | None:
        """The record in `repository`, None if there is none.  Several (an unpadded number): the first by path."""
        found = sorted((r for r in self.records if r.repository == repository), key=lambda r: r.path)
        return found[0] if found else None


@dataclass(frozen=True, kw_only=True, slots=True)
class CatalogSession:
    """One session row."""

    id: UUID
    subject: str
    date: date
    number: int
    lab: str


@dataclass(frozen=True, kw_only=True, slots=True)
class NewFile:
    """One file to register.  `path` is relative to the session folder."""

    path: PurePosixPath
    md5: str
    size: int
    qc: str | None = None
    default: bool | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Registration:
    """One POST /register-file: at most 50 files of one session, said to exist in `repository` only."""

    session_path: PurePosixPath
    repository: str
    lab: str
    files: Sequence[NewFile]
    default: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Registered:
    """Alyx's answer for one file, in the order asked.  `path` is what Alyx made of it, relative to the session."""

    dataset: UUID
    path: PurePosixPath
    size: int | None
    records: tuple[FileRecord, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class DatasetType:
    """A kind of file Alyx knows; `pattern` is a case-insensitive glob, '' means `object.attribute` is the name."""

    name: str
    pattern: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Repository:
    """A place Alyx knows."""

    name: str
    globus_path: str
    data_url: str | None
    personal: bool | None
    json: Mapping[str, Any] | None


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentTask:
    """A row of Alyx's `/tasks`: how an agent tells the lab that it lives."""

    id: UUID
    name: str
    status: str
    arguments: Mapping[str, Any] | None
    log: str | None


class Catalog(Protocol):
    """The calls the journey makes.  Each raises a `TransferError` of the E-3xxx kind."""

    def check_login(self) -> str:
        """The user we are; raises `CatalogLoginRefused`, `CatalogUnreachable`."""
        ...

    def server_time_skew(self) -> float:
        """Seconds by which the server's clock is ahead of ours, by the answer's Date header (whole seconds)."""
        ...

    def sessions(self, subject: str, day: date, number: int) -> list[CatalogSession]:
        """Sessions of that subject, day and number: none, one, or (Alyx allows it) several."""
        ...

    def datasets_of_session(self, eid: UUID) -> list[CatalogDataset]: ...

    def datasets(self, ids: Sequence[UUID]) -> dict[UUID, CatalogDataset]:
        """By id, at most 100 to a request; an id Alyx does not know is left out."""
        ...

    def register(self, registration: Registration) -> list[Registered]:
        """One request, never repeated by the client.

        Raises `UnknownOutcome` when the answer was lost (timeout, broken line, a 5xx that may have done
        the work), `ProtectedDataset`, `CatalogRefused` (permanent), `DoubledDataset`.  The answer has as
        many entries as were asked, in that order, or `AnswerDiffers` is raised.
        """
        ...

    def set_hash(self, dataset: UUID, md5: str, size: int) -> CatalogDataset:
        """PATCH the dataset's hash and size together (keeps the flags of its records)."""
        ...

    def set_size(self, dataset: UUID, size: int) -> CatalogDataset: ...

    def announce(
        self, record: UUID, exists: bool, json: Mapping[str, Any] | EllipsisType | None = ...
    ) -> FileRecord:
        """One PATCH for `exists` and, unless left out, the whole of `json`; the answer is compared."""
        ...

    def delete_dataset(self, dataset: UUID) -> None: ...

    def missing_records(self, repository: str) -> list[FileRecord]:
        """Every record of `repository` with exists=False: the whole list before anything is written, each once."""
        ...

    def flagged_records(self, repository: str) -> list[FileRecord]:
        """Every record of `repository` whose json has `mismatch_hash`."""
        ...

    def records(self, ids: Sequence[UUID]) -> dict[UUID, FileRecord]:
        """By id with their json, at most 100 to a request."""
        ...

    def datasets_changed(self, repository: str, since: datetime | None) -> Iterator[CatalogDataset]:
        """Datasets with a record in `repository` whose auto_datetime (naive server time) is later than `since`.

        None means all of them.  Safe on an unordered list: repeated until a pass finds nothing new.
        """
        ...

    def dataset_types(self) -> list[DatasetType]: ...
    def data_formats(self) -> list[str]:
        """The file extensions Alyx knows, with their dot."""
        ...

    def lab_repositories(self, lab: str) -> list[str]:
        """Raises `UnknownInCatalog`."""
        ...

    def repository(self, name: str) -> Repository:
        """Raises `UnknownInCatalog`."""
        ...

    def agent_task(self, name: str, repository: str) -> AgentTask | None: ...
    def write_agent_task(
        self, name: str, repository: str, *, status: str, arguments: Mapping[str, Any], log: str
    ) -> AgentTask:
        """Create or update the agent's row (`session` null, `graph` 'alyx-transfer')."""
        ...

    def incumbent_tasks(self, lab: str) -> int:
        """How many of ibllib's tasks Alyx has for the lab: other people's pipelines register its files."""
        ...

    def close(self) -> None: ...
