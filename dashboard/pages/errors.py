"""Every kind of failure there is, to read: why it usually happens, and what helps, from `transfer.errors`."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from dashboard.access import Seeing
from dashboard.pages.rendering import page
from transfer.errors import BY_NAME, CATALOGUE, Cure, NothingFound, Reach

router = APIRouter()

CURES = {
    Cure.TIME: "Time: it is tried again by itself.",
    Cure.FRESH_CONNECTION: "A new connection: made at once, by itself.",
    Cure.PERSON: "A person: it waits until somebody has acted.",
    Cure.NOTHING: "Only another file or name: it waits until the file has changed or is given up.",
}
REACHES = {
    Reach.FILE: "this file only",
    Reach.BATCH: "everything that moves with it",
    Reach.ENDPOINT: "everything from and to that place",
}


@router.get("/errors", response_class=HTMLResponse)
def show(request: Request, person: Seeing) -> HTMLResponse:
    """All of them."""
    kinds = [CATALOGUE[code] for code in sorted(CATALOGUE)]
    return page(request, "errors.html", person, kinds=kinds, cures=CURES)


@router.get("/errors/{name}", response_class=HTMLResponse)
def show_one(request: Request, person: Seeing, name: str) -> HTMLResponse:
    """One, by its code or its name."""
    kind = CATALOGUE.get(name.upper()) or BY_NAME.get(name)
    if kind is None:
        raise NothingFound("there is no such error", to=name)
    return page(request, "error.html", person, kind=kind, cure=CURES[kind.cure], reach=REACHES[kind.reach])
