"""How a database answers the questions that were asked of it: its own plans, and the tables it reads as a whole.

An index that leaves rows out (a partial one: what is open, held, leased) may be read from end to end, and so may one
that gives the order of a list; a table or any other index may not.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, event

from transfer.ledger.tables import copies, datasets, events, items, metadata, receipts, sessions

Asked = list[tuple[str, Any]]

LARGE = {table.name for table in (items, datasets, sessions, copies, events, receipts)}
"""The tables that grow for ever."""

MAY_BE_WALKED = {
    str(index.name)
    for table in metadata.tables.values()
    for index in table.indexes
    if index.dialect_options["sqlite"]["where"] is not None or "date" in index.columns
}
"""The indexes that leave rows out, and those that a list of sessions is read from, as far as its page goes."""


@contextmanager
def watching(engine: Engine) -> Iterator[Asked]:
    """Every question that is asked while the `with` lasts, as the driver is given it."""
    asked: Asked = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.lstrip().startswith(("SELECT", "WITH")):
            asked.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        event.remove(engine, "before_cursor_execute", note)


def scans(engine: Engine, asked: Asked, *, small: bool = False) -> list[str]:
    """Each whole reading of a large table among these questions: the table or index, and the question.

    With `small` PostgreSQL is told to read no table whole where an index leads, as it would if there were more rows.
    """
    with engine.connect().execution_options(sqlite_begin="DEFERRED") as connection:
        wholes = _wholes_sqlite if engine.dialect.name == "sqlite" else _wholes_postgresql
        for way in ("seqscan", "hashjoin", "mergejoin") if small and engine.dialect.name != "sqlite" else ():
            connection.exec_driver_sql(f"SET LOCAL enable_{way} = off")
        return [
            f"{what}: {statement}"
            for statement, values in asked
            for what in wholes(connection, statement, values)
        ]


def _wholes_sqlite(connection: Connection, statement: str, values: Any) -> Iterator[str]:
    names = _aliases(statement)
    for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values):
        found = re.match(r"SCAN (\w+)(?: USING (?:COVERING )?INDEX (\w+))?", row.detail)
        if found and names.get(found[1], found[1]) in LARGE and found[2] not in MAY_BE_WALKED:
            yield str(row.detail)


def _aliases(statement: str) -> dict[str, str]:
    return {alias: table for table, alias in re.findall(r"(\w+) AS (\w+)", statement)}


def _wholes_postgresql(connection: Connection, statement: str, values: Any) -> Iterator[str]:
    told = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", values).scalar()
    plans: list[dict[str, Any]] = json.loads(told) if isinstance(told, str) else told or []
    for node in (one for plan in plans for one in _nodes(plan["Plan"])):
        if node.get("Relation Name") not in LARGE:
            continue
        if node["Node Type"] == "Seq Scan":
            yield f"Seq Scan {node['Relation Name']}"
        elif "Index Name" in node and "Index Cond" not in node and node["Index Name"] not in MAY_BE_WALKED:
            yield f"{node['Node Type']} {node['Index Name']}"


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from _nodes(below)
