"""Failures as a person reads them in the browser: the same sentence, code and remedy as everywhere."""

from fastapi import Request, Response
from fastapi.responses import HTMLResponse

from dashboard.api.problems import Problem
from dashboard.pages.rendering import fragment

_TITLES = {
    403: "You may not do this",
    404: "There is no such page",
    405: "There is no such page",
    422: "This cannot be understood",
    503: "Not now",
}


def show(request: Request, problem: Problem) -> Response:
    """The page; it asks the ledger nothing, which may be what failed."""
    values = {
        "problem": problem,
        "title": _TITLES.get(problem.status, "This did not work"),
        "here": request.url.path,
    }
    return HTMLResponse(fragment("failure.html", values), status_code=problem.status)
