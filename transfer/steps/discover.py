"""discover: find what has to move, complete and quiet, and hash each file once.

For a `disk` lab a session's folder is walked; for an `alyx` lab the files are those Alyx lists as missing
at the store.  A file counts as quiet when its size and modification time are the same before it was hashed
and at a second look afterwards.  A hash is kept and not computed again while path, size and time stay.

Which files there are, and which are refused, is `looking`'s.  It never writes to the lab's disk.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import PurePosixPath
from uuid import UUID

from sqlalchemy import select

from transfer.bandwidth import GivenBack
from transfer.digests import digest_file
from transfer.errors import (
    SourceChanged,
    SourceStillChanging,
    SourceUnreadable,
    SourceVanished,
    TransferError,
)
from transfer.ledger.intake import Look, discovered, finish_session, keep_hashes
from transfer.ledger.rows import DATASETS
from transfer.ledger.tables import datasets, sessions
from transfer.model import Item, Session, SourceFile
from transfer.steps.looking import Found, look
from transfer.steps.work import Failure, SessionWork

_STILL_CHANGING_AFTER = timedelta(hours=24)
_SOON = timedelta(minutes=1)
_LATER = timedelta(minutes=15)
_UNREADABLE = f"[{SourceUnreadable.code}]"


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
