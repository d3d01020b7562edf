"""One folder of a mounted disk: which place a path has, and what the operating system says about it.

Promises: no place outside the root is ever handed out, not even through a link inside it; the root itself is
never made; every OSError inside `naming` becomes a `TransferError`.

The surprise: `effect` calls `observe` before and after each outside effect, in pairs: `opening-partial`
and `partial-opened`.  The storm tests stop the world there; nothing else uses it.
"""

import contextlib
import errno
import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import NoReturn

from transfer.errors import (
    EndpointUnreachable,
    PartialExists,
    PathTooLong,
    QuotaExceeded,
    StoreDenied,
    StoredFileMissing,
    StoreFull,
    StoreRefused,
    TransferError,
    UntrustedPath,
)
from transfer.paths import refuse_unsafe

HERE = PurePosixPath(".")

Observe = Callable[[str, PurePosixPath], None]

_FOR_A_MOMENT = 1.0  # seconds; thousands of small files lie in few folders
_REMEMBERED = 10_000

_AWAY = {errno.ESTALE, errno.ENODEV, errno.ENOTCONN, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ETIMEDOUT}


class Disk:
    """A root and the files below it."""

    def __init__(self, root: Path, *, folder_mode: int, observe: Observe | None) -> None:
        self.root = Path(os.path.realpath(root))
        self._folder_mode = folder_mode
        self._observe = observe
        self._confined: dict[Path, float] = {}  # folders found inside the root, and until when that counts

    def require(self) -> None:
        """Raises `EndpointUnreachable` if the root is not a folder."""
        if not self.root.is_dir():
            self._refuse_rootless()

    def place(self, path: PurePosixPath, *, follow: bool = False) -> Path:
        """Where `path` is on this machine.  Raises `UntrustedPath` if a link leads it out of the root.

        With `follow` False the last name may be a link: it is replaced or removed, never written through.
        """
        if path == HERE:
            return self.root
        place: Path = self.root / refuse_unsafe(path)
        if follow and _is_link(place):
            self._confine(Path(os.path.realpath(place)), place)
        else:
            self._confine_folder(place.parent, place)
        return place

    def _confine_folder(self, folder: Path, place: Path) -> None:
        """As `_confine`; a folder that was found inside is not looked at again for a moment."""
        now = time.monotonic()
        if self._confined.get(folder, 0.0) > now:
            return
        self._confine(Path(os.path.realpath(folder)), place)
        if len(self._confined) >= _REMEMBERED:
            self._confined.clear()
        self._confined[folder] = now + _FOR_A_MOMENT

    def _confine(self, reached: Path, place: Path) -> None:
        if not reached.is_relative_to(self.root):
            raise UntrustedPath(
                "a link inside the store leads out of it", to=place, do="Remove the link from the store."
            )

    def require_inside(self, descriptor: int, place: Path) -> None:
        """As `place`, of a file that is open now: a folder may have become a link since it was looked at."""
        self._confine(_reached(descriptor, place), place)

    def make_folder(self, folder: PurePosixPath) -> None:
        place = self.place(folder, follow=True)
        with self.naming(folder):
            if place.is_dir():
                return
            if folder == HERE:
                self._refuse_rootless()
            self.make_folder(folder.parent)
            with self.effect("making-folder", "folder-made", folder), contextlib.suppress(FileExistsError):
                place.mkdir()
                self.permit(place, self._folder_mode)
        self.sync_folder(folder.parent)

    def permit(self, place: Path, mode: int) -> None:
        now = place.stat().st_mode
        if stat.S_IMODE(now) & 0o777 != mode:
            # A share without Unix modes answers EPERM.  Its own rules hold there, and the bytes are there.
            with contextlib.suppress(PermissionError):
                place.chmod((stat.S_IMODE(now) & ~0o777) | mode)

    def sync_folder(self, folder: PurePosixPath) -> None:
        if os.name == "nt":  # Windows cannot open a folder to flush it
            return
        with self.naming(folder), self.effect("syncing-folder", "folder-synced", folder):
            descriptor = os.open(self.root / folder, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
            try:
                os.fsync(descriptor)
            except OSError as error:
                # Some network file systems do not flush folders; their servers keep renames by themselves.
                if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP):
                    raise
            finally:
                os.close(descriptor)

    @contextlib.contextmanager
    def effect(self, before: str, after: str, path: PurePosixPath) -> Iterator[None]:
        """Tell the observer before and after; not after a failure."""
        if self._observe is not None:
            self._observe(before, path)
        yield
        if self._observe is not None:
            self._observe(after, path)

    @contextlib.contextmanager
    def naming(self, path: PurePosixPath) -> Iterator[None]:
        """Translate what the operating system says about a file of the store."""
        try:
            yield
        except OSError as error:
            raise self._store_error(error, self.root / path) from error

    def _store_error(self, error: OSError, place: Path) -> TransferError:
        if error.errno in _AWAY or not _is_there(self.root):
            return EndpointUnreachable("the disk is not there", to=self.root)
        match error.errno:
            case errno.ENOSPC:
                return StoreFull("no space left at the store", to=place)
            case errno.EDQUOT:
                return QuotaExceeded("the account's quota at the store is used up", to=place)
            case errno.EACCES | errno.EPERM | errno.EROFS:
                return StoreDenied(f"the store denied it ({error.strerror})", to=place)
            case errno.ENAMETOOLONG:
                return PathTooLong("the name is too long for the store", to=place)
            case errno.EEXIST:
                return PartialExists("a file of that name stands already", to=place)
            case errno.ENOENT:
                return StoredFileMissing("no such file at the store", to=place)
            case _:
                return StoreRefused(f"the store refused it ({error.strerror})", to=place)

    def _refuse_rootless(self) -> NoReturn:
        raise EndpointUnreachable(
            "the store's root is not there",
            to=self.root,
            do="Mount the disk or correct its root in the config.",
        )


def _reached(descriptor: int, place: Path) -> Path:
    """Where an open file really is."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/self/fd/{descriptor}").readlink()
    return Path(os.path.realpath(place))  # not Linux


def _is_there(root: Path) -> bool:
    """False as well where the disk cannot even say: a share whose server is gone."""
    try:
        return root.is_dir()
    except OSError:
        return False


def _is_link(place: Path) -> bool:
    """False where nothing can stand: of a name that is too long whoever writes is told."""
    try:
        return place.is_symlink()
    except OSError:
        return False
