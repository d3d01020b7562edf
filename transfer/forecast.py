"""What a push of one session would move, and about how long it would take; nothing is hashed or written.

In a `disk` lab a file counts as moving unless its size and time are those of a copy that was proved and
announced, it is held, or Alyx could not register it.  In an `alyx` lab those files move that Alyx lists as
missing at the store.  The time is a forecast from the fastest of the last batches on this route, or from a
plain assumption, and says which.

What it cannot know without hashing: a file that another installation brought to the store counts as moving,
and when it is pushed it is only compared.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

from sqlalchemy import func, select

from transfer import agent
from transfer.catalog.base import Catalog
from transfer.errors import AmbiguousSession, NumberNotPadded, SourceVanished, TransferError, UnknownSession
from transfer.ledger import reports
from transfer.ledger.ledger import Ledger
from transfer.ledger.sums import total
from transfer.ledger.tables import batches, copies, datasets, items, sessions
from transfer.ledger.tables import ledger as ledger_table
from transfer.model import Lab, SessionKey, SourceFile
from transfer.paths import TypeIndex
from transfer.status import Condition, Status
from transfer.steps.looking import Found, look

_ASSUMED = 20e6  # bytes a second: a plain 200 Mbit/s line
_PER_FILE = 0.03  # seconds: Alyx answers one announcement in about 25 ms
_FILES = 1_000_000  # of one session

Staying = tuple[PurePosixPath, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Forecast:
    """One session's plan.  Sizes in bytes, `seconds` for all of `moving`.

    Of what stays, `refused` says why files cannot move as they are, and `held` that some would move and are held.
    `there` are the paths that Alyx says the store has.
    """

    session: PurePosixPath
    moving: tuple[tuple[PurePosixPath, int], ...]
    arrived: int
    staying: tuple[Staying, ...]
    bytes: int
    seconds: float
    measured: bool
    refused: tuple[TransferError, ...] = ()
    held: bool = False
    there: tuple[PurePosixPath, ...] = ()

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


def forecast(ledger: Ledger, catalog: Catalog, types: TypeIndex, lab: Lab, key: SessionKey) -> Forecast:
    """Look at one session.

    Raises `NotASession`, `SourceRootMissing`, and what a push would stop at: `UnknownSession`,
    `AmbiguousSession`, `NumberNotPadded`, `ForeignLedger`, `RestoredLedger`.
    """
    found = look(lab.root, key.path)
    _check_owner(ledger, catalog, lab)
    eid = _session(catalog, key)
    stopped = _stopped(ledger, lab, key)
    listed = [
        (dataset.path, record.exists)
        for dataset in catalog.datasets_of_session(eid)
        if (record := dataset.record(lab.store)) is not None
    ]
    if lab.work == "alyx":
        moving, arrived, refused = _listed(found, listed)
        staying: list[Staying] = []
    else:
        moving, arrived, staying = _on_disk(found, types, _proved(ledger, lab, key))
        refused = dict(found.refused)
    held = [(file.path, stopped[str(file.path)]) for file in moving if str(file.path) in stopped]
    staying += held + [(path, error.sentence) for path, error in refused.items()]
    moving = [file for file in moving if str(file.path) not in stopped]
    total = sum(file.size for file in moving)
    measured = _measured(ledger, lab)
    return Forecast(
        session=key.path,
        moving=tuple((file.path, file.size) for file in moving),
        arrived=arrived,
        staying=tuple(sorted(staying)),
        bytes=total,
        seconds=total / (measured or _ASSUMED) + len(moving) * _PER_FILE,
        measured=measured is not None,
        refused=tuple(error for _, error in sorted(refused.items())),
        held=bool(held),
        there=tuple(sorted({path for path, exists in listed if exists})),
    )


# ---- Alyx's side


def _check_owner(ledger: Ledger, catalog: Catalog, lab: Lab) -> None:
    """As before a push, but without drawing an identity for a ledger that has none."""
    with ledger.reading() as connection:
        row = connection.execute(select(ledger_table.c.uuid, ledger_table.c.epoch)).first()
    agent.refuse_strangers(
        catalog.agent_task(agent.NAME, lab.repository),
        uuid=str(row.uuid) if row else "none yet",
        epoch=row.epoch if row else 0,
        last_event=ledger.last_event(),
        repository=lab.repository,
    )


def _session(catalog: Catalog, key: SessionKey) -> UUID:
    if not key.padded:
        raise NumberNotPadded("the session's number has not three digits", to=key.path)
    found = catalog.sessions(key.subject, key.date, key.number)
    if not found:
        raise UnknownSession("Alyx has no such session", to=key.path)
    if len(found) > 1:
        raise AmbiguousSession(f"Alyx has {len(found)} sessions for one folder", to=key.path)
    return found[0].id


def _listed(
    found: Found, listed: Sequence[tuple[PurePosixPath, bool]]
) -> tuple[list[SourceFile], int, dict[PurePosixPath, TransferError]]:
    moving: list[SourceFile] = []
    refused: dict[PurePosixPath, TransferError] = {}
    for path, exists in listed:
        if exists:
            continue
        if file := found.files.get(path):
            moving.append(file)
        else:
            refused[path] = found.refused.get(path) or SourceVanished("the lab's file is gone", to=path)
    return sorted(moving, key=lambda file: file.path), sum(exists for _, exists in listed), refused


# ---- the lab's side


def _on_disk(
    found: Found, types: TypeIndex, proved: Mapping[str, tuple[int, int]]
) -> tuple[list[SourceFile], int, list[Staying]]:
    moving: list[SourceFile] = []
    staying: list[Staying] = []
    arrived = 0
    for path, file in sorted(found.files.items()):
        if reason := types.why_unregistrable(path):
            staying.append((path, reason))
        elif proved.get(str(path)) == (file.size, file.mtime_ns):
            arrived += 1
        else:
            moving.append(file)
    return moving, arrived, staying


# ---- what the ledger knows


def _id(ledger: Ledger, lab: Lab, key: SessionKey) -> int | None:
    with ledger.reading() as connection:
        return connection.scalar(
            select(sessions.c.id).where(sessions.c.source == lab.repository, sessions.c.path == str(key.path))
        )


def _stopped(ledger: Ledger, lab: Lab, key: SessionKey) -> dict[str, str]:
    """Why files the ledger knows would not move although they look as if they should."""
    number = _id(ledger, lab, key)
    if number is None:
        return {}
    (session,) = reports.sessions(ledger, session=number)
    rows: Sequence[reports.FileRow] = reports.files(ledger, session=number, limit=_FILES)
    if session.hold:
        why = f"its session is held ({session.hold}): {session.hold_text}"
        return {row.relative_path: why for row in rows}
    return {row.relative_path: f"held ({row.hold}): {row.hold_text}" for row in rows if row.hold}


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
                total(items.c.size).label("bytes"),
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
