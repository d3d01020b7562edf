"""The small things done on one line: look, rename, remove, list.

Each takes a line and gives a value or raises a `TransferError`; none keeps anything.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import PurePosixPath

from transfer.errors import (
    PathTooLong,
    RenameDoesNotReplace,
    StoreDenied,
    StoredFileMissing,
    StoreRefused,
    TransferError,
)
from transfer.paths import is_leftover
from transfer.transports.base import RemoteFile, Rename
from transfer.transports.ftp.line import Line, Refusal
from transfer.transports.ftp.store import Folder, Store, lines_of

_NANO = 1_000_000_000


def look(line: Line, store: Store, path: PurePosixPath) -> RemoteFile | None:
    """The regular file under this name, None if there is none; raises `StoreDenied` if we may not know."""
    try:
        place = store.place(path)
    except PathTooLong:
        return None  # nothing can stand there; whoever writes is told, for that file alone
    try:
        return _facts(line, place, path) if "MLST" in line.features else _measures(line, place, path)
    except Refusal as refusal:
        if refusal.code not in (450, 501, 550, 553):
            raise store.explain(line, refusal, path) from refusal
        if store.folder(line, path.parent) is Folder.DENIED:
            where = store.name(path)
            raise StoreDenied(f"the store does not let us into the folder ({refusal})", to=where) from refusal
        return None


def _facts(line: Line, place: str, path: PurePosixPath) -> RemoteFile | None:
    for entry in line.ask(f"MLST {place}").text.split("\n"):
        if entry.startswith(" "):
            return _file(path, entry.strip())
    return None


def _file(path: PurePosixPath, entry: str) -> RemoteFile | None:
    """A file as MLST and MLSD describe it (RFC 3659): facts, a space, the name."""
    facts = dict(fact.lower().partition("=")[::2] for fact in entry.partition(" ")[0].split(";") if fact)
    if facts.get("type") != "file" or not facts.get("size", "").isdecimal():
        return None
    return RemoteFile(path=path, size=int(facts["size"]), mtime_ns=_time(facts.get("modify", "")))


def _measures(line: Line, place: str, path: PurePosixPath) -> RemoteFile | None:
    size = line.ask(f"SIZE {place}").text.partition(" ")[0]
    if not size.isdecimal():
        raise StoreRefused("the server's answer to SIZE is no number", to=path)
    try:
        when = line.ask(f"MDTM {place}").text
    except Refusal:
        when = ""
    return RemoteFile(path=path, size=int(size), mtime_ns=_time(when))


def _time(text: str) -> int:
    """YYYYMMDDHHMMSS in UTC, perhaps with a fraction, as nanoseconds; 0 for anything else."""
    try:
        when = datetime.strptime(text.strip()[:14], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return 0
    return int(when.timestamp()) * _NANO


def remove(line: Line, store: Store, path: PurePosixPath) -> None:
    """Remove a file; one that is gone already is no failure."""
    try:
        line.ask(f"DELE {store.place(path)}")
    except Refusal as refusal:
        error = store.explain_reading(line, refusal, path)
        if not isinstance(error, StoredFileMissing):
            raise error from refusal


def leftovers(line: Line, store: Store, folder: PurePosixPath) -> Iterator[RemoteFile]:
    """The partials and kept old copies that stand in `folder`.  Raises `StoreDenied` if we cannot enter it."""
    match store.folder(line, folder):
        case Folder.MISSING:
            return
        case Folder.DENIED:
            raise StoreDenied("the store does not let us into the folder", to=store.name(folder))
        case Folder.OPEN:
            pass
    try:
        if "MLST" in line.features:
            found = [entry.partition(" ") for entry in lines_of(line, "MLSD")]
            yield from filter(None, (_file(folder / n, f) for f, _, n in found if is_leftover(n)))
            return
        names = store.listed(line)
    except Refusal as refusal:
        raise store.explain(line, refusal, folder) from refusal
    for name in filter(is_leftover, names):
        standing = look(line, store, folder / name)
        if standing is not None:
            yield standing


def rename(line: Line, store: Store, wanted: Rename, *, replaces: bool | None) -> None:
    """Rename, and take the server's word for it that a file which stood there was replaced.

    `replaces` is whether this server is known to; it only chooses the words for a refusal.
    """
    partial, final = store.place(wanted.partial), store.place(wanted.final)
    try:
        line.ask(f"RNFR {partial}")
    except Refusal as refusal:
        raise _missing_or(store.explain_reading(line, refusal, wanted.partial), store, wanted) from refusal
    try:
        line.ask(f"RNTO {final}")
    except Refusal as refusal:
        if not replaces and store.size(line, wanted.final) is not None:
            what = f"the server does not rename onto a file that stands ({refusal})"
            raise RenameDoesNotReplace(
                what, to=store.name(wanted.final), do="Use a server that does, SFTP, or a mounted disk."
            ) from refusal
        raise store.explain(line, refusal, wanted.final) from refusal


def _missing_or(error: TransferError, store: Store, wanted: Rename) -> TransferError:
    if isinstance(error, StoredFileMissing):
        return StoredFileMissing("the partial is gone", to=store.name(wanted.partial))
    return error
