"""A backup of a running ledger, restored: refused until `recover`, then everything goes on and nothing is sent twice.

The commands are those of docs/operating.md.
"""

import os
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.exc import OperationalError, ProgrammingError

from tests import servers
from tests.integration.lab import Place, Program, place, programs, until

Start = Callable[..., Program]


@pytest.fixture
def start() -> Iterator[Start]:
    with programs() as made:
        yield made


@pytest.fixture(params=["sqlite", "postgresql"])
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    url = "" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    with place(tmp_path, ledger_url=url) as made:
        made.furnish(sessions=2, files=4)
        yield made


def backed_up(lab: Place, to: Path) -> None:
    """Back the ledger up while a worker runs."""
    if not lab.ledger_url:
        with sqlite3.connect(lab.root / "ledger.sqlite") as live, sqlite3.connect(to) as copy:
            live.backup(copy)
        live.close()
        copy.close()
        return
    _postgres_program("pg_dump", "--format=custom", f"--file={to}", lab.ledger_url)


def restored(lab: Place, backup: Path) -> None:
    """Put the backup where the ledger was; no worker runs."""
    if not lab.ledger_url:
        for name in ("ledger.sqlite-wal", "ledger.sqlite-shm"):
            (lab.root / name).unlink(missing_ok=True)
        (lab.root / "ledger.sqlite").write_bytes(backup.read_bytes())
        return
    with psycopg.connect(lab.ledger_url, autocommit=True) as database:
        database.execute("DROP SCHEMA public CASCADE")
        database.execute("CREATE SCHEMA public")
    _postgres_program("pg_restore", "--no-owner", f"--dbname={lab.ledger_url}", str(backup))


def _postgres_program(name: str, *words: str) -> None:
    newest = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    places = [str(path) for path in reversed(newest)]
    program = servers.need(name, *places, install="apt-get install postgresql")
    subprocess.run([program, *words], check=True, env={**os.environ, "PGPASSWORD": ""})


def _arrived(lab: Place) -> int:
    """How many files have their receipt; none while there is no ledger yet."""
    try:
        return lab.arrived()
    except (OperationalError, ProgrammingError):
        return 0


def test_a_restored_ledger_is_refused_with_the_remedy_and_recovers(
    lab: Place, start: Start, tmp_path: Path
) -> None:
    """Half of the files are in the backup, the others arrived after it."""
    config = lab.write_config()
    late = sorted(lab.lab_root.rglob("raw_session.flag"))[-1]
    late.unlink()
    worker = start(config, "worker", "--embedded-beat")
    until(lambda: _arrived(lab) == 4, "the first session has arrived")
    backed_up(lab, tmp_path / "backup")
    late.touch()
    until(lab.done, "the second session has arrived")
    assert worker.stop() == 0, worker.said
    mirrored = start(config, "schedule", "--run", "mirror cortexlab")
    assert mirrored.wait() == 0, mirrored.said
    places = {path: path.stat().st_ino for path in lab.store_root.rglob("*") if path.is_file()}

    restored(lab, tmp_path / "backup")
    refused = start(config, "worker", "--embedded-beat")
    assert refused.wait() != 0
    assert "E-4005" in refused.said
    assert "alyx-transfer recover" in refused.said
    assert lab.arrived() == 4, "nothing was done"

    recovered = start(config, "recover", "--why", "restored the backup of Sunday")
    assert recovered.wait() == 0, recovered.said
    again = start(config, "worker", "--embedded-beat")
    until(lab.done, "every file has its receipt again")
    assert again.stop() == 0, again.said

    assert lab.outcome() == lab.calm()
    assert lab.lies() == []
    assert {path: path.stat().st_ino for path in lab.store_root.rglob("*") if path.is_file()} == places
