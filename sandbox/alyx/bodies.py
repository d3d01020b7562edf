"""Reading a request body against the fields it may contain."""

from collections.abc import Mapping
from typing import Any

from sandbox.alyx.errors import invalid
from sandbox.alyx.fields import Input, Wrong
from sandbox.alyx.model import MODELS, Row
from sandbox.alyx.store import Store


def read(body: Any, inputs: Mapping[str, Input], store: Store, *, partial: bool) -> Row:
    """Check a body; returns only the values it contains (and defaults, unless `partial`)."""
    if not isinstance(body, dict):
        kind = type(body).__name__
        raise invalid({"non_field_errors": [f"Invalid data. Expected a dictionary, but got {kind}."]})
    errors: dict[str, list[str]] = {}
    found: Row = {}
    for name, item in inputs.items():
        if name not in body:
            if item.required and not partial:
                errors[name] = ["This field is required."]
            continue
        value = body[name]
        if value is None:
            if item.null:
                found[name] = None
            else:
                errors[name] = ["This field may not be null."]
            continue
        try:
            found[name] = item.clean(value, store)
        except Wrong as wrong:
            errors[name] = [str(wrong)]
    if errors:
        raise invalid(errors)
    return found


def defaults(inputs: Mapping[str, Input]) -> Row:
    """What a new row holds where the body says nothing."""
    return {
        name: list(item.default) if isinstance(item.default, list) else item.default
        for name, item in inputs.items()
    }


def unique(store: Store, table: str, field: str, value: Any, *, but: str | None) -> None:
    """Refuse a value that another row of the table has."""
    other = store.one(table, field, value)
    if other is not None and other["id"] != but:
        verbose = MODELS[table].verbose
        raise invalid({field: [f"{verbose} with this {field.replace('_', ' ')} already exists."]})
