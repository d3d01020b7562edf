"""Opening the lab's files and folders: through no link, however the path changes while it is walked.

Promises: below the lab's root every folder of the path and the file itself are opened as what they are; where a
link stands, `UnsafeSource` is raised and nothing behind it is opened.  A link put there between our look and our
opening is met by the opening itself, because each name is opened inside the folder opened before it.  A file is
a regular one, opened without waiting for a pipe or a device.

Links above the root are the administrator's, and followed.

The surprise: Windows cannot open a name inside an open folder.  There each name is looked at first, so a link made
in that very moment is followed; making one takes an administrator's right there.
"""

import contextlib
import errno
import io
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from transfer.errors import UnsafeSource

# Windows has no O_NOFOLLOW and no O_NONBLOCK, the others no O_BINARY.
_READ = (
    os.O_RDONLY
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)
_FOLDER = getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
_ROOT = getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
_PASS = getattr(os, "O_PATH", os.O_RDONLY)  # Linux: a folder one may pass through need not be readable
_INSIDE = {os.open, os.stat} <= os.supports_dir_fd and os.scandir in os.supports_fd

_JUNCTION = 0xA0000003  # IO_REPARSE_TAG_MOUNT_POINT, which `stat` knows on Windows only
_LINK = "a link stands in the path of the source"


def open_regular(path: Path, *, below: Path | None = None) -> io.FileIO:
    """A regular file to read; `below` is the folder under which no link is followed, None if only the name counts.

    Raises OSError, and `UnsafeSource` for a link, a folder or a device.
    """
    descriptor = _open(path, below)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UnsafeSource("the source is not a regular file", to=path)
    return io.FileIO(descriptor, "rb")


def entries(folder: Path, *, below: Path) -> list[tuple[str, os.stat_result | OSError]]:
    """What stands in a folder, by name; of a link what the link itself is.

    Raises OSError, and `UnsafeSource` if a link leads to the folder.
    """
    if not _INSIDE:
        _refuse_links(folder, below)
        return _looked_at(folder)
    with _passed(folder, below) as inside:
        descriptor = os.open(".", os.O_RDONLY | _FOLDER, dir_fd=inside)
    try:
        return _looked_at(descriptor)
    finally:
        os.close(descriptor)


def require_folder(folder: Path, *, below: Path) -> None:
    """Raises OSError unless the folder is there, and `UnsafeSource` if a link leads to it."""
    if _INSIDE:
        with _passed(folder, below):
            return
    _refuse_links(folder, below)
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))


def _looked_at(folder: Path | int) -> list[tuple[str, os.stat_result | OSError]]:
    with os.scandir(folder) as found:
        return sorted(((entry.name, _stat(entry)) for entry in found), key=lambda pair: pair[0])


def _stat(entry: "os.DirEntry[str]") -> os.stat_result | OSError:
    try:
        return entry.stat(follow_symlinks=False)
    except OSError as error:
        return error


def _open(path: Path, below: Path | None) -> int:
    if below is None and hasattr(os, "O_NOFOLLOW"):
        return os.open(path, _READ)
    if below is None or not _INSIDE:
        _refuse_links(path, below or path.parent)
        return os.open(path, _READ)
    with _passed(path.parent, below) as inside:
        return os.open(path.name, _READ, dir_fd=inside)


@contextlib.contextmanager
def _passed(folder: Path, below: Path) -> Iterator[int]:
    """The folder, opened name by name from `below` on."""
    here = os.open(below, _PASS | _ROOT)
    try:
        place = below
        for name in _names(folder, below):
            place /= name
            try:
                deeper = os.open(name, _PASS | _FOLDER, dir_fd=here)
            except OSError as error:
                if stat.S_ISLNK(os.stat(name, dir_fd=here, follow_symlinks=False).st_mode):
                    raise UnsafeSource(_LINK, to=place) from error
                raise
            os.close(here)
            here = deeper
        yield here
    finally:
        os.close(here)


def _refuse_links(path: Path, below: Path) -> None:
    """Where names cannot be opened inside a folder: look at each before."""
    place = below
    for name in _names(path, below):
        place /= name
        found = place.lstat()
        if stat.S_ISLNK(found.st_mode) or getattr(found, "st_reparse_tag", 0) == _JUNCTION:
            raise UnsafeSource(_LINK, to=place)


def _names(path: Path, below: Path) -> tuple[str, ...]:
    names = path.relative_to(below).parts if path.is_relative_to(below) else ("..",)
    if ".." in names:
        raise UnsafeSource("the path leads out of the lab's data folder", to=path)
    return names
