"""How a command shows what it found: a table for people, aligned text for pipes, JSON for programs.

File names come from rigs and from Alyx and may contain anything.  Nothing in a cell is interpreted: no
markup, no terminal escape, no line break; what cannot be shown is written as `\\x1b`.  In JSON the
values are untouched: sizes are bytes, durations seconds, times ISO 8601 in UTC.
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from pathlib import PurePath
from typing import Annotated, Any, TextIO
from uuid import UUID

import typer

from transfer.words import age, duration, size

__all__ = ["age", "duration", "size"]

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
"""The option of every command that lists something."""


def text(value: object) -> str:
    """Any value in one line; None is a dash."""
    match value:
        case None | "":
            return "-"
        case bool():
            return "yes" if value else "no"
        case Enum():
            return visible(str(value.value))
        case datetime():
            return f"{value.astimezone(UTC):%Y-%m-%d %H:%MZ}"
        case _:
            return visible(str(value))


def visible(words: str) -> str:
    """`words` with everything a terminal would obey, and every line break, written as an escape."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape", "surrogatepass").decode("ascii")
        for letter in words
    )


@dataclass(frozen=True, slots=True)
class Column:
    """One column: the key in the row, its heading, and how a value is shown to people."""

    key: str
    title: str
    show: Callable[[Any], str] = text
    right: bool = False


def listing(
    rows: Sequence[Mapping[str, Any]],
    columns: Sequence[Column],
    *,
    as_json: bool,
    empty: str,
    out: TextIO | None = None,
) -> None:
    """Print rows.  As JSON a list of whole rows; for people the columns, or `empty` where there are none."""
    stream = out or sys.stdout
    if as_json:
        document(list(rows), out=stream)
        return
    if not rows:
        say(empty, out=stream)
        return
    cells = [[visible(column.show(row.get(column.key))) for column in columns] for row in rows]
    if stream.isatty():
        _table(cells, columns, stream)
    else:
        _write(_aligned(cells, columns), stream)


def document(value: object, *, out: TextIO | None = None) -> None:
    """Print one value as JSON."""
    # ASCII only: a name that is not valid Unicode, or a terminal that cannot show it, must not end us.
    (out or sys.stdout).write(json.dumps(value, default=_jsonable, indent=2, ensure_ascii=True) + "\n")


def say(words: str, *, out: TextIO | None = None) -> None:
    """Print a line for people."""
    _write(f"{words}\n", out or sys.stdout)


def complain(words: str) -> None:
    """Print a line for people on standard error."""
    _write(f"{words}\n", sys.stderr)


def _write(words: str, stream: TextIO) -> None:
    encoding = getattr(stream, "encoding", None) or "utf-8"
    stream.write(words.encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()


def _jsonable(value: object) -> object:
    match value:
        case datetime() | date():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case Enum():
            return value.value
        case PurePath() | UUID():
            return str(value)
        case set() | frozenset():
            return sorted(value, key=str)
        case _ if is_dataclass(value) and not isinstance(value, type):
            return asdict(value)
        case _:
            raise TypeError(f"no JSON form for {type(value).__name__}")


def _aligned(cells: list[list[str]], columns: Sequence[Column]) -> str:
    lines = [[column.title for column in columns], *cells]
    widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
    return "".join(
        "  ".join(
            cell.rjust(width) if column.right else cell.ljust(width)
            for cell, width, column in zip(line, widths, columns, strict=True)
        ).rstrip()
        + "\n"
        for line in lines
    )


def _table(cells: list[list[str]], columns: Sequence[Column], stream: TextIO) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(Text(column.title), justify="right" if column.right else "left", overflow="fold")
    for line in cells:
        table.add_row(*(Text(cell) for cell in line))  # Text, not str: a str would be read as markup
    Console(file=stream, markup=False, highlight=False, emoji=False).print(table)
