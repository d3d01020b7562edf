"""The small things done on one channel: look, rename, remove, link, list.

Each takes a conversation and gives a value or raises a `TransferError`; none keeps anything.
"""

import contextlib
from collections.abc import Sequence
from pathlib import PurePosixPath

from transfer.errors import PathTooLong, RenameDoesNotReplace, StoreDenied, StoredFileMissing, TransferError
from transfer.transports.base import Failed, RemoteFile, Rename
from transfer.transports.sftp import protocol
from transfer.transports.sftp.protocol import Attributes, Conversation, Refusal, Window, string
from transfer.transports.sftp.store import Store, stands


def look(conversation: Conversation, store: Store, paths: Sequence[PurePosixPath]) -> list[RemoteFile | None]:
    """The regular files under these names, in their order; asked all at once, so only for some hundreds."""
    places = [store.place(path) for path in paths]
    with Window(conversation, len(places)) as window:
        for place in places:
            window.begin(protocol.STAT, string(place))
        found = [_attributes(window) for _ in places]
    return [_file(conversation, store, *pair) for pair in zip(paths, found, strict=True)]


def _attributes(window: Window) -> Attributes | Refusal:
    try:
        return window.answer().attributes()
    except Refusal as refusal:
        return refusal


def _file(
    conversation: Conversation, store: Store, path: PurePosixPath, found: Attributes | Refusal
) -> RemoteFile | None:
    match found:
        case Refusal(code=protocol.NO_SUCH_FILE):
            return None
        case Refusal():
            error = store.explain(conversation, found, path)
            if isinstance(error, PathTooLong):
                return None  # nothing can stand there; whoever writes is told, for that file alone
            raise error from found
        case Attributes():
            return file_of(path, found) if found.is_regular else None


def remove(
    conversation: Conversation, store: Store, paths: Sequence[PurePosixPath], *, first: int
) -> list[Failed]:
    """Remove files, all at once; `first` is the index of the first one in the caller's list."""
    failed: list[Failed] = []
    asked: list[tuple[int, int, PurePosixPath]] = []
    for index, path in enumerate(paths, first):
        try:
            place = store.place(path)
        except TransferError as error:
            failed.append(Failed(key=index, error=error))
        else:
            asked.append((index, conversation.begin(protocol.REMOVE, string(place)), path))
    # All answers first: explaining a refusal asks the server again.
    answers = [(index, path, _refusal(conversation, number)) for index, number, path in asked]
    for index, path, refusal in answers:
        if refusal is not None and refusal.code != protocol.NO_SUCH_FILE:
            explained = store.explain(conversation, refusal, path)
            explained.__cause__ = refusal
            failed.append(Failed(key=index, error=explained))
    return failed


def _refusal(conversation: Conversation, number: int) -> Refusal | None:
    try:
        conversation.answer(number)
    except Refusal as refusal:
        return refusal
    return None


def entries(conversation: Conversation, store: Store, folder: PurePosixPath) -> list[tuple[str, Attributes]]:
    """The names in a folder; none if it does not exist."""
    try:
        found = list(conversation.entries(store.place(folder)))
    except Refusal as refusal:
        if refusal.code == protocol.NO_SUCH_FILE:
            return []
        raise store.explain(conversation, refusal, folder) from refusal
    return [(name.decode("utf-8", "surrogateescape"), attributes) for name, attributes in found]


def rename(conversation: Conversation, store: Store, wanted: Rename) -> None:
    """Rename, replacing in one step where the server can; where it cannot, only onto a free name."""
    partial, final = store.place(wanted.partial), store.place(wanted.final)
    try:
        if protocol.POSIX_RENAME in conversation.extensions:
            conversation.extended(protocol.POSIX_RENAME, string(partial), string(final))
        else:
            conversation.ask(protocol.RENAME, string(partial), string(final))
    except Refusal as refusal:
        raise _refused_rename(conversation, store, wanted, refusal) from refusal


def _refused_rename(
    conversation: Conversation, store: Store, wanted: Rename, refusal: Refusal
) -> TransferError:
    if refusal.code == protocol.PERMISSION_DENIED:
        return store.explain(conversation, refusal, wanted.final)
    if not stands(conversation, store.place(wanted.partial)):
        return StoredFileMissing("the partial is gone", to=store.name(wanted.partial))
    replaces = protocol.POSIX_RENAME in conversation.extensions
    if not replaces and stands(conversation, store.place(wanted.final)):
        what = "the server does not rename onto a file that stands"
        return RenameDoesNotReplace(what, to=store.name(wanted.final))
    return store.explain(conversation, refusal, wanted.final)


def link(conversation: Conversation, store: Store, existing: PurePosixPath, new: PurePosixPath) -> bool:
    """Make a hard link.

    True also if `new` stands already, as made by an earlier try; False if the server cannot or `existing` is
    gone.
    """
    try:
        conversation.extended(protocol.HARDLINK, string(store.place(existing)), string(store.place(new)))
    except Refusal as refusal:
        if stands(conversation, store.place(new)):
            return True
        if refusal.code == protocol.PERMISSION_DENIED:
            raise StoreDenied("the store denied a hard link", to=store.name(new)) from refusal
        return False
    return True


def sync_folder(conversation: Conversation, store: Store, folder: PurePosixPath) -> None:
    """Flush a folder, where the server lets a folder be opened like a file, as OpenSSH does."""
    if protocol.FSYNC not in conversation.extensions:
        return
    # A refusal is no failure: not every server with fsync can do it for folders.
    with contextlib.suppress(Refusal), Window(conversation, 2) as window:
        handle = string(conversation.open(store.place(folder), protocol.FOR_READING))
        window.begin(protocol.EXTENDED, string(protocol.FSYNC), handle)
        window.begin(protocol.CLOSE, handle)
        window.drain()


def file_of(path: PurePosixPath, attributes: Attributes) -> RemoteFile:
    return RemoteFile(path=path, size=attributes.size or 0, mtime_ns=(attributes.mtime or 0) * 1_000_000_000)
