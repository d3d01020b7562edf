"""One page of a long list.  A cursor names the last row that was shown, so that a page costs the same everywhere."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from transfer.errors import NothingFound

Row = TypeVar("Row")

LONGEST = 200
"""Rows of the longest page."""

_DIGITS = 19  # what a row's number may have and still fit 64 bits


@dataclass(frozen=True, kw_only=True, slots=True)
class Page(Generic[Row]):
    """Rows, and the cursor that the next page begins after; None at the end."""

    rows: tuple[Row, ...]
    after: str | None = None


def cursor(*keys: object) -> str:
    """Keys as a cursor; `parsed` gives them back as text."""
    return "~".join(str(key) for key in keys)


def parsed(after: str, keys: int) -> list[str]:
    """The keys of a cursor.  Raises `NothingFound` when it is none of ours."""
    found = after.split("~")
    if len(found) != keys:
        raise NothingFound("this is no cursor of this list", to=after, do="Begin with the first page.")
    return found


def number(key: str) -> int:
    """A key that is a row's number.  Raises `NothingFound`."""
    if not (key.isascii() and key.isdigit() and len(key) < _DIGITS):
        raise NothingFound("this is no cursor of this list", to=key, do="Begin with the first page.")
    return int(key)


def paged(rows: Sequence[Row], limit: int, key: Callable[[Row], object]) -> Page[Row]:
    """The page of `limit` rows out of one more than that, which tells whether there is a next page."""
    shown = tuple(rows[:limit])
    return Page(rows=shown, after=str(key(shown[-1])) if len(rows) > limit else None)
