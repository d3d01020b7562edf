"""A mounted disk as a store: a RAID, an NFS or SMB share, a drive on the desk.

Promises, besides those of `base`: files and the folders they are renamed in are flushed to the disk before
success is reported; nothing is read or written outside the root, not even through a link inside it; the root
itself is never made, so that an unmounted share is `EndpointUnreachable` and not an empty store.

It does not hash on the far side, because there is none: `capabilities.remote_hash` is False and a stored file
is always read back by us.

The surprise: `chunk` and `observe` are for tests only.  `observe` is called before and after each outside
effect (see `disk`), and a small `chunk` gives a tiny file two writes.
"""

import contextlib
import errno
import io
import os
import shutil
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from transfer.digests import BUFFER, Algorithm, Source
from transfer.errors import StoreRefused, TransferError
from transfer.paths import is_leftover
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
    Upload,
)
from transfer.transports.crew import Crew
from transfer.transports.disk import HERE, Disk, Observe
from transfer.transports.landing import Landing

_SHARED = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _SHARED
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _SHARED

_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EXDEV}


class LocalOptions(BaseModel):
    """Where the disk is mounted.  Modes are octal, as in `0o644`; they are set whatever the umask says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    root: Path
    file_mode: int = Field(default=0o644, ge=0o400, le=0o777)
    folder_mode: int = Field(default=0o755, ge=0o500, le=0o777)
    connections: int = Field(default=4, ge=1, le=32)


class LocalTransport:
    """A folder of this machine.

    `connections` files move at a time; with 1 everything is done in the caller's thread.
    """

    def __init__(
        self,
        root: Path,
        *,
        file_mode: int = 0o644,
        folder_mode: int = 0o755,
        connections: int = 4,
        chunk: int = BUFFER,
        observe: Observe | None = None,
    ) -> None:
        self._disk = Disk(root, folder_mode=folder_mode, observe=observe)
        self._file_mode = file_mode
        self._hands = [None] * connections
        self._chunk = chunk

    @classmethod
    def open(cls, options: LocalOptions) -> Self:
        return cls(
            options.root,
            file_mode=options.file_mode,
            folder_mode=options.folder_mode,
            connections=options.connections,
        )

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            replaces_atomically=True,
            remote_hash=False,
            hard_links=hasattr(os, "link"),
            syncs=True,
            free_space=True,
            connections=len(self._hands),
        )

    def __enter__(self) -> Self:
        """Raises `EndpointUnreachable` if the root is not a folder."""
        self._disk.require()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is kept open between calls."""

    # ---- writing ----------------------------------------------------------------------------------------

    def put(self, uploads: Iterable[Upload], moved: Moved) -> Iterator[Sent | Failed]:
        crew = Crew(self._hands)

        def send(_hand: None, upload: Upload) -> Sent | Failed:
            def count(moved_bytes: int) -> None:
                moved(moved_bytes)
                crew.check()

            try:
                return self._send(upload, count)
            except TransferError as error:
                return Failed(key=upload.key, error=error)

        return crew.spread(uploads, send)

    def publish(self, renames: Iterable[Rename]) -> Iterator[Published | Failed]:
        for rename in renames:
            try:
                self._publish(rename)
            except TransferError as error:
                yield Failed(key=rename.key, error=error)
            else:
                yield Published(key=rename.key)

    def remove(self, paths: Sequence[PurePosixPath]) -> Iterator[Failed]:
        for index, path in enumerate(paths):
            try:
                place = self._disk.place(path)
                with self._disk.naming(path), self._disk.effect("removing", "removed", path):
                    place.unlink(missing_ok=True)
            except TransferError as error:
                yield Failed(key=index, error=error)

    def link(self, existing: PurePosixPath, new: PurePosixPath) -> bool:
        """A `new` that stands already is taken as made by an earlier try."""
        old_place, new_place = self._disk.place(existing), self._disk.place(new)
        self._disk.make_folder(new.parent)
        with self._disk.naming(new), self._disk.effect("linking", "linked", new):
            try:
                os.link(old_place, new_place)
            except FileExistsError:
                return True
            except FileNotFoundError:
                return False
            except OSError as error:
                if error.errno in _NO_LINKS:
                    return False
                raise
        self._disk.sync_folder(new.parent)
        return True

    # ---- reading ----------------------------------------------------------------------------------------

    def get(self, downloads: Iterable[Download], moved: Moved) -> Iterator[Got | Failed]:
        crew = Crew(self._hands)

        def fetch(_hand: None, download: Download) -> Got | Failed:
            def count(moved_bytes: int) -> None:
                moved(moved_bytes)
                crew.check()

            try:
                return self._fetch(download, count)
            except TransferError as error:
                return Failed(key=download.key, error=error)

        return crew.spread(downloads, fetch)

    def digests(self, paths: Sequence[PurePosixPath], algorithm: Algorithm = "md5") -> Iterator[Digested]:
        what = f"a mounted disk does not hash {len(paths)} files by itself ({algorithm})"
        raise StoreRefused(what, to=self._disk.root, do="Read them back.")

    def stat(self, paths: Sequence[PurePosixPath]) -> Iterator[RemoteFile | None]:
        for path in paths:
            place = self._disk.place(path, follow=True)
            with self._disk.naming(path), self._disk.effect("looking", "looked", path):
                found = self._look(place, path)
            yield found

    def list_leftovers(self, folders: Sequence[PurePosixPath]) -> Iterator[RemoteFile]:
        for folder in folders:
            place = self._disk.place(folder, follow=True)
            with self._disk.naming(folder):
                names = sorted(entry.name for entry in place.iterdir()) if place.is_dir() else []
            for name in filter(is_leftover, names):
                with self._disk.naming(folder):
                    found = self._look(place / name, folder / name)
                if found is not None:
                    yield found

    def free_space(self) -> int | None:
        with self._disk.naming(HERE):
            return shutil.disk_usage(self._disk.root).free

    # ---- one file ---------------------------------------------------------------------------------------

    def _send(self, upload: Upload, moved: Moved) -> Sent:
        place = self._disk.place(upload.partial)
        with Source(upload.source, below=upload.below) as source:
            source.expect(upload.size)
            self._disk.make_folder(upload.partial.parent)
            with self._partial(place, upload.partial) as descriptor:
                for piece in source.pieces(upload.size, at_most=self._chunk):
                    with self._disk.naming(upload.partial):
                        self._write(descriptor, piece, upload.partial)
                    moved(len(piece))
                source.settle()
                with self._disk.naming(upload.partial):
                    self._finish(descriptor, place, upload)
        return Sent(key=upload.key, size=upload.size, md5=source.digests.hex())

    @contextlib.contextmanager
    def _partial(self, place: Path, path: PurePosixPath) -> Iterator[int]:
        """A new file, opened exclusively; removed again if it fails, so that a full disk is not kept full."""
        with self._disk.naming(path), self._disk.effect("opening-partial", "partial-opened", path):
            descriptor = os.open(place, _NEW, self._file_mode)
        try:
            self._disk.require_inside(descriptor, place)
            yield descriptor
        except TransferError:
            with contextlib.suppress(OSError):
                place.unlink()
            raise
        finally:
            os.close(descriptor)

    def _write(self, descriptor: int, piece: memoryview, path: PurePosixPath) -> None:
        with self._disk.effect("writing-chunk", "chunk-written", path):
            while piece:
                piece = piece[os.write(descriptor, piece) :]

    def _finish(self, descriptor: int, place: Path, upload: Upload) -> None:
        self._disk.permit(place, self._file_mode)
        os.utime(place, ns=(upload.mtime_ns, upload.mtime_ns))
        with self._disk.effect("syncing-file", "file-synced", upload.partial):
            os.fsync(descriptor)
        stored = os.fstat(descriptor).st_size
        if stored != upload.size:
            raise StoreRefused(
                f"the disk kept {stored} of {upload.size} bytes", to=self._disk.root / upload.partial
            )

    def _publish(self, rename: Rename) -> None:
        partial, final = self._disk.place(rename.partial), self._disk.place(rename.final)
        if rename.partial.parent != rename.final.parent:
            self._disk.make_folder(rename.final.parent)
        with self._disk.naming(rename.partial), self._disk.effect("renaming", "renamed", rename.final):
            partial.replace(final)
        self._disk.sync_folder(rename.final.parent)

    def _fetch(self, download: Download, moved: Moved) -> Got:
        place = self._disk.place(download.path, follow=True)
        with self._reading(place, download.path) as stored, Landing(download.into) as landing:
            memory = memoryview(bytearray(self._chunk))
            while True:
                with self._disk.naming(download.path), self._disk.effect("reading", "read", download.path):
                    piece = memory[: stored.readinto(memory)]
                if not piece:
                    return Got(key=download.key, size=landing.size, md5=landing.finish())
                landing.add(piece)
                moved(len(piece))

    @contextlib.contextmanager
    def _reading(self, place: Path, path: PurePosixPath) -> Iterator[io.FileIO]:
        with self._disk.naming(path):
            stored = io.FileIO(os.open(os.path.realpath(place), _READ), "rb")
        with stored:
            with self._disk.naming(path):
                self._disk.require_inside(stored.fileno(), place)
                if not stat.S_ISREG(os.fstat(stored.fileno()).st_mode):
                    raise StoreRefused("not a regular file", to=place)
                if hasattr(os, "posix_fadvise"):
                    # Read back what the disk holds, not what memory still remembers of the writing.
                    os.posix_fadvise(stored.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            yield stored

    def _look(self, place: Path, path: PurePosixPath) -> RemoteFile | None:
        try:
            found = place.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                return None  # nothing can stand there; whoever writes is told, for that file alone
            raise
        if not stat.S_ISREG(found.st_mode):
            return None
        return RemoteFile(path=path, size=found.st_size, mtime_ns=found.st_mtime_ns)
