"""The ledger's schema and its migrations.

A ledger that this program has not made is refused: guessing at rows that promise where files are would be worse than
stopping.  So is one that a newer version has changed, except where that version only added to it: `schema_floor` names
the oldest schema whose programs may still work there.  A migration that takes away or changes what older programs use
moves the floor up; one that adds leaves it, so that a fleet can be upgraded one machine after the other.
"""

from collections.abc import Callable
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import DBAPIError
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

from transfer.errors import LedgerSchema
from transfer.ledger.engine import shown
from transfer.ledger.tables import metadata

_MIGRATIONS = Path(__file__).parent / "migrations"
_DEADLOCK = "40P01"  # PostgreSQL, appendix A: deadlock_detected
_PATIENCE = 60  # seconds, as for every transaction of the ledger
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
    """Bring the ledger to `head`; safe when several processes do it at once, and while others work on it.

    A newer ledger is left as it is where its floor says that this program may work on it.  Raises `LedgerSchema`.
    """
    if _current(engine) != head():
        in_one(engine, _upgrade)


def _upgrade(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
    _refuse_strangers(connection)
    if _revision(connection) in (None, *_known()):
        command.upgrade(_config(connection), "head")


def in_one(engine: Engine, change: Callable[[Connection], None]) -> None:
    """Change the schema in one transaction, begun anew where it and the work of others waited for each other.

    A change locks whole tables, one after the other, while workers go on in an order of their own: PostgreSQL ends
    one of the two, and it may be this one.
    """
    for attempt in Retrying(
        retry=retry_if_exception(_waited_for_each_other),
        stop=stop_after_delay(_PATIENCE),
        wait=wait_random_exponential(max=5),
        reraise=True,
    ):
        with attempt, engine.begin() as connection:
            change(connection)


def _waited_for_each_other(error: BaseException) -> bool:
    return isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) == _DEADLOCK


def check(engine: Engine) -> None:
    """Raise `LedgerSchema` unless the ledger stands at `head`, or at a newer schema that this program may work with."""
    with engine.connect().execution_options(sqlite_begin="DEFERRED") as connection:
        revision = _revision(connection)
        if revision != head() and not _is_newer_and_fits(connection, revision):
            raise LedgerSchema(
                f"the ledger has schema {revision or 'none'}, this program needs {head()}",
                to=shown(engine.url),
            )


def _current(engine: Engine) -> str | None:
    with engine.connect().execution_options(sqlite_begin="DEFERRED") as connection:
        return _revision(connection)


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _known() -> set[str]:
    """Every schema this program has ever made."""
    return {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}


def _is_newer_and_fits(connection: Connection, revision: str | None) -> bool:
    if revision is None or revision in _known() or not inspect(connection).has_table("schema_floor"):
        return False
    return connection.scalar(text("SELECT revision FROM schema_floor")) in _known()


def _refuse_strangers(connection: Connection) -> None:
    where = shown(connection.engine.url)
    revision = _revision(connection)
    if revision is not None and revision not in _known() and not _is_newer_and_fits(connection, revision):
        raise LedgerSchema(f"a newer alyx-transfer made this ledger (schema {revision})", to=where)
    taken = sorted(metadata.tables.keys() & set(inspect(connection).get_table_names()))
    if revision is None and taken:
        raise LedgerSchema(
            f"this database holds tables that are not a ledger's ({', '.join(taken)})", to=where
        )
