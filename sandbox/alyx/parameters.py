"""The kinds of query parameters, and how each reads its text.

A parameter is a small object: how its text becomes a value (with the 400 of a form field, if it has one) and
which condition it makes.
"""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.alyx.converting import as_date
from sandbox.alyx.errors import Crash
from sandbox.alyx.model import QC
from sandbox.alyx.queries import matches
from sandbox.alyx.store import Store

Keys = set[str]
Reader = Callable[[Store, str], Any]
Apply = Callable[[Store, Any, dict[str, str]], Keys | None]


class BadParameter(Exception):
    """The text is not what this parameter takes; the argument is the form's sentence."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One query parameter: `read` makes the value, `path` is the `django=` condition it stands for."""

    path: str
    read: Reader
    apply: Apply | None = None


def _text(store: Store, raw: str) -> Any:
    del store
    return raw.strip()


def _flag(store: Store, raw: str) -> Any:
    del store
    return {"true": True, "1": True, "false": False, "0": False}.get(raw.lower())


def _declared_flag(store: Store, raw: str) -> Any:
    """A boolean of the kind that Alyx declares by hand; its form knows 2 and 3, but neither 1 nor 0."""
    del store
    truth = {"True": True, "true": True, "2": True, "False": False, "false": False, "3": False}
    return truth.get(raw)


def _number(store: Store, raw: str) -> Any:
    del store
    try:
        return float(raw)
    except ValueError:
        raise BadParameter("Enter a number.") from None


def _uuid(store: Store, raw: str) -> Any:
    del store
    try:
        return str(uuid.UUID(raw.strip()))
    except ValueError:
        raise BadParameter("Enter a valid UUID.") from None


def _moment(store: Store, raw: str) -> Any:
    del store
    day, _, _ = raw.strip().replace("T", " ").partition(" ")
    try:
        return as_date(day)
    except Crash:
        raise BadParameter("Enter a valid date/time.") from None


def _related(table: str) -> Reader:
    def read(store: Store, raw: str) -> Any:
        try:
            key = str(uuid.UUID(raw.strip()))
        except ValueError:
            raise BadParameter(f"“{raw.strip()}” is not a valid UUID.") from None
        if store.get(table, key) is None:
            raise BadParameter("Select a valid choice. That choice is not one of the available choices.")
        return key

    return read


def qc_of(text: Any) -> int:
    """A QC level by name in any case, or by number; raises ValueError otherwise."""
    if isinstance(text, str) and not text.isnumeric():
        if text.upper() in QC:
            return QC[text.upper()]
    else:
        number = int(text) if isinstance(text, str) else text
        if number in QC.values():
            return int(number)
    raise ValueError(f"{text} is not a valid QC")


def char(path: str) -> Parameter:
    """A text parameter."""
    return Parameter(path, _text)


def flag(path: str) -> Parameter:
    """A boolean parameter; anything it does not understand is ignored."""
    return Parameter(path, _flag)


def declared_flag(path: str, apply: Apply | None = None) -> Parameter:
    """A boolean parameter of the hand-declared kind."""
    return Parameter(path, _declared_flag, apply)


def identifier(path: str, apply: Apply | None = None) -> Parameter:
    """A UUID, which need not exist."""
    return Parameter(path, _uuid, apply)


def moment(path: str) -> Parameter:
    """A day, or a time of which only the day counts."""
    return Parameter(path, _moment)


def special(apply: Apply, *, numeric: bool = False) -> Parameter:
    """A text (or number) with a condition of its own."""
    return Parameter("", _number if numeric else _text, apply)


def number(path: str) -> Parameter:
    """A numeric parameter."""
    return Parameter(path, _number)


def related(path: str, table: str) -> Parameter:
    """The id of a related row, which must exist."""
    return Parameter(path, _related(table))


def enum(name: str, table: str, choices: Mapping[str, int]) -> Parameter:
    """The name of a choice, in any case; an unknown one is a 500."""
    by_name = {key.lower(): value for key, value in choices.items()}

    def apply(store: Store, raw: Any, params: dict[str, str]) -> Keys:
        del params
        if raw.lower().strip() not in by_name:
            raise Crash(f"Invalid{name}, choices are: {', '.join(choices)}")
        return matches(store, table, [name], float(by_name[raw.lower().strip()]))

    return Parameter(name, _text, apply)
