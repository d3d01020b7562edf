"""The simulated day's sessions and files, drawn from a seed, and the rows that discover and register leave of them."""

import random
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import Connection, insert

from bench.full_ledger import LABS, lab, repository
from transfer.ledger import tables
from transfer.status import Condition, Status

SESSIONS, FILES, LARGE_SESSIONS = 180, 12_000, 20
LARGE = 17 * 10**9
BEGIN = datetime(2026, 3, 4, tzinfo=UTC)

_SMALLEST, _LARGEST = 4_000.0, 400e6  # of the others, drawn evenly by their order of magnitude
_FIRST, _LAST = 17 * 3600.0, 19 * 3600.0  # all rigs finish at the end of the afternoon
_CROWD = 1800.0  # within so many seconds lab 0 finishes eight sessions with a large file


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """One session: when it is finished, and the sizes of its files."""

    number: int
    lab: int
    at: float
    sizes: tuple[int, ...]


def loads(seed: int, *, scale: float = 1.0) -> list[Load]:
    """The day's sessions.  Lab 0 has eight of the large files, nearly at the same time: that is to be borne."""
    chance = random.Random(seed)
    count, files, large = (max(round(n * scale), 1) for n in (SESSIONS, FILES, LARGE_SESSIONS))
    made = []
    for number in range(count):
        has_large = number < large
        crowded = number < large * 2 // 5
        where = 0 if crowded else number % LABS
        at = _FIRST + chance.uniform(0, _CROWD) if crowded else chance.uniform(_FIRST, _LAST)
        share = files // count + (number < files % count)
        sizes = [
            round(_SMALLEST * (_LARGEST / _SMALLEST) ** chance.random()) for _ in range(share - has_large)
        ]
        made.append(Load(number=number, lab=where, at=at, sizes=(*sizes, *([LARGE] if has_large else []))))
    return sorted(made, key=lambda load: load.at)


def session_row(load: Load) -> dict[str, object]:
    day = BEGIN.date()
    return {
        "source": repository(load.lab),
        "path": f"s{load.number:04}/{day.isoformat()}/001",
        "lab": lab(load.lab),
        "subject": f"s{load.number:04}",
        "date": day,
        "number": 1,
        "eid": UUID(int=10**6 + load.number),
        "origin": "disk",
    }


def write_files(connection: Connection, load: Load, session: int, *, store: str, now: datetime) -> None:
    """What discover and register leave behind."""
    first = 1 + load.number * 10_000
    keys = range(first, first + len(load.sizes))
    datasets = [
        {
            "id": key,
            "session": session,
            "path": f"alf/{key}.npy",
            "dataset_uuid": UUID(int=10**9 + key),
            "size": size,
            "mtime_ns": key,
            "md5": f"{key:032x}",
            "registered_md5": f"{key:032x}",
        }
        for key, size in zip(keys, load.sizes, strict=True)
    ]
    copies = [
        {"id": key, "dataset": key, "repository": store, "condition": Condition.EXPECTED} for key in keys
    ]
    times = {"not_before": now, "since": now, "created_at": now}
    items = [
        {
            "id": key,
            "copy": key,
            "md5": f"{key:032x}",
            "size": size,
            "status": Status.REGISTERED,
            "open": 1,
            **times,
        }
        for key, size in zip(keys, load.sizes, strict=True)
    ]
    for table, rows in ((tables.datasets, datasets), (tables.copies, copies), (tables.items, items)):
        connection.execute(insert(table), rows)
