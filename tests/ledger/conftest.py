"""A ledger on SQLite, or on both databases where a test asks for it (`lab.on_both`)."""

import multiprocessing
import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests import servers
from tests.ledger.lab import Clock, World
from transfer.ledger import Ledger, schema
from transfer.ledger.engine import open_engine

_numbers = count(1)


@pytest.fixture(scope="session")
def four_processes() -> Iterator[ProcessPoolExecutor]:
    """Four processes that share nothing with us but the code; started once, because that takes seconds."""
    with ProcessPoolExecutor(4, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ledger") / "migrated.db"
    engine = open_engine(f"sqlite:///{path}")
    schema.migrate(engine)
    with engine.connect() as connection:
        connection.exec_driver_sql("ROLLBACK")
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.exec_driver_sql("BEGIN")
    engine.dispose()
    return path


@pytest.fixture(scope="session")
def migrated_postgres(postgres_server: str) -> Iterator[str]:
    """The name of a database at head, to be copied."""
    with servers.database(postgres_server, "migrated") as url:
        engine = open_engine(url)
        schema.migrate(engine)
        engine.dispose()
        yield "migrated"


@pytest.fixture(params=["sqlite"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A migrated, empty ledger; `on_both` runs the test on PostgreSQL as well."""
    if request.param == "sqlite":
        path = tmp_path / "ledger.db"
        shutil.copy(request.getfixturevalue("migrated_sqlite"), path)
        yield f"sqlite:///{path}"
        return
    server = request.getfixturevalue("postgres_server")
    template = request.getfixturevalue("migrated_postgres")
    with servers.database(server, f"ledger{next(_numbers)}", template=template) as url:
        yield url


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    made = open_engine(database_url)
    yield made
    made.dispose()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(engine: Engine, clock: Clock) -> Ledger:
    return Ledger(engine, actor="worker:test", clock=clock, monotonic=clock.monotonic)


@pytest.fixture
def world(ledger: Ledger, clock: Clock) -> World:
    return World(ledger, clock)
