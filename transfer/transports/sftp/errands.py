"""The small things: look, rename, remove, link, list.

Each is a job (see `jobs`) that gives a value or raises a `TransferError`; none keeps anything.
"""

import contextlib
from pathlib import PurePosixPath

from transfer.errors import PathTooLong, RenameDoesNotReplace, StoreDenied, StoredFileMissing, TransferError
from transfer.transports.base import RemoteFile, Rename
from transfer.transports.sftp import protocol
from transfer.transports.sftp.folders import Folders
from transfer.transports.sftp.jobs import DRAIN, Ask, Job, Post
from transfer.transports.sftp.protocol import Attributes, Refusal, string
from transfer.transports.sftp.store import Store, extended, look, open_to_read, stands


def find(store: Store, path: PurePosixPath) -> Job[RemoteFile | None]:
    """The regular file of this name."""
    try:
        found = yield from look(store.place(path))
    except Refusal as refusal:
        error = yield from store.explain(refusal, path)
        if isinstance(error, PathTooLong):
            return None  # nothing can stand there; whoever writes is told, for that file alone
        raise error from refusal
    return file_of(path, found) if found is not None and found.is_regular else None


def remove(store: Store, path: PurePosixPath) -> Job[None]:
    """One that is already gone is no failure."""
    try:
        yield Ask(protocol.REMOVE, string(store.place(path)))
    except Refusal as refusal:
        if refusal.code != protocol.NO_SUCH_FILE:
            raise (yield from store.explain(refusal, path)) from refusal


def entries(store: Store, folder: PurePosixPath) -> Job[list[tuple[str, Attributes]]]:
    """The names in a folder; none if it does not exist."""
    found: list[tuple[bytes, Attributes]] = []
    try:
        handle = string((yield Ask(protocol.OPENDIR, string(store.place(folder)))).string())
        with contextlib.suppress(_End):
            while True:
                found += yield from _some_entries(handle)
        yield Ask(protocol.CLOSE, handle)
    except Refusal as refusal:
        if refusal.code == protocol.NO_SUCH_FILE:
            return []
        raise (yield from store.explain(refusal, folder)) from refusal
    return [(name.decode("utf-8", "surrogateescape"), attributes) for name, attributes in found]


class _End(Exception):
    pass


def _some_entries(handle: bytes) -> Job[list[tuple[bytes, Attributes]]]:
    try:
        names = yield Ask(protocol.READDIR, handle)
    except Refusal as refusal:
        if refusal.code == protocol.EOF:
            raise _End from None
        raise
    some = []
    for _ in range(names.u32()):
        name, _long = names.string(), names.string()
        some.append((name, names.attributes()))
    return some


def rename(store: Store, folders: Folders, wanted: Rename) -> Job[None]:
    """Rename, replacing in one step where the server can; where it cannot, only onto a free name."""
    partial, final = store.place(wanted.partial), store.place(wanted.final)
    if wanted.partial.parent != wanted.final.parent:
        yield from folders.ensure(wanted.final.parent)
    try:
        if protocol.POSIX_RENAME in store.extensions:
            yield extended(protocol.POSIX_RENAME, string(partial), string(final))
        else:
            yield Ask(protocol.RENAME, string(partial), string(final))
    except Refusal as refusal:
        raise (yield from _refused_rename(store, wanted, refusal)) from refusal


def _refused_rename(store: Store, wanted: Rename, refusal: Refusal) -> Job[TransferError]:
    if refusal.code == protocol.PERMISSION_DENIED:
        return (yield from store.explain(refusal, wanted.final))
    if not (yield from stands(store.place(wanted.partial))):
        return StoredFileMissing("the partial is gone", to=store.name(wanted.partial))
    replaces = protocol.POSIX_RENAME in store.extensions
    if not replaces and (yield from stands(store.place(wanted.final))):
        what = "the server does not rename onto a file that stands"
        return RenameDoesNotReplace(what, to=store.name(wanted.final))
    return (yield from store.explain(refusal, wanted.final))


def link(store: Store, folders: Folders, existing: PurePosixPath, new: PurePosixPath) -> Job[bool]:
    """Make a hard link.

    True also if `new` stands already, as made by an earlier try; False if the server cannot or `existing` is
    gone.
    """
    place = store.place(new)
    yield from folders.ensure(new.parent)
    try:
        yield extended(protocol.HARDLINK, string(store.place(existing)), string(place))
    except Refusal as refusal:
        if (yield from stands(place)):
            return True
        if refusal.code == protocol.PERMISSION_DENIED:
            raise StoreDenied("the store denied a hard link", to=store.name(new)) from refusal
        return False
    yield from sync_folder(store, new.parent)
    return True


def sync_folder(store: Store, folder: PurePosixPath) -> Job[None]:
    """Flush a folder, where the server lets a folder be opened like a file, as OpenSSH does."""
    if protocol.FSYNC not in store.extensions:
        return
    # A refusal is no failure: not every server with fsync can do it for folders.
    with contextlib.suppress(Refusal):
        handle = string((yield from open_to_read(store.place(folder))))
        yield Post(protocol.EXTENDED, string(protocol.FSYNC), handle, patient=True)
        yield Post(protocol.CLOSE, handle)
        yield DRAIN


def file_of(path: PurePosixPath, attributes: Attributes) -> RemoteFile:
    return RemoteFile(path=path, size=attributes.size or 0, mtime_ns=(attributes.mtime or 0) * 1_000_000_000)
