"""The ledger's schema and its migrations.

A ledger that this program has not made, or that a newer version has, is refused: guessing at rows that
promise where files are would be worse than stopping.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, inspect, text

from transfer.errors import LedgerSchema
from transfer.ledger.engine import shown
from transfer.ledger.tables import metadata

_MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK = 0x616C7978  # "alyx": one migrator at a time on PostgreSQL


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def head() -> str:
    """The schema revision this program works with."""
    newest = ScriptDirectory.from_config(_config()).get_current_head()
    assert newest is not None
    return newest


def migrate(engine: Engine) -> None:
    """Bring the ledger to `head`; safe when several processes do it at once.  Raises `LedgerSchema`."""
    if _current(engine) == head():
        return
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
        _refuse_strangers(connection)
        command.upgrade(_config(connection), "head")


def check(engine: Engine) -> None:
    """Raise `LedgerSchema` unless the ledger stands exactly at `head`."""
    revision = _current(engine)
    if revision != head():
        raise LedgerSchema(
            f"the ledger has schema {revision or 'none'}, this program needs {head()}", to=shown(engine.url)
        )


def _current(engine: Engine) -> str | None:
    with engine.connect().execution_options(sqlite_begin="DEFERRED") as connection:
        return MigrationContext.configure(connection).get_current_revision()


def _refuse_strangers(connection: Connection) -> None:
    where = shown(connection.engine.url)
    revision = MigrationContext.configure(connection).get_current_revision()
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if revision is not None and revision not in known:
        raise LedgerSchema(f"a newer alyx-transfer made this ledger (schema {revision})", to=where)
    taken = sorted(metadata.tables.keys() & set(inspect(connection).get_table_names()))
    if revision is None and taken:
        raise LedgerSchema(
            f"this database holds tables that are not a ledger's ({', '.join(taken)})", to=where
        )
