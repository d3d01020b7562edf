"""One SFTP server as a place for files: names below its root, folders, free space, and what a refusal means.

SFTP version 3 says "failure" for a full disk, an existing name and a read-only file system alike, so
`explain` asks the server a second time before it names the cause.
"""

import threading
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
from transfer.transports.sftp.protocol import Conversation, Refusal, string

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
    """The root on the server."""

    def __init__(self, root: PurePosixPath, address: str) -> None:
        self._root = root
        self._address = address

    @property
    def root(self) -> bytes:
        return str(self._root).encode("utf-8", "surrogateescape")

    def place(self, path: PurePosixPath) -> bytes:
        """The absolute path on the server.  Raises `UntrustedPath` before anything is asked of the server."""
        below = self._root if path == HERE else self._root / refuse_unsafe(path)
        return str(below).encode("utf-8", "surrogateescape")

    def name(self, path: PurePosixPath) -> str:
        """How a file of this store prints."""
        return f"{self._address}{self._root / path}"

    def require_root(self, conversation: Conversation) -> None:
        """Raises `EndpointUnreachable` if the root is not a folder: it is never made by us."""
        try:
            found = conversation.stat(self.root)
        except Refusal as refusal:
            raise self.explain(conversation, refusal, HERE) from refusal
        if found is None or not found.is_folder:
            raise EndpointUnreachable(
                "the store's root is not there",
                to=self.name(HERE),
                do="Mount the disk at the server, or correct the root in the config.",
            )

    def space(self, conversation: Conversation) -> Space | None:
        """None where the server does not say."""
        if protocol.STATVFS not in conversation.extensions:
            return None
        try:
            answer = conversation.extended(protocol.STATVFS, string(self.root))
        except Refusal:
            return None
        _block, fragment, _blocks, _free, available, _files, _names, names, _id, flags = (
            answer.u64() for _ in range(10)
        )
        return Space(fragment * available, names, bool(flags & _READ_ONLY))

    def explain(
        self, conversation: Conversation, refusal: Refusal, path: PurePosixPath, *, needed: int = 0
    ) -> TransferError:
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
                return self._failure(conversation, refusal, where, needed)
            case _:
                return StoreRefused(f"the store refused it ({refusal})", to=where)

    def _failure(
        self, conversation: Conversation, refusal: Refusal, where: str, needed: int
    ) -> TransferError:
        space = self.space(conversation)
        if space is not None and space.read_only:
            return StoreDenied("the store's file system is read-only", to=where)
        if space is not None and (space.free < max(needed, _CRAMPED) or space.names == 0):
            return StoreFull(f"no space left at the store ({space.free} bytes free)", to=where)
        return StoreRefused(f"the store refused it ({refusal})", to=where)

    def refuse_new(
        self, conversation: Conversation, refusal: Refusal, path: PurePosixPath, *, needed: int
    ) -> TransferError:
        """The error that a refused exclusive opening means."""
        if refusal.code == protocol.FAILURE and stands(conversation, self.place(path)):
            return PartialExists("a file of that name stands already", to=self.name(path))
        return self.explain(conversation, refusal, path, needed=needed)


class Folders:
    """The folders of one batch: each is asked for once, and made only if it is not there."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known = {HERE}
        self._lock = threading.Lock()

    def ensure(self, conversation: Conversation, folder: PurePosixPath) -> None:
        """Make `folder` and what is missing above it, below the root.  Raises `TransferError`."""
        # One at a time: two hands that miss the same folder would both make it.
        with self._lock:
            try:
                self._ensure(conversation, folder)
            except Refusal as refusal:
                raise self._store.explain(conversation, refusal, folder) from refusal

    def _ensure(self, conversation: Conversation, folder: PurePosixPath) -> None:
        if folder in self._known:
            return
        place = self._store.place(folder)
        if conversation.stat(place) is None:
            self._ensure(conversation, folder.parent)
            if folder.parent == HERE:
                self._store.require_root(conversation)
            self._make(conversation, place)
        self._known.add(folder)

    def _make(self, conversation: Conversation, place: bytes) -> None:
        try:
            conversation.ask(protocol.MKDIR, string(place), bytes(4))
        except Refusal:
            # Somebody else may have made it since we looked.
            found = conversation.stat(place)
            if found is None or not found.is_folder:
                raise


def stands(conversation: Conversation, place: bytes) -> bool:
    """Whether there is a file of that name, as far as the server tells."""
    try:
        return conversation.stat(place) is not None
    except Refusal:
        return False


def _is_long(place: bytes) -> bool:
    return len(place) > LONG_PATH or any(len(name) > LONG_NAME for name in place.split(b"/"))
