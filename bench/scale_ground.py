"""What the scale bench stands on: a database that keeps what it is given, a full ledger, and work that is due.

The PostgreSQL is one of its own with `fsync` and everything else as an installation has it, in a temporary folder.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, func, select, update

from bench import filling
from bench.filling import Row
from bench.full_ledger import FILES, LABS, Full, fill, lab, routes
from transfer import pacing
from transfer.ledger import Ledger, open_ledger, tables
from transfer.model import Route
from transfer.pacing import MOST, Pace
from transfer.status import Condition, Status

DURABLE: dict[str, str | int] = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "autovacuum": "on",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
}


@contextmanager
def database(kind: str, folder: Path) -> Iterator[str]:
    """The URL of an empty database."""
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'ledger.db'}"
        return
    from tests import servers

    with servers.postgres(**DURABLE) as server, servers.database(server, "bench") as url:
        yield url


@dataclass(frozen=True, kw_only=True)
class Ground:
    """An open ledger of so many items."""

    url: str
    ledger: Ledger
    full: Full


@contextmanager
def ground(kind: str, folder: Path, items: int) -> Iterator[Ground]:
    """A ledger of a fleet after a year, in which no place is paused, failing or slow to trust."""
    folder.mkdir(parents=True, exist_ok=True)
    with database(kind, folder) as url:
        ledger = open_ledger(url)
        try:
            full = fill(ledger.engine, items)
            _open_gates(ledger.engine)
            yield Ground(url=url, ledger=ledger, full=full)
        finally:
            ledger.engine.dispose()


def _open_gates(engine: Engine) -> None:
    """Every place may be used, by as many batches at once as one ever may."""
    everything = {
        "breaker": "closed",
        "failures": 0,
        "retry_at": None,
        "paused_by": None,
        "pace": pacing.as_json(Pace(at_once=MOST)),
    }
    with engine.begin() as connection:
        connection.execute(update(tables.endpoints).values(**everything))


def all_routes() -> list[Route]:
    """One for each lab."""
    return [Route(source=source, target=target, transport="sftp") for source, target in routes()]


def register(ground: Ground, files: int) -> None:
    """Write so many files of new sessions that are registered and due, shared out over the labs."""
    engine = ground.ledger.engine
    with engine.connect() as connection, connection.begin():
        first = {
            table: 1 + (connection.scalar(select(func.max(table.c.id))) or 0)
            for table in (tables.sessions, tables.datasets, tables.copies, tables.items)
        }
        made = _Made(full=ground.full, files=files, first=first)
        parts = {
            tables.sessions: made.sessions(),
            tables.datasets: made.datasets(),
            tables.copies: made.copies(),
            tables.items: made.items(),
        }
        for table, rows in parts.items():
            filling.write(connection, table, rows)
    filling.settle(engine, parts)


@dataclass(frozen=True, kw_only=True)
class _Made:
    full: Full
    files: int
    first: dict[Any, int]

    def sessions(self) -> Iterator[Row]:
        day = self.full.now.date()
        for number in range(-(-self.files // FILES)):
            name = lab(number % LABS)
            key = self.first[tables.sessions] + number
            yield {
                "id": key,
                "source": routes()[number % LABS][0],
                "path": f"new_{key:07}/{day.isoformat()}/001",
                "lab": name,
                "subject": f"new_{key:07}",
                "date": day,
                "number": 1,
                "eid": UUID(int=10**9 + key),
                "origin": "disk",
                "complete_at": self.full.now,
            }

    def datasets(self) -> Iterator[Row]:
        for number in range(self.files):
            key = self.first[tables.datasets] + number
            yield {
                "id": key,
                "session": self.first[tables.sessions] + number // FILES,
                "path": f"alf/probe00/spikes.times.{number % FILES}.npy",
                "dataset_uuid": UUID(int=10**9 + key),
                "size": 1_000_000,
                "mtime_ns": number,
                "md5": f"{key:032x}",
                "registered_md5": f"{key:032x}",
            }

    def copies(self) -> Iterator[Row]:
        for number in range(self.files):
            key = self.first[tables.copies] + number
            yield {
                "id": key,
                "dataset": self.first[tables.datasets] + number,
                "repository": routes()[number // FILES % LABS][1],
                "record_uuid": UUID(int=10**10 + key),
                "condition": Condition.EXPECTED,
            }

    def items(self) -> Iterator[Row]:
        due = self.full.now - timedelta(minutes=1)
        for number in range(self.files):
            yield {
                "id": self.first[tables.items] + number,
                "copy": self.first[tables.copies] + number,
                "md5": f"{self.first[tables.datasets] + number:032x}",
                "size": 1_000_000,
                "status": Status.REGISTERED,
                "open": 1,
                "not_before": due,
                "since": due,
                "created_at": due,
            }
