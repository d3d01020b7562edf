"""One SFTP server as a place for files: names below its root, folders, free space, and what a refusal means.

SFTP version 3 says "failure" for a full disk, an existing name and a read-only file system alike, so
`explain` asks the server a second time before it names the cause.

What asks the server is a job: see `jobs`.
"""

from dataclasses import dataclass
from pathlib import PurePosixPath

from transfer.errors import (
    EndpointUnreachable,
    PartialExists,
    PathTooLong,
    StoreDenied,
    StoredFileMissing,
    StoreFull,
    StoreRefused,
    TransferError,
)
from transfer.paths import refuse_unsafe
from transfer.transports.sftp import protocol
from transfer.transports.sftp.jobs import Ask, Job
from transfer.transports.sftp.protocol import Attributes, Fields, Refusal, string

HERE = PurePosixPath(".")
LONG_NAME, LONG_PATH = 255, 1023  # bytes; beyond these a "bad message" is about the length
_CRAMPED = 64 << 10  # bytes; with less than this free a failure is put down to the lack of space
_READ_ONLY = 1  # f_flag of statvfs@openssh.com


@dataclass(frozen=True, slots=True)
class Space:
    """What statvfs@openssh.com says: bytes and names still free, and whether nothing may be written."""

    free: int
    names: int
    read_only: bool


class Store:
    """The root on the server.  `extensions` is what the server offers besides version 3."""

    def __init__(self, root: PurePosixPath, address: str, *, extensions: frozenset[str]) -> None:
        self.extensions = extensions
        self._root = root
        self._below = f"{root}/" if root.name else "/"
        self._address = address

    def place(self, path: PurePosixPath) -> bytes:
        """The absolute path on the server.  Raises `UntrustedPath` before anything is asked of the server."""
        place = str(self._root) if path == HERE else f"{self._below}{refuse_unsafe(path)}"
        return place.encode("utf-8", "surrogateescape")

    def name(self, path: PurePosixPath) -> str:
        """How a file of this store prints."""
        return f"{self._address}{self._root / path}"

    def require_root(self) -> Job[None]:
        """Raises `EndpointUnreachable` if the root is not a folder: it is never made by us."""
        try:
            found = yield from look(self.place(HERE))
        except Refusal as refusal:
            raise (yield from self.explain(refusal, HERE)) from refusal
        if found is None or not found.is_folder:
            raise EndpointUnreachable(
                "the store's root is not there",
                to=self.name(HERE),
                do="Mount the disk at the server, or correct the root in the config.",
            )

    def space(self) -> Job[Space | None]:
        """None where the server does not say."""
        if protocol.STATVFS not in self.extensions:
            return None
        try:
            answer = yield extended(protocol.STATVFS, string(self.place(HERE)))
        except Refusal:
            return None
        _block, fragment, _blocks, _free, available, _files, _names, names, _id, flags = (
            answer.u64() for _ in range(10)
        )
        return Space(fragment * available, names, bool(flags & _READ_ONLY))

    def explain(self, refusal: Refusal, path: PurePosixPath, *, needed: int = 0) -> Job[TransferError]:
        """The error that a refusal about `path` means; `needed` bytes were still to be written."""
        where = self.name(path)
        match refusal.code:
            case protocol.NO_SUCH_FILE:
                return StoredFileMissing("no such file at the store", to=where)
            case protocol.PERMISSION_DENIED:
                return StoreDenied("the store denied it", to=where)
            case protocol.BAD_MESSAGE if _is_long(self.place(path)):
                return PathTooLong("the name is too long for the store", to=where)
            case protocol.FAILURE:
                return self._failure(refusal, where, needed, (yield from self.space()))
            case _:
                return StoreRefused(f"the store refused it ({refusal})", to=where)

    def _failure(self, refusal: Refusal, where: str, needed: int, space: Space | None) -> TransferError:
        if space is not None and space.read_only:
            return StoreDenied("the store's file system is read-only", to=where)
        if space is not None and (space.free < max(needed, _CRAMPED) or space.names == 0):
            return StoreFull(f"no space left at the store ({space.free} bytes free)", to=where)
        return StoreRefused(f"the store refused it ({refusal})", to=where)

    def refuse_new(self, refusal: Refusal, path: PurePosixPath, *, needed: int) -> Job[TransferError]:
        """The error that a refused exclusive opening means."""
        if refusal.code == protocol.FAILURE and (yield from stands(self.place(path))):
            return PartialExists("a file of that name stands already", to=self.name(path))
        return (yield from self.explain(refusal, path, needed=needed))


def extended(name: str, *fields: bytes) -> Ask:
    return Ask(protocol.EXTENDED, string(name), *fields)


def look(place: bytes) -> Job[Attributes | None]:
    """None where there is no such file.  Raises `Refusal`."""
    try:
        found: Fields = yield Ask(protocol.STAT, string(place))
    except Refusal as refusal:
        if refusal.code == protocol.NO_SUCH_FILE:
            return None
        raise
    return found.attributes()


def open_to_read(place: bytes) -> Job[bytes]:
    """A handle.  Raises `Refusal`."""
    flags = protocol.FOR_READING.to_bytes(4, "big")
    answer: Fields = yield Ask(protocol.OPEN, string(place), flags, protocol.attributes())
    return answer.string()


def stands(place: bytes) -> Job[bool]:
    """Whether there is a file of that name, as far as the server tells."""
    try:
        return (yield from look(place)) is not None
    except Refusal:
        return False


def _is_long(place: bytes) -> bool:
    return len(place) > LONG_PATH or any(len(name) > LONG_NAME for name in place.split(b"/"))
