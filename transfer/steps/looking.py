"""One look at a session's folder: its regular files with size and time, and what was refused.

No byte of a file is read and nothing is written.  What is no regular file is refused: FIFOs, sockets, devices, and
symbolic links, wherever they point, on the way to the session too.  Flag files and partials left by anybody are never
data.
"""

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from transfer.errors import (
    NameRefused,
    NotASession,
    SourceRootMissing,
    SourceUnreadable,
    TransferError,
    UnsafeSource,
)
from transfer.model import SourceFile
from transfer.obstacles import too_long
from transfer.opening import entries, require_folder
from transfer.paths import is_leftover

_LONGEST = 1000  # characters of a path as the ledger keeps it


@dataclass(frozen=True, slots=True)
class Found:
    """One look at a session's folder: its regular files, and what was refused (path, why)."""

    files: Mapping[PurePosixPath, SourceFile]
    refused: Mapping[PurePosixPath, TransferError]

    @property
    def fingerprint(self) -> str:
        """32 hex digits that change when any file comes, goes, grows or is touched."""
        lines = (f"{path}\0{file.size}\0{file.mtime_ns}" for path, file in sorted(self.files.items()))
        return hashlib.blake2b("\n".join(lines).encode(errors="surrogateescape"), digest_size=16).hexdigest()


def require_root(root: Path) -> None:
    """Raise `SourceRootMissing` when a root in which something was seen is gone, or empty as a mount point is."""
    if not root.is_dir():
        raise SourceRootMissing("the lab's data folder is not there", to=root)
    with os.scandir(root) as entries:
        if next(entries, None) is None:
            raise SourceRootMissing("the lab's data folder is empty, as an unmounted share is", to=root)


def require_gone(root: Path, paths: Iterable[PurePosixPath]) -> None:
    """Raise `SourceRootMissing` unless these files are gone while their root is there.

    A share may come back between the look at a file and the look at its root.
    """
    require_root(root)
    if any(os.path.lexists(root / path) for path in paths):
        raise SourceRootMissing("the lab's data folder was away for a moment", to=root)
    require_root(root)


def look(root: Path, session: PurePosixPath) -> Found:
    """Walk one session's folder without reading a byte.

    Raises `SourceRootMissing` when the lab's root is not there, `NotASession` when the folder is not.
    """
    require_root(root)
    folder = root / session
    _require_session(root, folder)
    files: dict[PurePosixPath, SourceFile] = {}
    refused: dict[PurePosixPath, TransferError] = {}
    for path, found in _walk(root, folder, PurePosixPath()):
        seen = _nameable(session / path) or _regular(found, folder / path)
        if isinstance(seen, TransferError):
            refused[_shown(path)] = seen
        else:
            files[path] = SourceFile(path=path, size=seen.st_size, mtime_ns=seen.st_mtime_ns)
    return Found(files, refused)


def _require_session(root: Path, folder: Path) -> None:
    """Raise `NotASession` unless the folder is there and no link leads to it."""
    try:
        require_folder(folder, below=root)
    except UnsafeSource as error:
        do = "Put the folders themselves there, or write the place they are in as the lab's root."
        raise NotASession("a link stands in the session's path", to=error.to, do=do) from error
    except (FileNotFoundError, NotADirectoryError) as error:
        do = "Put the session's folder back, then release the session."
        raise NotASession("there is no such session folder", to=folder, do=do) from error
    except OSError as error:
        raise _unlisted(error, folder) from error


def _walk(
    root: Path, folder: Path, below: PurePosixPath
) -> Iterator[tuple[PurePosixPath, os.stat_result | OSError | UnsafeSource]]:
    """Every file below the folder, as it is or why it cannot be looked at."""
    try:
        found = entries(folder / below, below=root)
    except (FileNotFoundError, NotADirectoryError):
        return  # it was moved while we walked: the second look will tell
    except UnsafeSource as error:  # a link took the folder's place while we walked
        yield below, error
        return
    except OSError as error:
        raise _unlisted(error, folder / below) from error
    for name, seen in found:
        path = below / name
        if isinstance(seen, os.stat_result) and stat.S_ISDIR(seen.st_mode):
            yield from _walk(root, folder, path)
        elif not name.endswith(".flag") and not is_leftover(name):
            yield path, seen


def _unlisted(error: OSError, folder: Path) -> SourceUnreadable:
    return SourceUnreadable(f"the folder cannot be read ({error.strerror})", to=folder)


def _nameable(path: PurePosixPath) -> TransferError | None:
    """Why the name cannot even be written down in the ledger or in Alyx."""
    if (reason := too_long(path)) is not None:
        return NameRefused(reason, to=_shown(path))
    if _shown(path) != path:
        return NameRefused("the name is no UTF-8", to=_shown(path))
    return None


def _shown(path: PurePosixPath) -> PurePosixPath:
    """The path as it can be shown and kept: what is no UTF-8 escaped, the middle of what is too long left out."""
    text = os.fsencode(path).decode(errors="backslashreplace")
    if len(text) > _LONGEST:
        print_ = hashlib.blake2b(os.fsencode(path), digest_size=8).hexdigest()
        text = f"{text[:400]}..{print_}..{text[-400:]}"
    return PurePosixPath(text)


def _regular(seen: os.stat_result | OSError | UnsafeSource, place: Path) -> os.stat_result | TransferError:
    """The file's stat, or why it is refused.  A link is refused wherever it points: its target moves by itself."""
    if isinstance(seen, UnsafeSource):
        return seen
    if isinstance(seen, OSError):
        return SourceUnreadable(f"the file cannot be looked at ({seen.strerror})", to=place)
    if stat.S_ISLNK(seen.st_mode):
        return UnsafeSource("this is a symbolic link", to=place)
    if not stat.S_ISREG(seen.st_mode):
        return UnsafeSource("this is a pipe, socket or device", to=place)
    return seen
