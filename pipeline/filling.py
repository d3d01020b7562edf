"""Fills the pipeline's tables from the ledger: a row for each session that is complete, or complete again.

Safe to repeat and to kill: a session and its files are written in one transaction, and what stands there with the same
files and hashes is left alone.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from pipeline.schema import Tables
from transfer.ledger.complete import CompleteSession


def fill(tables: Tables, sessions: Iterable[CompleteSession]) -> int:
    """Write what is new; answers how many versions of sessions were added."""
    added = 0
    for session in sessions:
        last, known = _last(tables, session)
        now = {str(file.dataset): file.md5 for file in session.files}
        if now != known:
            _add(tables, session, last + 1)
            added += 1
    return added


def _last(tables: Tables, session: CompleteSession) -> tuple[int, dict[str, str]]:
    """The newest version that stands there, and its files' hashes; 0 if none does."""
    mine = {"eid": str(session.eid)}
    versions = (tables.session & mine).to_arrays("version")
    if not len(versions):
        return 0, {}
    last = int(max(versions))
    rows = (tables.dataset & {**mine, "version": last}).to_dicts()
    return last, {row["dataset_uuid"]: row["md5"] for row in rows}


def _add(tables: Tables, session: CompleteSession, version: int) -> None:
    key: dict[str, Any] = {"eid": str(session.eid), "version": version}
    with tables.schema.connection.transaction:
        tables.session.insert1(
            {
                **key,
                "lab": session.lab,
                "subject": session.subject,
                "session_date": session.date,
                "session_number": session.number,
                "files": len(session.files),
                "bytes": sum(file.size for file in session.files),
                "completed_at": _plain(session.completed_at),
            }
        )
        tables.dataset.insert(
            {
                **key,
                "dataset_uuid": str(file.dataset),
                "path": file.path,
                "store": file.store,
                "store_path": file.store_path,
                "size": file.size,
                "md5": file.md5,
                "arrived_at": _plain(file.arrived_at),
                "proof": file.proof,
            }
            for file in session.files
        )


def _plain(moment: datetime) -> datetime:
    """UTC without a zone, as DataJoint keeps times."""
    return moment.astimezone(UTC).replace(tzinfo=None)
