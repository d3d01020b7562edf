"""scan: find sessions that need a visit, without reading a byte of their files.

In a `disk` lab a session becomes due when it is complete (its flag file is there, or nothing in it has
changed for a while), two looks in a row found the same sizes and times, and those differ from what was last
registered.  A session that had its flag once is complete for ever: other tools remove the flag when they are
done.  In an `alyx` lab a session becomes due when Alyx lists a file of it as missing at the store that nobody works on.
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from uuid import UUID

from transfer.catalog.base import Catalog
from transfer.errors import SourceRootMissing, TransferError
from transfer.ledger import standing
from transfer.ledger.ledger import Ledger
from transfer.model import Lab, SessionKey
from transfer.paths import parse_session, refuse_unsafe
from transfer.steps.looking import Found, look


@dataclass(frozen=True, slots=True)
class Scan:
    """How many sessions there are, how many became due now, and what could not be looked at."""

    sessions: int
    due: int
    troubles: tuple[TransferError, ...] = ()


def scan(ledger: Ledger, catalog: Catalog, lab: Lab) -> Scan:
    """Ring for the sessions of one lab that need discover.  Raises `SourceRootMissing`."""
    return _scan_alyx(ledger, catalog, lab) if lab.work == "alyx" else _scan_disk(ledger, lab)


def session_folders(lab: Lab) -> Iterator[SessionKey]:
    """Every session folder below the lab's root, in order."""
    if not lab.root.is_dir():
        raise SourceRootMissing("the lab's data folder is not there", to=lab.root)
    for subject in _folders(lab.root):
        for day in _folders(subject):
            for number in _folders(day):
                key = parse_session(PurePosixPath(subject.name, day.name, number.name), lab.repository)
                if key is not None:
                    yield key


def _folders(folder: Path) -> list[Path]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return []  # somebody removes it now, or it is none of ours: the next scan looks again
    return [folder / entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]


def _scan_disk(ledger: Ledger, lab: Lab) -> Scan:
    seen = standing.seen_sessions(ledger, lab.repository)
    now = ledger.moment()
    count = due = 0
    troubles: list[TransferError] = []
    for key in session_folders(lab):
        count += 1
        before = seen.get(key.path)
        try:
            found = look(lab.root, key.path)
        except TransferError as error:
            troubles.append(error)
            continue
        print_ = found.fingerprint
        if before and before.done_look == print_:
            continue
        if not _complete(lab, key, found, now, flagged_before=before is not None and before.complete):
            continue
        settled = before is not None and before.look == print_
        due += settled
        if before and settled and before.waiting:
            continue  # it was rung for already
        session = before.id if before else ledger.saw_session(key, lab)
        ledger.looked_at(session, print_, due=settled)
    return Scan(count, due, tuple(troubles))


def _complete(lab: Lab, key: SessionKey, found: Found, now: datetime, *, flagged_before: bool) -> bool:
    if lab.flag is not None:
        return flagged_before or (lab.root / key.path / lab.flag).is_file()
    newest = max((file.mtime_ns for file in found.files.values()), default=None)
    # A time far ahead of ours comes from a rig whose clock is wrong: then the two equal looks must do.
    return newest is not None and abs(now.timestamp() - newest / 1e9) >= lab.quiet.total_seconds()


def _scan_alyx(ledger: Ledger, catalog: Catalog, lab: Lab) -> Scan:
    owned = standing.open_records(ledger, lab.store)
    missing: dict[SessionKey, set[UUID]] = {}
    troubles: list[TransferError] = []
    for record in catalog.missing_records(lab.store):
        if record.id in owned:
            continue
        try:
            key = _session_of(record.path, lab)
        except TransferError as error:
            troubles.append(error)
            continue
        if key is not None:
            missing.setdefault(key, set()).add(record.id)
    seen = standing.seen_sessions(ledger, lab.repository)
    due = 0
    for key, records in missing.items():
        listing = hashlib.blake2b(b"".join(sorted(one.bytes for one in records)), digest_size=16).hexdigest()
        before = seen.get(key.path)
        if before and before.look == listing and not _changed_on_disk(lab, key, before):
            continue
        session = before.id if before else ledger.saw_session(key, lab)
        ledger.looked_at(session, listing, due=True)
        due += 1
    return Scan(len(missing), due, tuple(troubles))


def _session_of(path: PurePosixPath, lab: Lab) -> SessionKey | None:
    """The session a record's path lies in, None if it lies in none.  Raises `UntrustedPath`."""
    parts = refuse_unsafe(path).parts
    return parse_session(PurePosixPath(*parts[:3]), lab.repository) if len(parts) > 3 else None


def _changed_on_disk(lab: Lab, key: SessionKey, before: standing.SeenSession) -> bool:
    """Whether the folder looks different from when its listed files were last discovered."""
    try:
        return look(lab.root, key.path).fingerprint != before.done_look
    except TransferError:
        return False
