"""Filter, order and page, as `task_list`, `ls` and `event_list` offer them.

A filter is clauses `key:values` joined by `/`; values are joined by `,`; several filter parameters must all
hold.  A value that begins with `~` is a pattern in which `*` stands for anything, `!` turns the meaning round,
`=` says it is meant literally.  Two values of a time are a range, either of which may be empty.
"""

from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any

from sandbox.globus.errors import Refused
from sandbox.globus.requesting import Document, Request

_TIMES = ("request_time", "completion_time", "last_modified")


def chosen(rows: Iterable[Document], request: Request, keys: Sequence[str]) -> list[Document]:
    """The rows that every filter of the request lets through; `keys` are those that may be filtered by."""
    tests = [
        _clause(clause, keys) for text in request.queries("filter") for clause in text.split("/") if clause
    ]
    return [row for row in rows if all(test(row) for test in tests)]


def _clause(clause: str, keys: Sequence[str]) -> Callable[[Document], bool]:
    key, colon, values = clause.partition(":")
    if not colon or key not in keys:
        raise Refused(400, "BadRequest", f"Invalid filter clause '{clause}'")
    if key in _TIMES:
        first, _, last = values.partition(",")
        return lambda row: bool(row[key]) and (first or "") <= _time(row[key]) <= (_time(last) or "~")
    if values.startswith("!"):
        return lambda row: not _matches(row[key], values[1:])
    return lambda row: _matches(row[key], values)


def _matches(value: Any, wanted: str) -> bool:
    text = str(int(value)) if isinstance(value, bool) else str(value)
    if wanted.startswith("~"):
        return fnmatchcase(text.lower(), wanted[1:].lower())
    return text in wanted.removeprefix("=").split(",")


def _time(text: str) -> str:
    return text.replace(" ", "T")


def ordered(rows: list[Document], request: Request, keys: Sequence[str], default: str) -> list[Document]:
    """The rows in the order that the request asks for (`name ASC,size DESC`)."""
    fields = ",".join(request.queries("orderby")) or default
    for field in reversed(fields.split(",")):
        name, _, direction = field.strip().partition(" ")
        if name not in keys or direction.upper() not in ("", "ASC", "DESC"):
            raise Refused(400, "BadRequest", f"Invalid orderby '{field}'")
        rows = sorted(
            rows, key=lambda row: (row[name] is not None, row[name]), reverse=direction.upper() == "DESC"
        )
    return rows


def offset_page(rows: Sequence[Document], request: Request, *, usual: int, most: int) -> Document:
    """The part of the rows that `limit` and `offset` ask for."""
    limit, offset = min(request.number("limit", usual), most), request.number("offset", 0)
    page = list(rows[offset : offset + limit])
    return {"DATA": page, "length": len(page), "limit": limit, "offset": offset, "total": len(rows)}


def marker_page(rows: Sequence[Document], request: Request, *, size: int) -> Document:
    """The part of the rows that begins at `marker`, which is opaque for clients."""
    marker = request.number("marker", 0)
    end = marker + size
    return {
        "DATA": list(rows[marker:end]),
        "marker": marker,
        "next_marker": end if end < len(rows) else None,
    }
