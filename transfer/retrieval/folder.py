"""The folder that files are brought to: partials beside their places, and the one step into place.

Each pull draws an attempt id, holds a lock on `.alyx-transfer.<attempt>.lock` while it lives, and writes into it the
path of every partial before that is opened.  So the next pull knows the partials of those that died (the lock is
free) from those of others that still run: only a dead one's are taken over.

Promises: a file appears under its own name in one step and whole; without `replace` nothing that stands there
is overwritten, not even when it appeared a moment ago; what a pull leaves behind is found by the next one in the
same folder.

The surprises: the links among a person's own folders are followed, a link in a file's own place is not.  Where
the disk cannot lock, nothing of others is ever taken over.
"""

import contextlib
import os
import re
import secrets
import stat
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Self
from uuid import UUID

from transfer.errors import LocalFileDiffers
from transfer.paths import is_partial, parse_partial, partial_name
from transfer.retrieval.wanted import Wanted
from transfer.transports.landing import naming

_LOCK = re.compile(r"\.alyx-transfer\.([0-9a-f]{8})\.lock")
_FAR = 1 << 30  # the byte that is locked, beyond any content: on Windows a locked byte cannot be read


class Folder:
    """A context manager for one pull.  Entering makes the folder; raises what `naming` says of this machine."""

    def __init__(self, root: Path) -> None:
        self.root = Path(os.path.realpath(root))
        self._attempt = secrets.token_hex(4)
        self._dead: dict[Path, list[Path]] = {}  # lock of a pull that died -> its partials
        self._orphans: dict[tuple[Path, UUID], Path] = {}
        self._mine: list[Path] = []

    def __enter__(self) -> Self:
        with naming(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self._lock_file, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
            _try_lock(self._lock)
            for lock in self._other_locks():
                self._bury(lock)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Forget the locks of pulls of which nothing is left; ours, too."""
        os.close(self._lock)
        for lock, partials in {**self._dead, self._lock_file: self._mine}.items():
            if not any(map(os.path.lexists, partials)):
                with contextlib.suppress(OSError):
                    lock.unlink()

    @property
    def _lock_file(self) -> Path:
        return self.root / f".alyx-transfer.{self._attempt}.lock"

    def place(self, path: PurePosixPath) -> Path:
        """Where a file belongs."""
        return self.root / path

    def partial(self, wanted: Wanted, *, fresh: bool = False) -> tuple[Path, int]:
        """The partial to write, and how many bytes of an earlier try it holds; with `fresh` none."""
        folder = self.place(wanted.path).parent
        mine = folder / partial_name(wanted.dataset, self._attempt)
        with naming(mine):
            if mine not in self._mine:
                self._mine.append(mine)
                os.write(self._lock, os.fsencode(mine.relative_to(self.root)) + b"\n")
            if orphan := self._orphans.pop((folder, wanted.dataset), None):
                with contextlib.suppress(FileNotFoundError):  # another pull was faster
                    orphan.replace(mine)
            if fresh:
                mine.unlink(missing_ok=True)
            return mine, mine.stat().st_size if _is_plain(mine) else 0

    def put(self, partial: Path, path: PurePosixPath, *, replace: bool) -> Path:
        """Bring a whole partial into its place.  Raises `LocalFileDiffers` when something else stands there."""
        final = self.place(path)
        with naming(final):
            if replace:
                partial.replace(final)
            else:
                _bring(partial, final)
            _sync(final.parent)
        return final

    def drop(self, partial: Path, *, only_empty: bool = False) -> None:
        """Forget a partial."""
        with contextlib.suppress(OSError):
            if not only_empty or partial.stat().st_size == 0:
                partial.unlink()

    # ---- those that died

    def _other_locks(self) -> Iterator[Path]:
        for name in sorted(entry.name for entry in self.root.iterdir()):
            # Opening a pipe that somebody gave this name would wait for ever.
            if _LOCK.fullmatch(name) and name != self._lock_file.name and _is_plain(self.root / name):
                yield self.root / name

    def _bury(self, lock: Path) -> None:
        """Remember what a pull left, if it is dead."""
        partials = self._journal(lock)
        # An empty journal is left alone: its owner may be about to lock it.
        if not partials or not _is_free(lock):
            return
        self._dead[lock] = partials
        for partial in filter(_is_plain, partials):
            parsed = parse_partial(partial.name)
            if partial.stat().st_nlink > 1:
                # It died while putting it in place: this is a second name of the whole file.
                partial.unlink()
            elif parsed:
                self._orphans[partial.parent, parsed[0]] = partial

    def _journal(self, lock: Path) -> list[Path]:
        try:
            lines = lock.read_bytes().splitlines()
        except OSError:
            return []
        named = [self.root / os.fsdecode(line) for line in lines]
        return [
            one
            for one in named
            if one.is_relative_to(self.root) and ".." not in one.parts and is_partial(one.name)
        ]


def _is_free(lock: Path) -> bool:
    """Whether nobody alive holds the lock."""
    try:
        descriptor = os.open(lock, os.O_RDWR)
    except OSError:
        return False
    try:
        return _try_lock(descriptor)
    finally:
        os.close(descriptor)


def _is_plain(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def _bring(partial: Path, final: Path) -> None:
    """A rename that replaces nothing."""
    try:
        os.link(partial, final)
    except FileExistsError:
        raise LocalFileDiffers("another file stands there", to=final) from None
    except OSError:  # a disk without hard links
        if os.path.lexists(final):
            raise LocalFileDiffers("another file stands there", to=final) from None
        partial.rename(final)
    else:
        partial.unlink()


def _sync(folder: Path) -> None:
    if os.name == "nt":  # Windows cannot open a folder to flush it
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network file systems do not flush folders
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    """Take the lock if nobody has it; it is given back when the process ends, however it ends."""
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(descriptor, _FAR, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            os.lseek(descriptor, 0, os.SEEK_SET)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
