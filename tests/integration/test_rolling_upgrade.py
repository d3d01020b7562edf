"""A fleet upgraded one machine after the other: a newer program changes the schema while older workers work on."""

import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, text

from tests.integration.lab import Place, Program, place, programs, until
from transfer.errors import LedgerSchema
from transfer.ledger import open_ledger, schema
from transfer.ledger.engine import open_engine

Start = Callable[..., Program]

ADDS = """
import sqlalchemy as sa
from alembic import op
revision, down_revision, branch_labels, depends_on = "9999", "{head}", None, None


def upgrade():
    op.create_table("novelties", sa.Column("id", sa.Integer, primary_key=True))
    op.add_column("items", sa.Column("novelty", sa.String(20)))
    op.add_column("batches", sa.Column("novelty", sa.Integer, server_default="0", nullable=False))
    op.create_index("ix_items_novelty", "items", ["novelty"])
"""
"""A later version's migration that only adds."""

BREAKS = (
    ADDS
    + """    op.execute("UPDATE schema_floor SET revision = '9999'")
"""
)
"""One after which older programs must not write any more, and says so."""


def upgraded(engine: Engine, folder: Path, words: str) -> None:
    """Do to the ledger what a later version's start does."""
    migrations = folder / "migrations"
    shutil.copytree(Path(schema.__file__).parent / "migrations", migrations)
    (migrations / "versions" / "9999_later.py").write_text(words.replace("{head}", schema.head()))
    config = Config()
    config.set_main_option("script_location", str(migrations))

    def change(connection: Connection) -> None:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")

    schema.in_one(engine, change)


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def engine(ledger_url: str) -> Iterator[Engine]:
    made = open_engine(ledger_url)
    yield made
    made.dispose()


@pytest.fixture
def start() -> Iterator[Start]:
    with programs() as made:
        yield made


@pytest.fixture
def lab(tmp_path: Path, postgres_url: str, redis_url: str) -> Iterator[Place]:
    with place(tmp_path, broker=redis_url, ledger_url=postgres_url) as made:
        made.furnish(sessions=3, files=8)
        yield made


def test_work_in_flight_goes_on_across_a_migration(lab: Place, start: Start, tmp_path: Path) -> None:
    """A worker is in the middle of telling Alyx when a later version adds to the schema; it finishes, and an older
    worker that starts afterwards works beside it."""
    config = lab.write_config()
    lab.alyx.faults.add("PATCH", "/files/", times=1_000_000, status=503)
    first = start(config, "worker", "--embedded-beat")
    until(lambda: lab.alyx.requests.count("PATCH", "/files/<id>"), "the worker tells Alyx of a file")

    later = open_engine(lab.ledger_url)
    upgraded(later, tmp_path / "later", ADDS)
    lab.alyx.faults.clear()
    second = start(config, "worker")
    until(lab.done, "every file has its receipt")
    ends = [first.stop(), second.stop()]
    later.dispose()

    assert ends == [0, 0], (first.said, second.said)
    assert lab.outcome() == lab.calm()
    assert "E-4003" not in first.said + second.said
    assert lab.number("SELECT count(*) FROM items WHERE novelty IS NULL") > 0, "the schema is the later one"


def test_an_older_program_works_on_a_ledger_that_a_newer_one_only_added_to(
    ledger_url: str, engine: Engine, tmp_path: Path
) -> None:
    """It neither changes the schema nor refuses it."""
    open_ledger(ledger_url).engine.dispose()
    upgraded(engine, tmp_path, ADDS)

    again = open_ledger(ledger_url)
    schema.check(again.engine)
    assert again.identity()[1] >= 1
    again.engine.dispose()
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT version_num FROM alembic_version")) == "9999"


def test_an_older_program_refuses_a_ledger_that_a_newer_one_changed(
    ledger_url: str, engine: Engine, tmp_path: Path
) -> None:
    open_ledger(ledger_url).engine.dispose()
    upgraded(engine, tmp_path, BREAKS)

    with pytest.raises(LedgerSchema, match=r"a newer alyx-transfer made this ledger \(schema 9999\)"):
        open_ledger(ledger_url)
    with pytest.raises(LedgerSchema, match="this program needs"):
        schema.check(engine)


def test_a_migration_and_a_worker_that_wait_for_each_other_are_both_done(postgres_url: str) -> None:
    """PostgreSQL ends one of the two; where it is the migration, that is begun anew."""
    engine = open_engine(postgres_url)
    schema.migrate(engine)
    begun: list[int] = []
    waits = threading.Event()

    def change(connection: Connection) -> None:
        begun.append(1)
        connection.execute(text("ALTER TABLE events ADD COLUMN novelty TEXT"))
        waits.set()
        if len(begun) == 1:
            until(lambda: _waiting(engine), "the worker waits for the migration")
        connection.execute(text("ALTER TABLE items ADD COLUMN novelty TEXT"))

    def work() -> None:
        with engine.begin() as connection:
            connection.execute(
                text("SET LOCAL deadlock_timeout = '10min'")
            )  # so that it is not the one that is ended
            connection.execute(text("LOCK TABLE items IN ROW EXCLUSIVE MODE"))
            holds.set()
            waits.wait(60)
            connection.execute(text("LOCK TABLE events IN ROW EXCLUSIVE MODE"))

    holds = threading.Event()
    with ThreadPoolExecutor(1) as other:
        worker = other.submit(work)
        holds.wait(60)
        schema.in_one(engine, change)
        worker.result(60)
    assert len(begun) == 2
    with engine.begin() as connection:
        connection.execute(text("SELECT novelty FROM items"))
    engine.dispose()


def _waiting(engine: Engine) -> bool:
    with engine.connect() as connection:
        return bool(connection.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")))
