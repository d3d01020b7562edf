"""One page of a long list.  A cursor names the last row that was shown, so that a page costs the same everywhere."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from transfer.errors import NothingFound

Row = TypeVar("Row")

LONGEST = 200
"""Rows of the longest page."""


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
