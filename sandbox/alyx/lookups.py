"""The end of a `django=` condition: one field, one lookup, one value, made into a yes-or-no question.

What Django refuses is refused with Django's words.
"""

import difflib
import re
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from sandbox.alyx.converting import convert
from sandbox.alyx.errors import Crash
from sandbox.alyx.model import Kind

Test = Callable[[Any], bool]

_TEXTUAL = ("contains", "icontains", "startswith", "istartswith", "endswith", "iendswith", "regex", "iregex")
_COMPARING = ("gt", "gte", "lt", "lte")
_COMMON = ("exact", "iexact", "in", "range", "isnull", *_COMPARING, *_TEXTUAL)
_PARTS = ("date", "year", "month", "day", "hour", "minute", "second", "week_day")
_JSONIC = ("has_key", "has_keys", "has_any_keys", "contained_by")
_RELATIONS = (Kind.FK, Kind.MANY, Kind.REVERSE)
_RELATED = ("exact", "in", "isnull", *_COMPARING)


def lookups(kind: Kind) -> tuple[str, ...]:
    """The lookups and transforms a field of this kind knows."""
    if kind in _RELATIONS:
        return _RELATED
    if kind is Kind.DATETIME:
        return _COMMON + _PARTS
    if kind is Kind.JSON:
        return _COMMON + _JSONIC
    return _COMMON


def unsupported(path: list[str], kind: Kind) -> Crash:
    """The refusal of what follows a field's name, from the first word that is no lookup of it."""
    first = next((n for n, word in enumerate(path) if word not in lookups(kind)), len(path) - 1)
    if kind in _RELATIONS and first > 0:
        return Crash(f"Related Field got invalid lookup: {path[0]}")
    near = difflib.get_close_matches(path[first], lookups(kind))
    hint = f", perhaps you meant {' or '.join(near)}?" if near else "."
    unknown = "__".join(path[first:])
    return Crash(f"Unsupported lookup '{unknown}' for {kind} or join on the field not permitted{hint}")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else str(value)


def _textual(lookup: str, value: Any) -> Test:
    wanted = _text(value)
    if lookup in ("regex", "iregex"):
        pattern = re.compile(wanted, re.IGNORECASE if lookup == "iregex" else 0)
        return lambda found: found is not None and pattern.search(_text(found)) is not None
    folded = lookup.startswith("i")
    plain = lookup.removeprefix("i")
    wanted = wanted.lower() if folded else wanted
    how = {"contains": str.__contains__, "startswith": str.startswith, "endswith": str.endswith}[plain]

    def test(found: Any) -> bool:
        if found is None:
            return False
        text = _text(found).lower() if folded else _text(found)
        return bool(how(text, wanted))

    return test


def _comparing(lookup: str, wanted: Any) -> Test:
    def test(found: Any) -> bool:
        if found is None:
            return False
        try:
            match lookup:
                case "gt":
                    return bool(found > wanted)
                case "gte":
                    return bool(found >= wanted)
                case "lt":
                    return bool(found < wanted)
                case _:
                    return bool(found <= wanted)
        except TypeError:
            return False

    return test


def _listed(lookup: str, value: Any) -> list[Any]:
    if not isinstance(value, Iterable):
        raise Crash(f"'{type(value).__name__}' object is not iterable")
    return [item for item in value if item is not None] if lookup == "in" else list(value)


def question(kind: Kind, name: str, path: list[str], value: Any) -> Test:
    """Make the test for what follows the field's name: `path` is transforms and at most one lookup."""
    if kind is Kind.JSON and path and path[0] not in lookups(kind):
        return _json_key(path, value)
    if kind is Kind.DATETIME and path and path[0] in _PARTS:
        return _date_part(path, value)
    if len(path) > 1:
        raise unsupported(path, kind)
    lookup = path[0] if path else "exact"
    if lookup not in lookups(kind):
        raise unsupported(path, kind)
    if lookup == "isnull":
        if not isinstance(value, bool):
            raise Crash("The QuerySet value for an isnull lookup must be True or False.")
        return (lambda found: found is None) if value else (lambda found: found is not None)
    if value is None:
        if lookup in ("exact", "iexact"):
            # For a JSON column None asks for the JSON null, which is not the null of the table.
            return lambda found: found is None and kind is not Kind.JSON
        raise Crash("Cannot use None as a query value")
    return _valued(kind, name, lookup, value)


