"""The schema: made from nothing, the same as the tables say, and refused when it is not ours."""

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta, timezone
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import Engine, inspect, text
from sqlalchemy.dialects.sqlite import dialect as sqlite_dialect

from tests.ledger.lab import NOON, on_both, who_is_it
from transfer.errors import LedgerSchema, LedgerUnavailable
from transfer.ledger import open_ledger, schema
from transfer.ledger.engine import open_engine
from transfer.ledger.tables import Instant, metadata


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database with nothing in it."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgres_url"))
    return f"sqlite:///{tmp_path / 'new' / 'ledger.db'}"


@pytest.fixture
def empty(empty_url: str) -> Iterator[Engine]:
    made = open_engine(empty_url)
    yield made
    made.dispose()


def test_an_empty_database_becomes_a_ledger(empty: Engine) -> None:
    # Given nothing, the check refuses
    with pytest.raises(LedgerSchema, match=r"has schema none, this program needs 0006"):
        schema.check(empty)
    # When it is migrated, twice
    schema.migrate(empty)
    schema.migrate(empty)
    # Then the check passes and every table is there
    schema.check(empty)
    assert metadata.tables.keys() <= set(inspect(empty).get_table_names())


@on_both
def test_the_migrations_make_exactly_the_tables_that_are_declared(engine: Engine) -> None:
    """`alembic check` finds no difference in tables, columns, types, uniqueness and indexes."""
    with engine.begin() as connection:
        command.check(schema._config(connection))


@on_both
def test_the_partial_indexes_have_the_conditions_that_are_declared(engine: Engine) -> None:
    """Alembic does not compare the conditions of partial indexes, so we do."""
    with engine.begin() as connection:
        for table in metadata.tables.values():
            options = engine.dialect.name + "_where"
            declared = {
                str(index.name): str(index.dialect_options[engine.dialect.name]["where"])
                for index in table.indexes
                if index.dialect_options[engine.dialect.name]["where"] is not None
            }
            found = {
                str(index["name"]): str(index["dialect_options"][options])
                for index in inspect(connection).get_indexes(table.name)
                if options in index.get("dialect_options", {})
            }
            assert {name: _bare(where) for name, where in found.items()} == {
                name: _bare(where) for name, where in declared.items()
            }


def _bare(condition: str) -> str:
    """A condition as both databases spell it: without the parentheses and casts PostgreSQL adds."""
    for noise in ("(", ")", "::text", "::character varying"):
        condition = condition.replace(noise, "")
    return condition


def test_a_ledger_of_a_newer_version_is_refused_with_a_sentence(empty: Engine) -> None:
    schema.migrate(empty)
    with empty.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        connection.execute(text("UPDATE schema_floor SET revision = '9999'"))
    with pytest.raises(
        LedgerSchema, match=r"a newer alyx-transfer made this ledger \(schema 9999\)"
    ) as refused:
        schema.migrate(empty)
    assert "Use the version of alyx-transfer that wrote this ledger" in refused.value.sentence
    with pytest.raises(LedgerSchema, match="has schema 9999"):
        schema.check(empty)


@pytest.mark.parametrize("name", sorted(metadata.tables))
def test_a_database_of_strangers_is_refused_and_left_alone(tmp_path: Path, name: str) -> None:
    """Whichever of our names a stranger uses, nothing is made beside it."""
    path = tmp_path / "strange.db"
    with sqlite3.connect(path) as strange:
        strange.execute(f"CREATE TABLE {name} (id INTEGER)")
    strange.close()
    engine = open_engine(f"sqlite:///{path}")
    with pytest.raises(LedgerSchema, match=rf"tables that are not a ledger's \({name}\)"):
        schema.migrate(engine)
    assert inspect(engine).get_table_names() == [name]
    engine.dispose()


def test_tables_with_other_names_do_not_disturb(tmp_path: Path) -> None:
    path = tmp_path / "shared.db"
    with sqlite3.connect(path) as strange:
        strange.execute("CREATE TABLE wiki (id INTEGER)")
    strange.close()
    engine = open_engine(f"sqlite:///{path}")
    schema.migrate(engine)
    schema.check(engine)
    engine.dispose()


def test_a_file_that_is_no_database_is_named_and_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database " * 1000)
    with pytest.raises(LedgerUnavailable, match=r"file is not a database\): sqlite:///.*notes\.txt"):
        open_ledger(f"sqlite:///{path}")
    assert path.read_text().startswith("not a database")


def test_four_processes_may_open_a_new_ledger_at_once(
    empty_url: str, four_processes: ProcessPoolExecutor
) -> None:
    """One makes the tables, the others wait; all of them see one ledger."""
    seen = list(four_processes.map(who_is_it, [empty_url] * 4))
    assert len(set(seen)) == 1


def test_a_moment_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="a moment without a time zone"):
        Instant().process_bind_param(NOON.replace(tzinfo=None), sqlite_dialect())


def test_moments_come_back_in_utc() -> None:
    """SQLite forgets zones and PostgreSQL answers in the server's: what is read is UTC either way."""
    kathmandu = timezone(timedelta(hours=5, minutes=45))
    for kept in (NOON.replace(tzinfo=None), NOON.astimezone(kathmandu)):
        read = Instant().process_result_value(kept, sqlite_dialect())
        assert read == NOON
        assert read.utcoffset() == timedelta(0)
