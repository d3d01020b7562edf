"""The parameters that the operations of the API share, and how an operation is added.

Everything is bounded: a page has at most `LONGEST` rows, a number fits the ledger's columns, words have no NUL, which
PostgreSQL would refuse.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from fastapi.routing import APIRoute
from pydantic import StringConstraints

from dashboard.api.problems import Problem
from transfer.ledger.glance.pages import LONGEST

LARGEST = 2**63 - 1
_NO_NUL = r"^[^\x00]*$"

Number = Annotated[int, Path(ge=1, le=LARGEST, description="The row's number.")]
Name = Annotated[str, Path(min_length=1, max_length=200, pattern=_NO_NUL)]
Limit = Annotated[int, Query(ge=1, le=LONGEST, description="How many rows at most.")]
After = Annotated[
    str | None,
    Query(
        max_length=500, pattern=_NO_NUL, description="The `after` of the page before; the first page without."
    ),
]
Words = Annotated[str, StringConstraints(min_length=1, max_length=1500, pattern=_NO_NUL)]
Why = Annotated[str, StringConstraints(min_length=1, max_length=2000, pattern=_NO_NUL)]

PROBLEMS: dict[int | str, dict[str, Any]] = {
    401: {"model": Problem, "description": "Nobody is logged in, or the token is not known."},
    403: {"model": Problem, "description": "Who asks may not do that."},
    404: {"model": Problem, "description": "There is no such thing."},
    422: {"model": Problem, "description": "The request cannot be understood, or does not fit the thing."},
    503: {"model": Problem, "description": "The ledger is away; try again after `Retry-After` seconds."},
}


def by_name(route: APIRoute) -> str:
    """An operation is called as its function is."""
    return route.name


def section(tag: str) -> APIRouter:
    """A router for the operations of one kind."""
    return APIRouter(tags=[tag], responses=PROBLEMS, generate_unique_id_function=by_name)
