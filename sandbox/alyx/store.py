"""The sandbox's tables: plain dicts in memory, each row written through to SQLite when a file is given.

It promises what PostgreSQL gave the real server and no more: rows come in heap order, and a row that is
saved moves to the end of it, so pages shift while anything writes. There are no transactions and no row
locks: a caller that reads, waits and saves a whole row overwrites what others wrote meanwhile.

`lock` guards one uninterrupted stretch of work, never the gap between a read and a write.
"""

import json
import sqlite3
import threading
import uuid
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

from sandbox.alyx.model import MODELS, Kind, Row

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS rows (tbl TEXT, id TEXT, pos INTEGER, body TEXT, PRIMARY KEY (tbl, id));"
    "CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, body TEXT);"
)

_FACTS = ("secrets", "session_users_drawn", "repository_order")


def new_id() -> str:
    """A random row id, as Django draws them."""
    return str(uuid.uuid4())


class Store:
    """All tables. Use `lock` around every stretch of reads and writes that must not be interrupted."""

    def __init__(self, path: Path | None = None) -> None:
        """Open the tables; `path` is a SQLite file that is read now and written at every `commit`."""
        self.lock = threading.RLock()
        self.ahead = timedelta()
        self._last = datetime.min
        self.tables: dict[str, dict[str, Row]] = {name: {} for name in MODELS}
        self.places: dict[str, dict[str, int]] = {name: {} for name in MODELS}
        self.secrets: dict[str, Row] = {}
        self.session_users_drawn = 0
        self.repository_order: list[str] = []
        self._counter = 0
        self._index: dict[str, dict[str, dict[str | None, dict[str, None]]]] = {
            name: {field: {} for field in model.indexed} for name, model in MODELS.items()
        }
        self._named: dict[tuple[str | None, str], dict[str, None]] = {}
        self._paths: dict[tuple[str, str], str] = {}
        self._dirty: dict[tuple[str, str], None] = {}
        self._file: sqlite3.Connection | None = None
        self._written: dict[str, str] = {}
        if path is not None:
            self._open(path)

    def _open(self, path: Path) -> None:
        self._file = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._file.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;" + _SCHEMA)
        for table, body in self._file.execute("SELECT tbl, body FROM rows ORDER BY pos"):
            self.insert(table, json.loads(body))
        for name, body in self._file.execute("SELECT name, body FROM facts"):
            setattr(self, name, json.loads(body))
        self._dirty.clear()

    def empty(self) -> bool:
        """Whether nothing was ever stored."""
        return not any(self.tables.values())

    def close(self) -> None:
        """Write what is left and close the file."""
        self.commit()
        with self.lock:
            if self._file is not None:
                self._file.close()
                self._file = None

    def commit(self) -> None:
        """Write the rows touched since the last commit to the file."""
        with self.lock:
            dirty, self._dirty = list(self._dirty), {}
            if self._file is None:
                return
            facts = {name: json.dumps(getattr(self, name)) for name in _FACTS}
            if not dirty and facts == self._written:
                return
            self._file.execute("BEGIN")
            for table, key in dirty:
                self._write(self._file, table, key)
            self._file.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", facts.items())
            self._file.execute("COMMIT")
            self._written = facts

    def _write(self, file: sqlite3.Connection, table: str, key: str) -> None:
        row = self.tables[table].get(key)
        if row is None:
            file.execute("DELETE FROM rows WHERE tbl = ? AND id = ?", (table, key))
        else:
            values = (table, key, self.places[table][key], json.dumps(row))
            file.execute("INSERT OR REPLACE INTO rows VALUES (?, ?, ?, ?)", values)

    def now(self) -> str:
        """Now as Alyx writes it: naive local time with microseconds (plus `ahead`), never the same twice."""
        self._last = max(datetime.now() + self.ahead, self._last + timedelta(microseconds=1))
        return self._last.isoformat(timespec="microseconds")

    # Reading ------------------------------------------------------------------

    def get(self, table: str, key: str | None) -> Row | None:
        """The row with that id, or None."""
        return self.tables[table].get(key) if key is not None else None

    def one(self, table: str, field: str, value: object) -> Row | None:
        """The first row whose `field` equals `value`, or None."""
        return next((row for row in self.tables[table].values() if row.get(field) == value), None)

    def pointing(self, table: str, field: str, key: str | None) -> Iterable[str]:
        """Ids of the rows of `table` whose foreign key `field` is `key`, in the order they were made."""
        index = self._index[table].get(field)
        if index is not None:
            return index.get(key, ())
        return [i for i, row in self.tables[table].items() if row.get(field) == key]

    def named(self, session: str | None, name: str) -> Iterator[Row]:
        """The datasets of a session (None: of no session) with that file name."""
        for key in list(self._named.get((session, name), ())):
            yield self.tables["datasets"][key]

    def file_at(self, repository: str, path: str) -> Row | None:
        """The file record that owns this path of this repository."""
        return self.get("files", self._paths.get((repository, path)))

    def in_order(self, table: str, keys: Iterable[str]) -> list[str]:
        """These ids in heap order."""
        return sorted(keys, key=self.places[table].__getitem__)

    # Writing ------------------------------------------------------------------

    def insert(self, table: str, row: Row) -> Row:
        """Add a row; it gets an id if it has none."""
        row.setdefault("id", new_id())
        self.tables[table][row["id"]] = row
        self._touch(table, row["id"])
        self._point(table, row)
        return row

    def save(self, table: str, row: Row) -> Row:
        """Write a whole row over the stored one, whatever that holds by now; it moves to the heap's end."""
        key = row["id"]
        old = self.tables[table].pop(key, None)
        if old is not None:
            self._unpoint(table, old, row)
        self.tables[table][key] = row
        self._touch(table, key)
        self._point(table, row)
        return row

    def delete(self, table: str, key: str) -> None:
        """Remove a row and, as Django's cascade does, the rows that point at it."""
        row = self.tables[table].pop(key, None)
        if row is None:
            return
        self.places[table].pop(key)
        self._dirty[table, key] = None
        self._unpoint(table, row, None)
        for other, model in MODELS.items():
            for name, field in model.fields.items():
                if field.to != table:
                    continue
                if field.kind is Kind.FK:
                    for child in list(self.pointing(other, name, key)):
                        self.delete(other, child)
                elif field.kind is Kind.MANY:
                    for child_row in self.tables[other].values():
                        if key in child_row.get(name, ()):
                            child_row[name] = [k for k in child_row[name] if k != key]
                            self._dirty[other, child_row["id"]] = None

    def _touch(self, table: str, key: str) -> None:
        self._counter += 1
        self.places[table][key] = self._counter
        self._dirty[table, key] = None

    def _point(self, table: str, row: Row) -> None:
        key = row["id"]
        for field, index in self._index[table].items():
            index.setdefault(row.get(field), {})[key] = None
        if table == "datasets":
            self._named.setdefault((row["session"], row["name"]), {})[key] = None
        elif table == "files":
            self._paths[row["data_repository"], row["relative_path"]] = key

    def _unpoint(self, table: str, old: Row, new: Row | None) -> None:
        """Forget where `old` was found, except where `new` keeps the same place."""
        key = old["id"]
        for field, index in self._index[table].items():
            if new is None or new.get(field) != old.get(field):
                index.get(old.get(field), {}).pop(key, None)
        if table == "datasets":
            place = (old["session"], old["name"])
            if new is None or (new["session"], new["name"]) != place:
                self._named.get(place, {}).pop(key, None)
        elif table == "files":
            self._paths.pop((old["data_repository"], old["relative_path"]), None)
