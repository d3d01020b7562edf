"""The files at the store's collection: looked at, renamed, and folders made.

Promises: a path counts as missing only where the service says so in so many words; every other trouble raises.  A
rename whose answer is unclear is looked after: what stands where decides, not the code.
"""

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

from globus_sdk import GlobusAPIError, GlobusError, TransferClient

from transfer.errors import Reach, RenameDoesNotReplace, StoredFileMissing
from transfer.transports.base import RemoteFile
from transfer.transports.globus.document import below
from transfer.transports.globus.options import GlobusOptions
from transfer.transports.globus.refusals import asking, explained, is_no_such_file, is_of_the_collection
from transfer.transports.globus.refusals import field as part

HERE = PurePosixPath()
_LIMIT = 100_000  # how many entries of a folder the service lists at most


@dataclass(frozen=True, slots=True)
class Listing:
    """What a folder holds; `whole` is False when it holds more than the service lists."""

    files: Mapping[str, RemoteFile]
    folders: frozenset[str]
    whole: bool


@dataclass(slots=True)
class Shelf:
    """A store's collection below its root.  Safe to use from several threads, each with a client of its own."""

    options: GlobusOptions
    _made: set[PurePosixPath] = field(default_factory=set)
    _making: threading.Lock = field(default_factory=threading.Lock)

    def place(self, path: PurePosixPath) -> str:
        """The absolute path in the collection."""
        return str(below(self.options.root, path))

    # ---- looking

    def listing(self, client: TransferClient, folder: PurePosixPath) -> Listing | None:
        """What `folder` holds; None if there is no such folder."""
        try:
            answer = client.operation_ls(
                self.options.collection,
                path=self.place(folder).rstrip("/") + "/",
                show_hidden=True,
                limit=_LIMIT,
            )
        except GlobusAPIError as error:
            if is_no_such_file(error):
                return None
            raise explained(error, to=self._shown(folder)) from error
        except GlobusError as error:
            raise explained(error, to=self._shown(folder)) from error
        rows = part(answer, "DATA")
        return Listing(
            files={row["name"]: _file(folder / row["name"], row) for row in rows if row["type"] == "file"},
            folders=frozenset(row["name"] for row in rows if row["type"] == "dir"),
            whole=len(rows) < _LIMIT,
        )

    def look(self, client: TransferClient, path: PurePosixPath) -> RemoteFile | None:
        """Size and time of one file; None if there is none of this name."""
        try:
            row = client.operation_stat(self.options.collection, path=self.place(path))
        except GlobusAPIError as error:
            if is_no_such_file(error):
                return None
            raise explained(error, to=self._shown(path)) from error
        except GlobusError as error:
            raise explained(error, to=self._shown(path)) from error
        return _file(path, row) if part(row, "type") == "file" else None

    def look_at(
        self, client: TransferClient, folder: PurePosixPath, names: list[str]
    ) -> Iterator[tuple[PurePosixPath, RemoteFile | None]]:
        """`look` for several files of one folder, with as few requests as will do."""
        listed = self.listing(client, folder) if len(names) > 1 else None
        for name in names:
            if len(names) > 1 and (listed is None or listed.whole or name in listed.files):
                yield folder / name, listed.files.get(name) if listed else None
            else:
                yield folder / name, self.look(client, folder / name)

    # ---- changing

    def make(self, client: TransferClient, folder: PurePosixPath) -> None:
        """Make a folder and those above it, down from the root; each once."""
        with self._making:
            self._make(client, folder)

    def _make(self, client: TransferClient, folder: PurePosixPath) -> None:
        if folder in self._made or folder == HERE:
            return
        try:
            self._make_one(client, folder)
        except GlobusAPIError as error:
            # How a missing parent is worded is the collection's own business: make it and try again.
            refusal = explained(error, to=self._shown(folder))
            if refusal.reach is Reach.ENDPOINT or folder.parent == HERE:
                raise refusal from error
            self._make(client, folder.parent)
            with asking(self._shown(folder)):
                self._make_one(client, folder)
        except GlobusError as error:
            raise explained(error, to=self._shown(folder)) from error
        self._made.add(folder)

    def _make_one(self, client: TransferClient, folder: PurePosixPath) -> None:
        try:
            client.operation_mkdir(self.options.collection, path=self.place(folder))
        except GlobusAPIError as error:
            if "Exists" not in (error.code or ""):
                raise

    def rename(
        self, client: TransferClient, old: PurePosixPath, new: PurePosixPath, before: RemoteFile
    ) -> None:
        """Rename a file that was seen as `before`.

        Raises `StoredFileMissing` when it is no longer there and is not what stands under the new name, and
        `RenameDoesNotReplace` when something else stands there.
        """
        try:
            client.operation_rename(self.options.collection, oldpath=self.place(old), newpath=self.place(new))
        except GlobusError as error:
            self._after(client, error, old, new, before)

    def _after(
        self,
        client: TransferClient,
        error: GlobusError,
        old: PurePosixPath,
        new: PurePosixPath,
        before: RemoteFile,
    ) -> None:
        """What a rename that failed has done.  Its answer may have been lost, and its repetition refused."""
        refusal = explained(error, to=self._shown(new))
        answer = error if isinstance(error, GlobusAPIError) else None
        if answer and answer.http_status < 500 and not is_of_the_collection(answer):
            raise refusal from error
        there, final = self.look(client, old), self.look(client, new)
        if there is None and final is not None and _same(final, before):
            return
        if there is None:
            raise StoredFileMissing("the staged file is gone", to=self._shown(old)) from error
        with self._making:
            self._made.clear()  # somebody may have removed a folder that we made
        if final is not None and answer and is_of_the_collection(answer):
            blocked = "Globus does not rename onto a file that stands"
            raise RenameDoesNotReplace(blocked, to=self._shown(new)) from error
        raise refusal from error

    def _shown(self, path: PurePosixPath) -> str:
        return f"{self.options.address}{self.place(path)}"


def _file(path: PurePosixPath, row: Any) -> RemoteFile:
    return RemoteFile(
        path=path, size=int(part(row, "size")), mtime_ns=_nanoseconds(str(part(row, "last_modified")))
    )


def _nanoseconds(text: str) -> int:
    """The service writes `2026-03-04 10:11:12+00:00`."""
    when = datetime.fromisoformat(text)
    return int(when.replace(tzinfo=when.tzinfo or UTC).timestamp()) * 1_000_000_000


def _same(one: RemoteFile, other: RemoteFile) -> bool:
    return (one.size, one.mtime_ns) == (other.size, other.mtime_ns)
