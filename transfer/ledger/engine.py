"""Opening the ledger's database: SQLite for one machine, PostgreSQL for a fleet, the same code.

SQLite runs in WAL mode with `synchronous=FULL`, because a power cut must not take back committed
intent, and every writing transaction begins IMMEDIATE, so that it waits for the write lock at its start
instead of failing at its end.
"""

import contextlib
import os
import re
import shutil
import sqlite3
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, Table, create_engine, event, make_url, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
)
from sqlalchemy.exc import TimeoutError as NoConnectionFree

from transfer.errors import LedgerDiskFull, LedgerRefused, LedgerUnavailable, TransferError

Clock = Callable[[], datetime]

_SQLITE_PRAGMAS = ("busy_timeout=30000", "synchronous=FULL", "foreign_keys=ON")
_WAL_PATIENCE = 30.0  # seconds
_CONNECTIONS = {
    "pool_size": 10,
    "max_overflow": 20,
}  # of one process: a worker's hands, or a dashboard's threads


def open_engine(url: str) -> Engine:
    """Make an engine for `url`; nothing is connected yet.

    A SQLite file and its folder are made if they are missing, for their owner only.  Raises `LedgerUnavailable`
    for a URL that names no database we know.
    """
    try:
        parsed = make_url(url)
        if "@" in (parsed.host or ""):
            raise ArgumentError("an '@' in the password is written %40")
        if parsed.get_backend_name() == "sqlite":
            if parsed.database and parsed.database != ":memory:":
                _make_private(Path(parsed.database))
            return _sqlite(url)
        if parsed.get_backend_name() == "postgresql" and parsed.get_driver_name() != "psycopg":
            raise ArgumentError(f"{parsed.get_driver_name()} is not the driver we use: write postgresql://")
        return create_engine(url, pool_pre_ping=True, **_CONNECTIONS)
    except (ArgumentError, ModuleNotFoundError, OSError, ValueError) as error:
        raise LedgerUnavailable(f"the ledger cannot be opened ({error})", to=_shown(url)) from error


def _make_private(file: Path) -> None:
    """A file that is not there yet, readable for its owner only: SQLite would ask the umask."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def _shown(url: str) -> str:
    try:
        return shown(make_url(url))
    except (ArgumentError, ValueError):  # ValueError: the port is no number
        return "ledger.url"


def shown(url: URL) -> str:
    """The URL as messages may show it: no password, wherever in it one may be written."""
    host = url.host.rpartition("@")[2] if url.host else None
    return url.set(host=host, query={}).render_as_string(hide_password=True)


def _sqlite(url: str) -> Engine:
    engine = create_engine(url, connect_args={"check_same_thread": False}, **_sqlite_pool(url))

    @event.listens_for(engine, "connect")
    def prepare(dbapi: Any, _record: Any) -> None:
        dbapi.isolation_level = None  # we emit BEGIN ourselves
        for pragma in _SQLITE_PRAGMAS:
            dbapi.execute(f"PRAGMA {pragma}")
        _enter_wal(dbapi)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        mode = connection.get_execution_options().get("sqlite_begin", "IMMEDIATE")
        connection.exec_driver_sql(f"BEGIN {mode}")

    return engine


def _sqlite_pool(url: str) -> dict[str, int]:
    """A file's connections are pooled like a server's; a database in memory is one connection for each thread."""
    in_memory = (make_url(url).database or ":memory:") == ":memory:"
    return {} if in_memory else _CONNECTIONS


def _enter_wal(dbapi: Any) -> None:
    """Switch the file to WAL; only a new file's first connections have anything to do.

    SQLite does not wait by its busy_timeout for this one statement: of several processes that open a new
    file at once it refuses some with "database is locked" immediately, so we wait ourselves.
    """
    give_up = time.monotonic() + _WAL_PATIENCE
    while True:
        try:
            dbapi.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() >= give_up:
                raise
            time.sleep(0.02)
        else:
            return


def database_now(connection: Connection) -> datetime:
    """The database's clock: leases of many machines must not depend on their own clocks."""
    if connection.dialect.name == "sqlite":
        return datetime.now(UTC)  # SQLite has no clock of its own: it runs in this process
    moment: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    return moment.astimezone(UTC)  # the server answers in its own zone, which may be off by half an hour


def insert_into(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """An insert that can say what to do when the row is there already: two processes may make it at once."""
    if connection.dialect.name == "sqlite":
        return sqlite.insert(table)
    return postgresql.insert(table)


DEFECTS = (IntegrityError, DataError, ProgrammingError, NotSupportedError)
"""Database errors that no waiting cures: rows or statements of ours are wrong.  They fly as they are."""


_FULL = frozenset({"SQLITE_FULL", "SQLITE_IOERR_SHMSIZE", "53100"})


def unavailable(error: DBAPIError | NoConnectionFree, engine: Engine) -> TransferError:
    """Translate a database failure once, at the edge."""
    if isinstance(error, NoConnectionFree):
        return LedgerUnavailable(
            "all connections of this process to the ledger were busy for too long", to=shown(engine.url)
        )
    if _is_full(error):
        return LedgerDiskFull("the disk with the ledger is full", to=shown(engine.url))
    if _is_refused(error):
        return LedgerRefused(f"the ledger's database refuses us ({error.orig})", to=shown(engine.url))
    return LedgerUnavailable(
        f"the ledger's database failed ({type(error.orig).__name__}: {error.orig})",
        to=shown(engine.url),
    )


def _is_full(error: DBAPIError) -> bool:
    names = {getattr(error.orig, "sqlite_errorname", None), getattr(error.orig, "sqlstate", None)}
    return bool(names & _FULL)


_REFUSED = re.compile(
    r"password authentication failed|no password supplied|no pg_hba\.conf entry"
    r'|(?:role|database) ".*" does not exist|not permitted to log in'
)
"""What PostgreSQL says to those it does not let in: a connection that fails carries no code, only words."""


def _is_refused(error: DBAPIError) -> bool:
    return bool(_REFUSED.search(str(error.orig)))


def passes(error: BaseException) -> bool:
    """Whether the same transaction, begun anew, may succeed soon: a lost connection, a lock, a deadlock.

    A full disk is no such thing, nor a refused login: nothing but space helps, or a person.
    """
    return (
        isinstance(error, DBAPIError)
        and not isinstance(error, DEFECTS)
        and (isinstance(error, (OperationalError, InterfaceError)) or error.connection_invalidated)
        and not _is_full(error)
        and not _is_refused(error)
    )


def free_bytes(engine: Engine) -> int | None:
    """What is free on the disk with the ledger's file; None where the database is a server's affair."""
    if engine.dialect.name != "sqlite" or not engine.url.database or engine.url.database == ":memory:":
        return None
    return shutil.disk_usage(Path(engine.url.database).parent).free


__all__ = [
    "DEFECTS",
    "Clock",
    "DBAPIError",
    "NoConnectionFree",
    "OperationalError",
    "database_now",
    "free_bytes",
    "insert_into",
    "open_engine",
    "passes",
    "shown",
    "unavailable",
]
