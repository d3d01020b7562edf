"""Rows into tables, many at once: by COPY where the database has it."""

import json
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from sqlalchemy import JSON, Connection, Engine, Table, insert, text

Row = Mapping[str, Any]
_AT_ONCE = 20_000


def write(connection: Connection, table: Table, rows: Iterable[Row]) -> None:
    """Write rows that all have the same columns."""
    found = iter(rows)
    if connection.dialect.name == "postgresql":
        _copy(connection, table, found)
        return
    while some := list(islice(found, _AT_ONCE)):
        connection.execute(insert(table), some)


def _copy(connection: Connection, table: Table, rows: Iterable[Row]) -> None:
    documents = {column.name for column in table.columns if isinstance(column.type, JSON)}
    cursor: Any = connection.connection.cursor()
    copy: Any = None
    for row in rows:
        if copy is None:
            named = ", ".join(f'"{name}"' for name in row)
            opened = cursor.copy(f'COPY "{table.name}" ({named}) FROM STDIN')
            copy = opened.__enter__()
        copy.write_row([_told(value, name in documents) for name, value in row.items()])
    if copy is not None:
        opened.__exit__(None, None, None)


def _told(value: Any, document: bool) -> Any:
    return json.dumps(value) if document and value is not None else value


def settle(engine: Engine, written: Iterable[Table]) -> None:
    """Count on behind the rows that were written, and let the database learn what it holds."""
    with engine.connect() as connection, connection.begin():
        if connection.dialect.name == "postgresql":
            for table in written:
                if "id" in table.c:
                    last = f"SELECT setval(pg_get_serial_sequence('{table.name}', 'id'), max(id)) FROM \"{table.name}\""
                    connection.execute(text(last))
            connection.execute(text("ANALYZE"))
