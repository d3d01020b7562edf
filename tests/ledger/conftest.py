"""A ledger on SQLite, or on both databases where a test asks for it (`lab.on_both`)."""

import multiprocessing
import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests import servers
from tests.ledger.lab import Clock, World
from transfer.ledger import Ledger, schema
from transfer.ledger.engine import open_engine
from transfer.ledger.tables import metadata


@pytest.fixture(scope="session")
def four_processes() -> Iterator[ProcessPoolExecutor]:
    """Four processes that share nothing with us but the code, which is loaded once for all."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.ledger.lab"])
    with ProcessPoolExecutor(4, mp_context=context) as pool:
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
    """A database at head, made once: emptying it is faster than making another."""
    with servers.database(postgres_server, "migrated") as url:
        engine = open_engine(url)
        schema.migrate(engine)
        engine.dispose()
        yield url


@pytest.fixture(params=["sqlite"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A migrated, empty ledger on SQLite; `lab.on_both` runs the test on PostgreSQL as well."""
    if request.param == "sqlite":
        path = tmp_path / "ledger.db"
        shutil.copy(request.getfixturevalue("migrated_sqlite"), path)
        yield f"sqlite:///{path}"
        return
    url = request.getfixturevalue("migrated_postgres")
    import psycopg

    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(f"TRUNCATE {', '.join(metadata.tables)} RESTART IDENTITY CASCADE".encode())
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