def _valued(kind: Kind, name: str, lookup: str, value: Any) -> Test:
    if lookup == "in":
        chosen = [convert(kind, name, item) for item in _listed(lookup, value)]
        return lambda found: found is not None and found in chosen
    if lookup == "range":
        ends = [convert(kind, name, item) for item in _listed(lookup, value)]
        return lambda found: found is not None and ends[0] <= found <= ends[1]
    if lookup in _COMPARING:
        exactly = kind in (Kind.INT, Kind.BIG) and isinstance(value, float)
        return _comparing(lookup, value if exactly else convert(kind, name, value))
    if lookup == "iexact":
        wanted = _text(value).lower()
        return lambda found: found is not None and _text(found).lower() == wanted
    if kind is Kind.JSON:
        return _jsonic(lookup, value)
    if lookup in _TEXTUAL:
        return _textual(lookup, value)
    same = convert(kind, name, value)
    return lambda found: found is not None and found == same


def _jsonic(lookup: str, value: Any) -> Test:
    if lookup == "has_key":
        return lambda found: isinstance(found, dict | list) and _text(value) in found
    if lookup == "has_keys":
        keys = _listed(lookup, value)
        return lambda found: isinstance(found, dict) and all(key in found for key in keys)
    if lookup == "has_any_keys":
        keys = _listed(lookup, value)
        return lambda found: isinstance(found, dict) and any(key in found for key in keys)
    if lookup in _TEXTUAL and lookup != "contains":
        return _textual(lookup, value)
    if lookup == "contains" and isinstance(value, dict):
        return lambda found: isinstance(found, dict) and value.items() <= found.items()
    return lambda found: _same_json(found, value)


def _same_json(found: Any, value: Any) -> bool:
    if isinstance(found, bool) is not isinstance(value, bool):
        return False
    return bool(found == value)


def _json_key(path: list[str], value: Any) -> Test:
    keys, lookup = list(path), "exact"
    if keys[-1] in _COMMON and len(keys) > 1:
        lookup = keys.pop()

    def reach(found: Any) -> tuple[bool, Any]:
        for key in keys:
            if isinstance(found, dict) and key in found:
                found = found[key]
            else:
                return False, None
        return True, found

    if lookup == "isnull":
        return lambda found: reach(found)[0] is not value
    if value is None and lookup == "exact":
        return lambda found: reach(found) == (True, None)
    if lookup in _COMPARING:
        inner = _comparing(lookup, value)
    elif lookup in _TEXTUAL:
        inner = _textual(lookup, value)
    elif lookup == "in":
        chosen = _listed(lookup, value)
        inner = lambda found: any(_same_json(found, item) for item in chosen)  # noqa: E731
    else:
        inner = lambda found: _same_json(found, value)  # noqa: E731

    def test(found: Any) -> bool:
        there, leaf = reach(found)
        return there and inner(leaf)

    return test


def _date_part(path: list[str], value: Any) -> Test:
    part, rest = path[0], path[1:]
    if part == "date":
        day = question(Kind.DATE, part, rest, value)
        return lambda found: found is not None and day(found[:10])
    number = question(Kind.INT, part, rest, value)

    def test(found: Any) -> bool:
        if found is None:
            return False
        at = datetime.fromisoformat(found)
        return number(at.isoweekday() % 7 + 1 if part == "week_day" else getattr(at, part))

    return test
