"""What may happen to our own work: an Alyx that says no and did it, a new version of the program over old rows."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import Engine, inspect, text

from tests.world import World, world
from transfer.errors import LedgerSchema
from transfer.ledger import schema
from transfer.ledger.engine import open_engine

NAME, OTHER = "alf/spikes.times.npy", "alf/spikes.amps.npy"
SESSION = "KS023/2019-12-10/001"
FILE = f"{SESSION}/{NAME}"
CONTENT = b"what the rig recorded"
TABLES = ("ledger", "endpoints", "sessions", "datasets", "batches", "copies", "items", "receipts", "events")


@pytest.fixture
def box(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


@pytest.mark.parametrize("request_of", [("POST", "/register-file"), ("PATCH", "/files/")])
def test_an_alyx_that_answers_500_and_wrote_all_the_same_leaves_one_record(
    box: World, request_of: tuple[str, str]
) -> None:
    """Read back before anything is repeated: one dataset, one central record, announced over the right bytes."""
    session = box.session()
    box.write(session, NAME, CONTENT)
    runner = box.runner()
    box.see(runner, session)
    box.alyx.faults.add(*request_of, status=500, after_work=True)
    for _ in range(4):
        box.settle(runner)
        box.clock.advance(3600)
    box.alyx.faults.assert_all_reached()
    assert box.record(FILE)["exists"]
    assert len(box.alyx.tables.datasets()) == 1
    assert box.ends() == [(NAME, "recorded")]
    assert box.lies() == []


def test_a_newer_program_takes_over_a_ledger_with_files_under_way(box: World) -> None:
    """A ledger of the first schema, with rows of every kind in it, is migrated, and what was under way arrives."""
    session = box.session()
    box.write(session, NAME, CONTENT)
    runner = box.runner()
    box.see(runner, session)
    box.settle(runner)  # one is recorded, with its receipt
    box.write(session, OTHER, CONTENT)
    box.see(runner, session)
    runner.advance_session()
    runner.plan()  # and one is under way
    runner.ledger.identity()
    before = counted(box)
    assert all(before.values()), "a kind of row is missing"
    old = as_the_first_version_had_it(box)
    with pytest.raises(LedgerSchema):
        schema.check(old)
    old.dispose()

    box.ledger_url = str(old.url)
    later = box.runner()  # opening migrates
    schema.check(later.ledger.engine)
    assert counted(box) == before
    box.settle(later)
    box._ledgers.reverse()
    assert sorted(box.ends()) == [(OTHER, "recorded"), (NAME, "recorded")]
    assert box.lies() == []


def as_the_first_version_had_it(box: World) -> Engine:
    """A second database, made by the first migration only, with all rows of this ledger."""
    old = open_engine(f"sqlite:///{box.root / 'old.sqlite'}")
    with old.begin() as connection:
        command.upgrade(schema._config(connection), "0001")
    columns = {name: [one["name"] for one in inspect(old).get_columns(name)] for name in TABLES}
    old.dispose()
    with closing(sqlite3.connect(box.root / "old.sqlite")) as both, both:
        both.execute(f"ATTACH '{box.root / 'ledger.sqlite'}' AS now")
        for name in TABLES:
            names = ", ".join(f'"{column}"' for column in columns[name])
            both.execute(f"INSERT INTO main.{name} ({names}) SELECT {names} FROM now.{name}")
    return old


def counted(box: World) -> dict[str, int]:
    """How many rows each table of the journey has."""
    engine = open_engine(box.ledger_url or f"sqlite:///{box.root / 'ledger.sqlite'}")
    with engine.connect() as connection:
        rows = {name: connection.scalar(text(f"SELECT count(*) FROM {name}")) or 0 for name in TABLES}
    engine.dispose()
    return rows
