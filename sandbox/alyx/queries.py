"""The `django=` filter: conditions over any chain of relations, each answered as a set of row ids.

A condition is followed from its far end: the rows of the last table that pass the test, then the rows that
point at those, and so on, using the store's indexes. Conditions over a to-many relation are therefore
independent of each other (each may hold for another related row), exactly as Alyx applies them one by one.
`~` keeps the complement.
"""

import ast
from collections.abc import Iterable, Sequence
from typing import Any

from sandbox.alyx.errors import Crash
from sandbox.alyx.lookups import lookups, question, unsupported
from sandbox.alyx.model import MODELS, Field, Kind, Row
from sandbox.alyx.store import Store


def parse(text: str) -> dict[str, Any]:
    """Split `field,value,field,value` into conditions; commas inside brackets do not split."""
    parts = _split(text)
    if len(parts) % 2:
        raise Crash("list index out of range")
    found: dict[str, Any] = {}
    for name, raw in zip(parts[::2], parts[1::2], strict=True):
        value = _cast(raw)
        if name in found:
            raise Crash(f'Duplicated fields in "{text}"')
        found[name] = value
    return found


def _split(text: str) -> list[str]:
    parts, word, closing = [], "", ""
    for char in text:
        if char == "," and not closing:
            parts.append(word)
            word = ""
            continue
        if char in "[(":
            closing = "]" if char == "[" else ")"
        elif char == closing:
            closing = ""
        word += char
    return [*parts, word]


def _cast(raw: str) -> Any:
    if raw == "None":
        return None
    if raw.lower() in ("true", "false"):
        return raw.lower() == "true"
    if raw.replace(".", "", 1).isdigit():
        return float(raw)
    if raw.startswith(("(", "[")) and raw.endswith((")", "]")):
        return _literal(raw)
    return raw


def _literal(raw: str) -> Any:
    """What the server's eval would give for a list of literals, or the text of its error."""
    try:
        return ast.literal_eval(raw)
    except SyntaxError as error:
        raise Crash(f"{error.msg} (<string>, line {error.lineno})") from None
    except ValueError:
        names = [node.id for node in ast.walk(ast.parse(raw, mode="eval")) if isinstance(node, ast.Name)]
        raise Crash(f"name '{names[0]}' is not defined" if names else f"cannot evaluate {raw}") from None


def where(
    store: Store, table: str, conditions: dict[str, Any], keys: set[str] | None = None
) -> set[str] | None:
    """Narrow `keys` (None means every row) by all conditions; a name starting with `~` excludes."""
    for name, value in conditions.items():
        negated = name.startswith("~")
        matching = matches(store, table, name.removeprefix("~").split("__"), value)
        if negated:
            base = keys if keys is not None else set(store.tables[table])
            keys = base - matching
        else:
            keys = matching if keys is None else keys & matching
    return keys


def matches(store: Store, table: str, path: Sequence[str], value: Any) -> set[str]:
    """Ids of the rows of `table` for which the condition holds."""
    name, rest = path[0], list(path[1:])
    fields = MODELS[table].fields
    if name == "pk":
        name = "id"
    field = fields.get(name)
    if field is None and name.endswith("_id"):
        field = fields.get(name.removesuffix("_id"))
        if field is not None and field.kind is Kind.FK:
            return _own(store, table, name.removesuffix("_id"), Field(Kind.FK), rest, value)
        field = None
    if field is None:
        choices = ", ".join(MODELS[table].names())
        raise Crash(f"Cannot resolve keyword '{name}' into field. Choices are: {choices}")
    if field.to and rest and _resolves(field.to, rest[0]):
        return _across(store, table, name, field, rest, value)
    if field.to and rest and (rest[0] not in lookups(field.kind) or len(rest) > 1):
        raise unsupported(rest, field.kind)
    return _own(store, table, name, field, rest, value)


def _resolves(table: str, name: str) -> bool:
    fields = MODELS[table].fields
    linked = fields.get(name.removesuffix("_id"))
    return (
        name == "pk"
        or name in fields
        or (name.endswith("_id") and linked is not None and linked.kind is Kind.FK)
    )


def _own(store: Store, table: str, name: str, field: Field, rest: list[str], value: Any) -> set[str]:
    """A condition on a field of this very table."""
    rows = store.tables[table]
    if field.kind in (Kind.REVERSE, Kind.MANY):
        return _to_many(store, table, name, field, rest, value)
    test = question(field.kind, name, rest, value)
    if rest in ([], ["exact"], ["in"]) and value is not None:
        wanted = [value] if not isinstance(value, list | tuple | set) or rest != ["in"] else value
        if name == "id":
            return {str(key) for key in wanted if str(key) in rows}
        if name in MODELS[table].indexed:
            return {key for target in wanted for key in store.pointing(table, name, str(target))}
    return {key for key, row in rows.items() if test(row.get(name))}


def _to_many(store: Store, table: str, name: str, field: Field, rest: list[str], value: Any) -> set[str]:
    """`isnull`, `exact` or `in` directly on a to-many relation."""
    if rest == ["isnull"] or (not rest and value is None):
        question(Kind.FK, name, rest, value)
        some = _holders(store, table, name, field, store.tables[field.to])
        wants_none = value is None or value
        return set(store.tables[table]) - some if wants_none else some
    targets = matches(store, field.to, ["id", *rest], value)
    return _holders(store, table, name, field, targets)


def _across(store: Store, table: str, name: str, field: Field, rest: list[str], value: Any) -> set[str]:
    """A condition on a related table: its matching rows, then the rows here that refer to them."""
    targets = matches(store, field.to, rest, value)
    found = _holders(store, table, name, field, targets)
    if (rest[-1] == "isnull" and value is True) or value is None:
        # An outer join gives nulls where there is no related row at all.
        found |= set(store.tables[table]) - _holders(store, table, name, field, store.tables[field.to])
    return found


def _holders(store: Store, table: str, name: str, field: Field, targets: Iterable[str]) -> set[str]:
    """Ids of the rows of `table` related to any of the targets."""
    if field.kind is Kind.FK:
        if name in MODELS[table].indexed:
            return {key for target in targets for key in store.pointing(table, name, target)}
        wanted = targets if isinstance(targets, set | dict) else set(targets)
        return {key for key, row in store.tables[table].items() if row.get(name) in wanted}
    if field.kind is Kind.MANY:
        wanted = set(targets)
        return {key for key, row in store.tables[table].items() if not wanted.isdisjoint(row.get(name) or ())}
    found: set[str] = set()
    back = MODELS[field.to].fields[field.via]
    for target in targets:
        value = store.tables[field.to][target].get(field.via)
        if back.kind is Kind.MANY:
            found.update(value or ())
        elif value is not None:
            found.add(value)
    return found


def ordered(store: Store, table: str, keys: set[str] | None) -> list[str]:
    """The ids in the order the server would list them: the model's order, else the heap's."""
    rows = store.tables[table]
    listed = list(rows) if keys is None else store.in_order(table, keys)
    for name in reversed(MODELS[table].order):
        descending = name.startswith("-")
        path = name.removeprefix("-").split("__")
        # PostgreSQL puts nulls last when ascending and first when descending.
        listed.sort(key=lambda key: _sort_key(store, table, rows[key], path), reverse=descending)
    return listed


def _sort_key(store: Store, table: str, row: Row, path: list[str]) -> tuple[bool, Any]:
    value: Any = row.get(path[0])
    if len(path) > 1:
        target = MODELS[table].fields[path[0]].to
        other = store.get(target, value)
        value = None if other is None else other.get(path[1])
    return (value is None, "" if value is None else value)
