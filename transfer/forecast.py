"""What a push of one session would move, and about how long it would take; nothing is hashed or written.

A file counts as moving unless its size and time are those of a copy that was proved and announced.  The time
is a forecast from the fastest of the last batches on this route, or from a plain assumption, and says which.
"""

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from sqlalchemy import func, select

from transfer.ledger.ledger import Ledger
from transfer.ledger.tables import batches, copies, datasets, items, sessions
from transfer.model import Lab, SessionKey
from transfer.paths import TypeIndex
from transfer.status import Condition, Status
from transfer.steps.discover import look

_ASSUMED = 20e6  # bytes a second: a plain 200 Mbit/s line
_PER_FILE = 0.03  # seconds: Alyx answers one announcement in about 25 ms


@dataclass(frozen=True, kw_only=True, slots=True)
class Forecast:
    """One session's plan.  Sizes in bytes, `seconds` for all of `moving`."""

    session: PurePosixPath
    moving: tuple[tuple[PurePosixPath, int], ...]
    arrived: int
    staying: tuple[tuple[PurePosixPath, str], ...]
    bytes: int
    seconds: float
    measured: bool

    def as_json(self) -> dict[str, Any]:
        return {
            "session": str(self.session),
            "files": len(self.moving),
            "bytes": self.bytes,
            "seconds": round(self.seconds, 1),
            "measured": self.measured,
            "arrived": self.arrived,
            "moving": [{"relative_path": str(path), "size": size} for path, size in self.moving],
            "staying": [{"relative_path": str(path), "reason": reason} for path, reason in self.staying],
        }


def forecast(ledger: Ledger, types: TypeIndex, lab: Lab, key: SessionKey) -> Forecast:
    """Look at one session.  Raises `NotASession`, `SourceRootMissing`."""
    found = look(lab.root, key.path)
    proved = _proved(ledger, lab, key)
    moving: list[tuple[PurePosixPath, int]] = []
    staying: list[tuple[PurePosixPath, str]] = [
        (path, error.sentence) for path, error in found.refused.items()
    ]
    arrived = 0
    for path, file in sorted(found.files.items()):
        reason = types.why_unregistrable(path) if lab.work == "disk" else None
        if reason:
            staying.append((path, reason))
        elif proved.get(str(path)) == (file.size, file.mtime_ns):
            arrived += 1
        else:
            moving.append((path, file.size))
    total = sum(size for _, size in moving)
    measured = _measured(ledger, lab)
    return Forecast(
        session=key.path,
        moving=tuple(moving),
        arrived=arrived,
        staying=tuple(staying),
        bytes=total,
        seconds=total / (measured or _ASSUMED) + len(moving) * _PER_FILE,
        measured=measured is not None,
    )


def _proved(ledger: Ledger, lab: Lab, key: SessionKey) -> dict[str, tuple[int, int]]:
    with ledger.reading() as connection:
        rows = connection.execute(
            select(datasets.c.path, datasets.c.size, datasets.c.mtime_ns)
            .join(sessions, sessions.c.id == datasets.c.session)
            .join(copies, copies.c.dataset == datasets.c.id)
            .where(
                sessions.c.source == key.source,
                sessions.c.path == str(key.path),
                copies.c.repository == lab.store,
                copies.c.condition == Condition.PRESENT,
                copies.c.proved_md5 == datasets.c.md5,
            )
        ).all()
    return {row.path: (row.size, row.mtime_ns) for row in rows}


def _measured(ledger: Ledger, lab: Lab) -> float | None:
    """Bytes a second of the fastest of the last batches that are done, from their first to their last fact."""
    with ledger.reading() as connection:
        rows = connection.execute(
            select(
                func.sum(items.c.size).label("bytes"),
                func.min(items.c.created_at).label("begun"),
                func.max(items.c.since).label("done"),
            )
            .join(batches, batches.c.id == items.c.batch)
            .where(
                batches.c.source == lab.repository,
                batches.c.target == lab.store,
                items.c.status == Status.RECORDED,
            )
            .group_by(batches.c.id)
            .order_by(batches.c.id.desc())
            .limit(5)
        ).all()
    rates = [
        row.bytes / (row.done - row.begun).total_seconds()
        for row in rows
        if row.bytes and row.done > row.begun
    ]
    return max(rates, default=None)
