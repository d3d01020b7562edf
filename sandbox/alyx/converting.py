"""Values as Django's fields convert them before they are compared, with its words for those it cannot.

A number in a `django=` filter arrives as a float, so the text field's condition `nickname,4581` asks for
"4581.0".
"""

import re
import uuid
from collections.abc import Callable
from datetime import date, datetime
from typing import Any

from sandbox.alyx.errors import Crash
from sandbox.alyx.model import Kind


def _bad(text: str) -> Crash:
    return Crash(str([text]))


def _as_uuid(value: Any) -> str:
    try:
        if isinstance(value, int):
            return str(uuid.UUID(int=value))
        if isinstance(value, str):
            return str(uuid.UUID(value))
    except ValueError:
        pass
    raise _bad(f"“{value}” is not a valid UUID.")


def _as_bool(value: Any) -> bool:
    if isinstance(value, bool | int | float) and value in (0, 1):
        return bool(value)
    if value in ("t", "True", "1"):
        return True
    if value in ("f", "False", "0"):
        return False
    raise _bad(f"“{value}” value must be either True or False.")


def as_date(value: Any) -> str:
    """An ISO date, as Django reads one."""
    if not isinstance(value, str):
        raise Crash("fromisoformat: argument must be str")
    if not re.fullmatch(r"\d{4}-\d{1,2}-\d{1,2}", value):
        raise _bad(f"“{value}” value has an invalid date format. It must be in YYYY-MM-DD format.")
    try:
        year, month, day = map(int, value.split("-"))
        return date(year, month, day).isoformat()
    except ValueError:
        raise _bad(
            f"“{value}” value has the correct format (YYYY-MM-DD) but it is an invalid date."
        ) from None


def _as_datetime(value: Any) -> str:
    if not isinstance(value, str):
        raise Crash("fromisoformat: argument must be str")
    try:
        return datetime.fromisoformat(value).replace(tzinfo=None).isoformat()
    except ValueError:
        wanted = "YYYY-MM-DD HH:MM[:ss[.uuuuuu]][TZ]"
        raise _bad(f"“{value}” value has an invalid format. It must be in {wanted} format.") from None


def _number(value: Any, name: str, kind: Callable[[Any], int | float]) -> int | float:
    try:
        return kind(value)
    except (TypeError, ValueError):
        raise Crash(f"Field '{name}' expected a number but got {value!r}.") from None


def convert(kind: Kind, name: str, value: Any) -> Any:
    """The value as the field compares it; raises Crash with Django's text if it cannot be one."""
    match kind:
        case Kind.UUID | Kind.FK | Kind.MANY | Kind.REVERSE:
            return _as_uuid(value)
        case Kind.BOOL:
            return _as_bool(value)
        case Kind.INT | Kind.BIG:
            return _number(value, name, int)
        case Kind.FLOAT:
            return _number(value, name, float)
        case Kind.DATETIME:
            return _as_datetime(value)
        case Kind.DATE:
            return as_date(value)
        case Kind.JSON:
            return value
        case _:
            return str(value)
