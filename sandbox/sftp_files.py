"""What the embedded SFTP server does with one channel's requests: files below a root, and nowhere else.

Like a shell account it speaks absolute paths of the real disk (a relative one counts from the root).  Unlike
one it answers "permission denied" for all that is not the root or below it, with symbolic links followed.

Promises: exclusive creation; whole writes or an error; a plain rename that refuses an existing target, and a
posix-rename that replaces it in one step; sizes and whole-second modification times.

It does not make or read symbolic links, and changes no owners.

The surprise: every request first asks `before(operation, path)`, which scripts faults.  It may sleep; raise
`OSError` (the client is told the SFTP status for its errno); or raise `CutConnection`.  Operations: open,
read, write, close, stat, list, remove, rename, posix_rename, mkdir, rmdir, chattr.  A rename is announced
once, by its old path.
"""

import errno
import os
import stat as modes
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from paramiko import ServerInterface, Transport
from paramiko.sftp import (
    SFTP_FAILURE,
    SFTP_NO_SUCH_FILE,
    SFTP_OK,
    SFTP_OP_UNSUPPORTED,
    SFTP_PERMISSION_DENIED,
)
from paramiko.sftp_attr import SFTPAttributes
from paramiko.sftp_handle import SFTPHandle
from paramiko.sftp_si import SFTPServerInterface

if TYPE_CHECKING:
    from typing_extensions import Buffer

P = ParamSpec("P")
T = TypeVar("T")

Before = Callable[[str, str], None]

LARGEST_READ = 255 * 1024
"""Bytes answered to one read request at most, as OpenSSH does; a shorter answer is legal SFTP."""

_STATUS = {
    errno.ENOENT: SFTP_NO_SUCH_FILE,
    errno.ENOTDIR: SFTP_NO_SUCH_FILE,
    errno.EACCES: SFTP_PERMISSION_DENIED,
    errno.EPERM: SFTP_PERMISSION_DENIED,
    errno.EROFS: SFTP_PERMISSION_DENIED,
    errno.ENOTSUP: SFTP_OP_UNSUPPORTED,
}


class CutConnection(Exception):
    """Raised by a `before` callback: the whole connection drops, and this request gets no answer."""


def _answered(method: Callable[P, T]) -> Callable[P, T | int]:
    """Turn an OSError into the SFTP status a client understands; OpenSSH says no more than that either."""

    @wraps(method)
    def answer(*args: P.args, **kwargs: P.kwargs) -> T | int:
        try:
            return method(*args, **kwargs)
        except OSError as error:
            return _STATUS.get(error.errno or 0, SFTP_FAILURE)

    return answer


