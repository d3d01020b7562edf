"""A ledger as it stands after a year: written at once, as rows, without a journey.

Twelve labs, two stores, sessions of sixty files, the newest of them still on their way.  The rows are what the program
would have written, but for hashes and uuids, which are counted.  The same number of items makes the same ledger.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

from sqlalchemy import Engine

from bench import filling
from bench.filling import Row
from bench.full_ledger_around import around
from transfer.errors import ConnectionLost, SourceUnreadable, StoreDenied, UnsafeSource
from transfer.ledger import tables
from transfer.ledger.guarded import CLAIMED, SENDING
from transfer.status import JOURNEY, Condition, Proof, Status

LABS = 12
STORES = ("flatiron", "sdsc")
FILES = 60  # of a session
SUBJECTS = 25  # of a lab
_OPEN, _HELD = 2_000, 200
_BATCH = 40  # files of an open batch
_CLOSED = 400  # files of a closed one
_TROUBLES = 30
_UNSEEN = 20  # sessions that are not complete yet
_REPLACED = 500  # one file in so many was found again with other contents before it had arrived
_YEAR = timedelta(days=365)
_TOLD = timedelta(days=60)  # of these days each move is written; of the time before, the last one
_HOLDS = (StoreDenied, ConnectionLost, SourceUnreadable)
_MOVES = tuple(pairwise(JOURNEY))


def lab(number: int) -> str:
    return f"lab_{number:02}"


def repository(number: int) -> str:
    return f"{lab(number)}_SR"


def routes() -> list[tuple[str, str]]:
    return [(repository(number), STORES[number % len(STORES)]) for number in range(LABS)]


@dataclass(frozen=True)
class Full:
    """What stands where.  `items` counts all of them, `now` is the moment at which it stands so."""

    items: int
    now: datetime

    @property
    def sessions(self) -> int:
        return -(-self.items // FILES)

    @property
    def first_open(self) -> int:
        """From this item on all are on their way; of those before, only what is held."""
        return self.items - min(_OPEN, self.items // 20) + 1

    @property
    def open_batches(self) -> int:
        """Four fifths of what is open are in batches."""
        return (self.items + 1 - self.first_open) * 4 // 5 // _BATCH

    @property
    def closed_batches(self) -> int:
        return -(-self.first_open // _CLOSED)

    def held(self, item: int) -> bool:
        return item % max(self.items // _HELD, 2) == 0

    def status(self, item: int) -> Status:
        if item < self.first_open:
            return Status.DISCOVERED if self.held(item) else Status.RECORDED
        if item < self.first_open + _BATCH * self.open_batches:
            return (Status.PLANNED, Status.SENT, Status.VERIFIED, Status.PUBLISHED)[item % 4]
        return Status.REGISTERED

    def batch(self, item: int) -> int | None:
        if item < self.first_open:
            return None if self.held(item) else 1 + (item - 1) // _CLOSED
        number = (item - self.first_open) // _BATCH
        return self.closed_batches + 1 + number if number < self.open_batches else None

    def session(self, item: int) -> int:
        return 1 + (item - 1) // FILES

    def at(self, item: int) -> datetime:
        """When the item was found."""
        return self.now - timedelta(hours=1) - _YEAR * (1 - item / self.items)

    def route(self, item: int) -> tuple[str, str]:
        return routes()[self.session(item) % LABS]


def fill(engine: Engine, items: int) -> Full:
    """Write it into an empty ledger."""
    full = Full(items, datetime.now(UTC).replace(microsecond=0))
    parts = {
        tables.sessions: _sessions(full),
        tables.datasets: _datasets(full),
        tables.copies: _copies(full),
        tables.batches: _batches(full),
        tables.items: _items(full),
        tables.receipts: _receipts(full),
        tables.events: _events(full),
        **around(full.now, routes()),
    }
    with engine.connect() as connection, connection.begin():
        for table, rows in parts.items():
            filling.write(connection, table, rows)
    filling.settle(engine, parts)
    return full


def _sessions(full: Full) -> Iterator[Row]:
    for number in range(1, full.sessions + _UNSEEN + 1):
        item = min(number * FILES, full.items)
        where, seen = number % LABS, number <= full.sessions
        day = full.at(item).date()
        subject = f"{lab(where)[-2:]}_{number // LABS % SUBJECTS:03}"
        held = number % max(full.sessions // 20, 2) == 0
        yield {
            "id": number,
            "source": repository(where),
            "path": f"{subject}/{day.isoformat()}/{number:06}",
            "lab": lab(where),
            "subject": subject,
            "date": day,
            "number": number,
            "eid": UUID(int=number),
            "origin": "disk",
            "complete_at": full.at(item) if seen else None,
            "looked_at": full.at(item),
            "hold": SourceUnreadable.name if held else None,
            "hold_text": "the folder cannot be read" if held else None,
        }


def _datasets(full: Full) -> Iterator[Row]:
    for number in range(1, full.items + _TROUBLES + 1):
        trouble = number > full.items
        yield {
            "id": number,
            "session": full.session(min(number, full.items)),
            "path": f"alf/probe_{number % 2:02}/{'trouble' if trouble else 'spikes'}.times.{number}.npy",
            "dataset_uuid": UUID(int=number),
            "size": _size(number),
            "mtime_ns": number,
            "md5": f"{number:032x}",
            "hashed_at": full.at(min(number, full.items)),
            "registered_md5": f"{number:032x}",
            "registered_size": _size(number),
            "registered_at": full.at(min(number, full.items)),
            "unregistrable": f"[{UnsafeSource.code}] the file is a link" if trouble else None,
        }


def _size(item: int) -> int:
    return 1_000_000 + item % 1_000 * 40_000


def _copies(full: Full) -> Iterator[Row]:
    for number in range(1, full.items + 1):
        recorded = full.status(number) is Status.RECORDED
        for which, place in enumerate(full.route(number)):
            proved = which == 1 and recorded
            yield {
                "id": 2 * number - 1 + which,
                "dataset": number,
                "repository": place,
                "record_uuid": UUID(int=2 * number + which),
                "path": f"Subjects/{number // FILES}/{number}.npy",
                "proved_md5": f"{number:032x}" if proved else None,
                "proved_at": full.at(number) if proved else None,
                "announced": proved or which == 0,
                "condition": Condition.PRESENT if proved or which == 0 else Condition.EXPECTED,
            }


def _batches(full: Full) -> Iterator[Row]:
    for number in range(1, full.closed_batches + full.open_batches + 1):
        moves = number > full.closed_batches
        files = _BATCH if moves else _CLOSED
        first = min(number * _CLOSED, full.items)
        leased = moves and number % 5 == 0
        source, target = full.route(first)
        yield {
            "id": number,
            "source": source,
            "target": target,
            "transport": "sftp",
            "files": files,
            "bytes": files * 20_000_000,
            "bytes_moved": files * (8_000_000 if moves else 20_000_000),
            "open": 1 if moves else None,
            "lease_token": f"{number:08x}" if leased else None,
            "lease_holder": "rig-1:100" if leased else None,
            "lease_until": full.now + timedelta(hours=1) if leased else None,
        }


def _items(full: Full) -> Iterator[Row]:
    for number in range(1, full.items + 1):
        if number % _REPLACED == 0 and full.status(number) is Status.RECORDED:
            yield {
                **_item(full, number),
                "id": 2 * number - 1,
                "md5": f"{number:030x}ff",
                "status": Status.SUPERSEDED,
            }
        yield _item(full, number)


def _item(full: Full, number: int) -> Row:
    status, held = full.status(number), full.held(number)
    is_open = status is not Status.RECORDED
    kind = _HOLDS[number % len(_HOLDS)]
    failed = is_open and (held or number % 10 == 0)
    return {
        "id": 2 * number,
        "copy": 2 * number,
        "md5": f"{number:032x}",
        "size": _size(number),
        "status": status,
        "open": 1 if is_open else None,
        "batch": full.batch(number),
        "attempt": f"{full.batch(number) or 0:08x}",
        "partial": f".{number}.part" if status is Status.SENT else None,
        "proof": Proof.REMOTE_HASH if status in JOURNEY[4:] else None,
        "not_before": full.at(number),
        "hold": kind.name if held and is_open else None,
        "hold_text": f"the {kind.name} of file {number}" if held and is_open else None,
        "error": kind.code if failed else None,
        "error_text": f"the {kind.name} of file {number}" if failed else None,
        "since": full.at(number),
        "created_at": full.at(number),
    }


def _receipts(full: Full) -> Iterator[Row]:
    for number in range(1, full.items + 1):
        if full.status(number) is Status.RECORDED:
            yield {
                "copy": 2 * number,
                "item": 2 * number,
                "kind": "arrival",
                "md5": f"{number:032x}",
                "size": _size(number),
                "proof": Proof.REMOTE_HASH,
                "proved_at": full.at(number),
                "read_back_at": full.at(number),
                "body": f'{{"file": {number}, "md5": "{number:032x}", "proof": "remote hash"}}',
                "sha256_of_body": f"{number:064x}",
            }


def _events(full: Full) -> Iterator[Row]:
    for number in range(1, full.items + 1):
        at, batch = full.at(number), full.batch(number)
        told = full.now - at < _TOLD
        reached = JOURNEY.index(full.status(number))
        for was, became in _MOVES[:reached] if told else _MOVES[-1:]:
            yield _event("item", 2 * number, "moved", at, was=was, became=became)
        if told and number % _CLOSED == 1 and batch:
            yield _event("batch", batch, CLAIMED, at, attempt=f"{batch:08x}")
            yield _event("batch", batch, SENDING, at, attempt=f"{batch:08x}")
        if told and number % FILES == 1:
            yield _event("session", full.session(number), CLAIMED, at)
        if number % 5_000 == 0:
            yield _event("session", full.session(number), "released", at, actor=f"person:anne{number % 3}")


def _event(subject: str, which: int, what: str, at: datetime, **more: Any) -> Row:
    return {
        "at": at,
        "subject": subject,
        "subject_id": str(which),
        "what": what,
        "was": None,
        "became": None,
        "actor": "worker:rig-1:100",
        "attempt": None,
        **more,
    }
