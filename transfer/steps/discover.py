"""discover: find what has to move, complete and quiet, and hash each file once.

For a `disk` lab a session's folder is walked; for an `alyx` lab the files are those Alyx lists as missing
at the store.  A file counts as quiet when its size and modification time are the same before it was hashed
and at a second look afterwards.  A hash is kept and not computed again while path, size and time stay.

It refuses what is no regular file: FIFOs, sockets, devices, symbolic links.  Flag files and partials left
by anybody are never data.  It never writes to the lab's disk.
"""

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path, PurePosixPath
from uuid import UUID

from sqlalchemy import select

from transfer.bandwidth import GivenBack
from transfer.digests import digest_file
from transfer.errors import (
    NameRefused,
    NotASession,
    SourceChanged,
    SourceRootMissing,
    SourceStillChanging,
    SourceUnreadable,
    SourceVanished,
    TransferError,
    UnsafeSource,
)
from transfer.ledger.intake import Look, discovered, finish_session, keep_hashes
from transfer.ledger.rows import DATASETS
from transfer.ledger.tables import datasets, sessions
from transfer.model import Item, Session, SourceFile
from transfer.obstacles import too_long
from transfer.opening import entries, require_folder
from transfer.paths import is_leftover
from transfer.steps.work import Failure, SessionWork

_STILL_CHANGING_AFTER = timedelta(hours=24)
_LONGEST = 1000  # characters of a path as the ledger keeps it
_SOON = timedelta(minutes=1)
_LATER = timedelta(minutes=15)
_UNREADABLE = f"[{SourceUnreadable.code}]"


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


@dataclass(frozen=True, slots=True)
class Listed:
    """One file of the session that Alyx lists as missing at the store; `error` is why it must not be touched."""

    dataset: UUID
    record: UUID
    error: TransferError | None = None


@dataclass(frozen=True, slots=True)
class Discovery:
    """What discover leaves for register."""

    look: str
    gone: list[Item]
    unquiet: list[PurePosixPath]
    unreadable: bool  # a permission that is mended leaves no trace in the fingerprint


def require_root(root: Path) -> None:
    """Raise `SourceRootMissing` when a root in which something was seen is gone, or empty as a mount point is."""
    if not root.is_dir():
        raise SourceRootMissing("the lab's data folder is not there", to=root)
    with os.scandir(root) as entries:
        if next(entries, None) is None:
            raise SourceRootMissing("the lab's data folder is empty, as an unmounted share is", to=root)


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


def discover(work: SessionWork, session: Session, listed: Mapping[PurePosixPath, Listed] | None) -> Discovery:
    """Hash what is new, open items for it, and answer what register has to know.

    `listed` is None for a `disk` lab, else what Alyx lists as missing (by path in the session).  A file that
    cannot be read or is refused is written down with the reason and stops no other.
    """
    first = look(work.lab.root, session.path)
    known = _known(work, session)
    looks: dict[PurePosixPath, Look] = {}
    unquiet: list[PurePosixPath] = []
    with _keeping(work, session, looks):
        for file in first.files.values() if listed is None else _listed_files(first, listed):
            work.ensure()
            try:
                looks[file.path] = _hashed(work, session, file, known.get(file.path), listed)
            except (SourceChanged, SourceVanished):
                unquiet.append(file.path)
            except TransferError as error:
                looks[file.path] = _trouble(file.path, error, file.size)
    second = look(work.lab.root, session.path)
    for path in [path for path in looks if second.files.get(path) != first.files.get(path)]:
        del looks[path]
        unquiet.append(path)
    looks |= _refused(first, listed)
    for path, row in known.items():  # what could not be judged today stays as it was
        if path not in looks and (path in unquiet or (listed is not None and path not in listed)):
            looks[path] = row
    with work.ledger.guarded(work.lease) as tx:
        gone = discovered(tx, session, work.lab, list(looks.values()))
    unreadable = any((one.unregistrable or "").startswith(_UNREADABLE) for one in looks.values())
    return Discovery(first.fingerprint, gone, unquiet, unreadable)