class RootedFiles(SFTPServerInterface):
    """The requests of one channel.  `root` must be a real path, without symbolic links."""

    def __init__(self, login: ServerInterface, root: Path, before: Before, transport: Transport) -> None:
        super().__init__(login)
        self._root = root
        self._hook = before
        self._transport = transport
        self._ended = False

    def session_ended(self) -> None:
        self._ended = True

    def before(self, operation: str, path: str) -> None:
        """Run the script for this request; files closed because the client left are not requests."""
        if self._ended:
            return
        try:
            self._hook(operation, path)
        except CutConnection:
            self._transport.close()
            raise

    def canonicalize(self, path: str) -> str:
        return os.path.normpath(self._root / path).replace(os.sep, "/")

    def _place(self, path: str) -> Path:
        """Return where a request may act.  Raises PermissionError outside the root, links followed."""
        asked = Path(os.path.normpath(self._root / path))
        place = asked if asked == self._root else Path(os.path.realpath(asked.parent), asked.name)
        for seen in (place, Path(os.path.realpath(place))):
            if not seen.is_relative_to(self._root):
                raise PermissionError(errno.EACCES, "outside the served folder", path)
        return place

    @_answered
    def open(self, path: str, flags: int, attr: SFTPAttributes) -> SFTPHandle:
        self.before("open", path)
        place = self._place(path)
        mode = 0o666 if attr.st_mode is None else modes.S_IMODE(attr.st_mode)
        descriptor = os.open(place, flags | getattr(os, "O_BINARY", 0), mode)
        return OpenFile(self, path, place, descriptor, flags)

    @_answered
    def list_folder(self, path: str) -> list[SFTPAttributes]:
        self.before("list", path)
        with os.scandir(self._place(path)) as entries:
            return [SFTPAttributes.from_stat(it.stat(follow_symlinks=False), it.name) for it in entries]

    @_answered
    def stat(self, path: str) -> SFTPAttributes:
        self.before("stat", path)
        return SFTPAttributes.from_stat(self._place(path).stat())

    @_answered
    def lstat(self, path: str) -> SFTPAttributes:
        self.before("stat", path)
        return SFTPAttributes.from_stat(self._place(path).lstat())

    @_answered
    def remove(self, path: str) -> int:
        self.before("remove", path)
        self._place(path).unlink()
        return SFTP_OK

    @_answered
    def rename(self, oldpath: str, newpath: str) -> int:
        self.before("rename", oldpath)
        old, new = self._place(oldpath), self._place(newpath)
        if old.is_dir():
            if os.path.lexists(new):
                raise FileExistsError(errno.EEXIST, "the new name is taken", newpath)
            old.rename(new)
        else:
            # A link refuses a taken name in the same instant it takes a free one, so two renames
            # to one name cannot both succeed.
            os.link(old, new, follow_symlinks=False)
            old.unlink()
        return SFTP_OK

    @_answered
    def posix_rename(self, oldpath: str, newpath: str) -> int:
        self.before("posix_rename", oldpath)
        self._place(oldpath).replace(self._place(newpath))
        return SFTP_OK

    @_answered
    def mkdir(self, path: str, attr: SFTPAttributes) -> int:
        self.before("mkdir", path)
        self._place(path).mkdir(0o777 if attr.st_mode is None else modes.S_IMODE(attr.st_mode))
        return SFTP_OK

    @_answered
    def rmdir(self, path: str) -> int:
        self.before("rmdir", path)
        self._place(path).rmdir()
        return SFTP_OK

    @_answered
    def chattr(self, path: str, attr: SFTPAttributes) -> int:
        self.before("chattr", path)
        _change(self._place(path), attr)
        return SFTP_OK


class OpenFile(SFTPHandle):
    """A file a client holds open; it belongs to one channel, hence to one thread."""

    def __init__(self, files: RootedFiles, path: str, place: Path, descriptor: int, flags: int) -> None:
        super().__init__(flags)
        self._files = files
        self._path = path
        self._place = place
        self._descriptor: int | None = descriptor

    def close(self) -> None:
        # paramiko calls this a second time when the channel ends.
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return
        try:
            self._files.before("close", self._path)
        finally:
            os.close(descriptor)

    def _ready(self, operation: str) -> int:
        self._files.before(operation, self._path)
        if self._descriptor is None:
            raise OSError(errno.EBADF, "already closed", self._path)
        return self._descriptor

    @_answered
    def read(self, offset: int, length: int) -> bytes:
        descriptor = self._ready("read")
        os.lseek(descriptor, offset, os.SEEK_SET)
        return os.read(descriptor, min(length, LARGEST_READ))

    @_answered
    def write(self, offset: int, data: "Buffer") -> int:
        descriptor = self._ready("write")
        os.lseek(descriptor, offset, os.SEEK_SET)
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        return SFTP_OK

    @_answered
    def stat(self) -> SFTPAttributes:
        return SFTPAttributes.from_stat(os.fstat(self._ready("stat")))

    @_answered
    def chattr(self, attr: SFTPAttributes) -> int:
        descriptor = self._ready("chattr")
        # Windows changes files by name only; elsewhere the open file is meant, whatever it is called by now.
        _change(descriptor if os.utime in os.supports_fd else self._place, attr)
        return SFTP_OK


def _change(target: Path | int, attr: SFTPAttributes) -> None:
    """Apply what the client sent: size first, since truncating moves the modification time."""
    if attr.st_size is not None:
        os.truncate(target, attr.st_size)
    if attr.st_mode is not None:
        os.chmod(target, modes.S_IMODE(attr.st_mode))  # noqa: PTH101 - the target may be a descriptor
    if attr.st_atime is not None and attr.st_mtime is not None:
        os.utime(target, (attr.st_atime, attr.st_mtime))
