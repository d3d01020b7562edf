"""Opening the database: what a power cut may take back, who waits for whom, and what a message may show."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, insert, text
from sqlalchemy.exc import IntegrityError

from cli.failures import Exit, exit_code
from tests.ledger.lab import NOON, World, on_both
from transfer.errors import LedgerRefused, LedgerUnavailable
from transfer.ledger import Ledger, open_ledger
from transfer.ledger.engine import database_now, open_engine
from transfer.ledger.tables import hours, sessions

SECRET = "correct-horse"


@pytest.mark.parametrize(
    ("pragma", "value"),
    [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1), ("busy_timeout", 30000)],
)
def test_every_sqlite_connection_is_durable_and_strict(engine: Engine, pragma: str, value: object) -> None:
    """synchronous 2 is FULL: a power cut must not take back what was committed."""
    for _ in range(2):
        with engine.connect() as connection:
            assert connection.exec_driver_sql(f"PRAGMA {pragma}").scalar() == value
        engine.dispose()


def test_a_write_takes_the_lock_at_its_start(engine: Engine, ledger: Ledger) -> None:
    """BEGIN IMMEDIATE: while one transaction is open, before it has written, no other may begin to write."""
    with ledger.writing(), closing(sqlite3.connect(str(engine.url.database), timeout=0)) as other:
        other.isolation_level = None
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")


def test_a_reader_waits_for_nobody(ledger: Ledger) -> None:
    with ledger.writing() as connection, ledger.reading() as reader:
        connection.execute(insert(hours).values(_hour()))
        assert reader.execute(text("SELECT count(*) FROM hours")).scalar() == 0


def _hour() -> dict[str, object]:
    return {"hour": NOON, "source": "a", "target": "b", "outcome": "c", "files": 1, "bytes": 1, "seconds": 1}


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "ledger.url"),
        ("ledger.db", "ledger.url"),
        (f"post gres:{SECRET}", "ledger.url"),
        (f"oracle+nothing://alyx:{SECRET}@db/ledger", r"oracle\+nothing://alyx:\*\*\*@db/ledger"),
        (f"nosuch://alyx:{SECRET}@db/ledger", r"nosuch://alyx:\*\*\*@db/ledger"),
        (f"postgresql+psycopg2://alyx:{SECRET}@db/ledger", r"psycopg2"),
        (f"postgresql://alyx:{SECRET}@db:port/ledger", "ledger.url"),
        (f"postgresql://alyx:a@{SECRET}@db/ledger", "an '@' in the password is written %40"),
        ("sqlite:////proc/no/such/ledger.db", "/proc/no/such"),
    ],
)
def test_a_url_of_no_database_is_refused_without_its_secret(url: str, says: str) -> None:
    with pytest.raises(LedgerUnavailable, match=says) as refused:
        open_engine(url)
    assert SECRET not in refused.value.sentence
    assert "Check the ledger's database" in refused.value.sentence


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://alyx:{SECRET}@127.0.0.1:1/ledger",
        f"postgresql://127.0.0.1:1/ledger?user=alyx&password={SECRET}",
    ],
)
def test_a_database_that_is_away_is_named_without_its_secret(url: str) -> None:
    with pytest.raises(LedgerUnavailable, match=r"postgresql://.*127\.0\.0\.1:1/ledger") as away:
        open_ledger(url)
    assert SECRET not in away.value.sentence


def test_a_wrong_password_is_not_repeated_to_the_reader(postgres_url: str) -> None:
    url = postgres_url.replace("postgres@", f"nobody:{SECRET}@")
    with pytest.raises(LedgerRefused, match='role "nobody" does not exist') as refused:
        open_ledger(url)
    assert SECRET not in refused.value.sentence
    assert exit_code(refused.value) == Exit.LOGIN, "a service manager must not try it every half minute"


def test_a_folder_for_the_file_is_made(tmp_path: Path) -> None:
    ledger = open_ledger(f"sqlite:///{tmp_path / 'not' / 'there' / 'ledger.db'}")
    ledger.identity()
    ledger.engine.dispose()
    assert (tmp_path / "not" / "there" / "ledger.db").is_file()


@on_both
def test_a_row_that_breaks_a_rule_is_a_defect_not_an_outage(ledger: Ledger) -> None:
    """Waiting cannot cure it, so it must not look like a database that is away."""
    with pytest.raises(IntegrityError), ledger.writing() as connection:
        connection.execute(insert(sessions).values(source="rig_7", path="a"))


def test_a_database_that_goes_away_while_we_work_is_an_outage(ledger: Ledger) -> None:
    with pytest.raises(LedgerUnavailable, match="no such table"), ledger.writing() as connection:
        connection.execute(text("SELECT * FROM gone"))


@pytest.fixture
def half_hour_server(postgres_url: str) -> Iterator[Engine]:
    """A PostgreSQL whose clock is set to a zone half an hour off."""
    made = open_engine(f"{postgres_url}?options=-c%20TimeZone%3DAsia/Kolkata")
    yield made
    made.dispose()


def test_the_servers_zone_does_not_move_our_hours(half_hour_server: Engine) -> None:
    """Moments are UTC from the moment they are read: an hour's sum begins at a full hour of UTC."""
    with half_hour_server.connect() as connection:
        assert connection.execute(text("SHOW TimeZone")).scalar() == "Asia/Kolkata"
        assert database_now(connection).utcoffset() == timedelta(0)


@on_both
def test_the_database_tells_the_time(engine: Engine) -> None:
    with engine.connect() as connection:
        first, second = database_now(connection), database_now(connection)
    assert first <= second
    assert first.tzinfo is UTC


@on_both
def test_writers_on_many_threads_wait_for_each_other(world: World) -> None:
    ledger = world.ledger
    ledger.identity()
    troubles: list[BaseException] = []

    def write(name: str) -> None:
        try:
            for n in range(5):
                ledger.set_watermark(name, str(n))
        except BaseException as error:
            troubles.append(error)

    threads = [threading.Thread(target=write, args=(f"mark {n}",)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert troubles == []
    assert [ledger.watermark(f"mark {n}") for n in range(6)] == ["4"] * 6


def test_more_hands_than_connections_wait_and_then_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that asks for one connection more than it may have is told so as of a ledger that is away."""
    monkeypatch.setattr(
        "transfer.ledger.engine._CONNECTIONS", {"pool_size": 1, "max_overflow": 0, "pool_timeout": 0.05}
    )
    ledger = open_ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    with ledger.reading(), pytest.raises(LedgerUnavailable, match="all connections of this process"):
        ledger.moment()
    ledger.moment()
    ledger.engine.dispose()