@contextmanager
def _keeping(work: SessionWork, session: Session, looks: Mapping[PurePosixPath, Look]) -> Iterator[None]:
    """Keep what is hashed when the visit must be given back: a rig may record more often than hashing takes."""
    try:
        yield
    except GivenBack:
        with work.ledger.guarded(work.lease) as tx:
            keep_hashes(tx, session, list(looks.values()))
        raise


def _listed_files(found: Found, listed: Mapping[PurePosixPath, Listed]) -> Iterator[SourceFile]:
    return (found.files[path] for path, one in listed.items() if path in found.files and not one.error)


def _refused(found: Found, listed: Mapping[PurePosixPath, Listed] | None) -> dict[PurePosixPath, Look]:
    if listed is None:
        return {path: _trouble(path, error) for path, error in found.refused.items()}
    return {
        path: _trouble(path, one.error or found.refused.get(path) or _gone(path))
        for path, one in listed.items()
        if one.error or path not in found.files
    }


def _trouble(path: PurePosixPath, error: TransferError, size: int = 0) -> Look:
    """A file that cannot move as it is: kept with its code and sentence, so that `held` and `why` show it."""
    return Look(
        file=SourceFile(path=path, size=size, mtime_ns=0), unregistrable=f"[{error.code}] {error.sentence}"
    )


def _hashed(
    work: SessionWork,
    session: Session,
    file: SourceFile,
    known: Look | None,
    listed: Mapping[PurePosixPath, Listed] | None,
) -> Look:
    if listed is None and (reason := work.types.why_unregistrable(file.path)):
        return Look(file=file, unregistrable=reason)
    same = known is not None and (known.file.size, known.file.mtime_ns) == (file.size, file.mtime_ns)
    md5 = known.file.md5 if known is not None and same else None
    if md5 is None:
        place = work.lab.root / session.path / file.path
        seen = digest_file(place, moved=work.moved, below=work.lab.root)
        if (seen.size, seen.mtime_ns) != (file.size, file.mtime_ns):
            raise SourceChanged("the file changed while it was hashed", to=file.path)
        md5 = seen.md5
    ids = listed[file.path] if listed else None
    return Look(
        file=replace(file, md5=md5),
        dataset_uuid=ids.dataset if ids else None,
        record_uuid=ids.record if ids else None,
    )


def _known(work: SessionWork, session: Session) -> dict[PurePosixPath, Look]:
    """What the ledger knows of the session's files; those marked gone are not known."""
    with work.ledger.reading() as connection:
        rows = connection.execute(
            DATASETS.where(datasets.c.session == session.id, datasets.c.gone_at.is_(None))
        ).all()
    return {
        PurePosixPath(row.path): Look(
            file=SourceFile(path=PurePosixPath(row.path), size=row.size, mtime_ns=row.mtime_ns, md5=row.md5),
            unregistrable=row.unregistrable,
            dataset_uuid=row.dataset_uuid,
        )
        for row in rows
    }


def vanished(item: Item) -> Failure:
    return Failure(item=item, error=_gone(item.source_path), burn=0)


def _gone(path: PurePosixPath) -> TransferError:
    return SourceVanished("the lab's file is gone", to=path)


def finish(
    work: SessionWork, session: Session, seen: Discovery, *, eid: UUID | None, come_again: bool = False
) -> None:
    """Close the visit: done until a scan sees a change, or again soon when something is not settled.

    `come_again` is for what no scan would notice.

    Raises `SourceStillChanging` when a file has not been quiet for a day.
    """
    with work.ledger.guarded(work.lease) as tx:
        since = None
        if seen.unquiet:
            since = tx.connection.scalar(select(sessions.c.unquiet_since).where(sessions.c.id == session.id))
            since = since or tx.now
        wait = _SOON if seen.unquiet else _LATER if seen.unreadable or come_again else None
        finish_session(
            tx,
            session,
            look=None if seen.unquiet else seen.look,
            eid=eid,
            again_at=tx.now + wait if wait else None,
            unquiet_since=since,
        )
        now = tx.now
    if since and now - since > _STILL_CHANGING_AFTER:
        raise SourceStillChanging(
            f"{len(seen.unquiet)} files have been changing for a day, {seen.unquiet[0]} among them",
            to=session.path,
        )
