"""From values to HTML: the one way a page is made.

Every template is given `person`, `now` (UTC), `here` (the path that was asked), `csrf`, `said` and `may(role)`, and
knows the filters `size`, `duration`, `count`, `rate`, `limit`, `iso` and `day`, with the words of the command line.
Everything is escaped: names come from rigs and are text, whatever they hold. A name that a template does not know
is an error and never an empty place.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from dashboard.access import Person, Role, csrf_token
from dashboard.board import board_of
from dashboard.pages import flashes
from transfer import words
from transfer.timetable import shown

TEMPLATES = Path(__file__).parents[1] / "templates"

environment = Environment(
    loader=FileSystemLoader(TEMPLATES),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def count(number: float | None) -> str:
    """A number with thin spaces between thousands."""
    return "-" if number is None else f"{number:,.0f}".replace(",", "\u202f")


def rate(per_second: float | None) -> str:
    """Bytes per second."""
    return "-" if per_second is None else f"{words.size(per_second)}/s"


def iso(moment: datetime) -> str:
    """As a program reads it."""
    return moment.astimezone(UTC).isoformat(timespec="seconds")


def day(moment: datetime) -> str:
    """As a person reads it, in UTC; the browser makes it local."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


environment.filters.update(
    size=words.size, duration=words.duration, count=count, rate=rate, iso=iso, day=day, limit=shown
)
environment.globals.update(Role=Role, age=words.age)


def fragment(name: str, values: Mapping[str, Any]) -> str:
    """A template without a page around it."""
    return environment.get_template(name).render(values)


def common(request: Request, person: Person | None) -> dict[str, Any]:
    """What every page is given."""
    board = board_of(request)

    def may(role: str) -> bool:
        return person is not None and person.role >= Role[role]

    return {
        "person": person,
        "now": board.ledger.moment(),
        "here": request.url.path,
        "csrf": csrf_token(request) if person is not None else "",
        "said": flashes.found(request),
        "may": may,
        "version": board.version,
    }


def page(
    request: Request, template: str, person: Person, /, *, status: int = 200, **values: Any
) -> HTMLResponse:
    """A whole page."""
    told = common(request, person)
    response = HTMLResponse(fragment(template, {**told, **values}), status_code=status)
    if told["said"]:
        flashes.forget(response)
    return response
