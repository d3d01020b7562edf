"""One action on a page of its own, for browsers without scripts: the question, and then the page of what it was for.

It does what the API's operation of the same name does, by the same function.  What came of it is said once, on the page
to which the browser is sent back, so that loading that again does nothing again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import BeforeValidator

from dashboard.access import Acting, Person
from dashboard.api import acting, schedule
from dashboard.api.acting import Changed
from dashboard.board import Board, TheBoard
from dashboard.pages.flashes import leave
from dashboard.pages.rendering import page
from transfer.errors import ActionUnfitting, RequestMalformed, TransferError
from transfer.ledger.prioritising import HIGHEST, RAISED

router = APIRouter()

LONGEST = 366 * 24
"""Hours that a limit of bandwidth may hold; without any it holds until it is lifted."""

WHAT: Mapping[str, tuple[str, bool]] = {
    "retry": ("It becomes due now, and its failures are forgotten.", False),
    "release": ("It goes on from where it stands; no proof is skipped.", False),
    "cancel": ("Nothing more of it moves until somebody releases it.", True),
    "pause": ("Nothing moves there until somebody resumes it.", True),
    "resume": ("It is used again at once.", False),
    "prioritise": ("It goes before everything of a lower level.", False),
    "limit": ("At most this much leaves the lab's machine, at once and instead of the timetable.", True),
    "unlimit": ("The timetable holds again.", False),
    "timetable": ("This timetable holds at once, instead of the config's.", True),
    "untimetable": ("The timetable of the config holds again.", False),
    "run": ("The round is walked now, although it is not due.", False),
}
"""Each action: what it does, and whether the reason is needed."""


@router.get("/act", response_class=HTMLResponse)
def ask(request: Request, board: TheBoard, person: Acting, action: str, target: str) -> HTMLResponse:
    """The question; a timetable is changed from what holds now."""
    week = acting.timetable_of(board, target) if action == "timetable" else ()
    return _page(request, person, action, target, timetable="\n".join(week))


@router.post("/act", response_class=HTMLResponse)
def do(
    request: Request,
    board: TheBoard,
    person: Acting,
    action: Annotated[str, Form(max_length=40)],
    target: Annotated[str, Form(max_length=220)],
    why: Annotated[str, Form(max_length=500)] = "",
    level: Annotated[int, Form(ge=-HIGHEST, le=HIGHEST)] = RAISED,
    rate: Annotated[str, Form(max_length=40)] = "",
    hours: Annotated[int | None, Form(ge=1, le=LONGEST), BeforeValidator(lambda told: told or None)] = None,
    timetable: Annotated[str, Form(max_length=1500)] = "",
) -> Response:
    """Do it, and go back to what it was for, where it is said what was changed."""
    wish = Wish(
        action=action,
        target=target,
        why=why.strip(),
        level=level,
        rate=rate,
        hours=hours,
        timetable=timetable,
    )
    try:
        said = _done(board, person, wish)
    except TransferError as error:
        return _page(request, person, action, target, why=why, timetable=timetable, error=error)
    return leave(request, RedirectResponse(_back(action, target), status_code=303), said)


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """What a person asks for, as the form sent it."""

    action: str
    target: str
    why: str
    level: int
    rate: str
    hours: int | None
    timetable: str


_PAGES = {
    "session": "/sessions/{}",
    "file": "/files/{}",
    "batch": "/transfers/{}",
    "endpoint": "/endpoints",
    "hold": "/held",
}


def _back(action: str, target: str) -> str:
    """The page of what the action was for."""
    if action == "run":
        return "/schedule"
    if action in ("limit", "unlimit", "timetable", "untimetable"):
        return "/bandwidth"
    kind, _, name = target.partition(":")
    numbered = name.isascii() and name.isdigit()
    page = _PAGES.get(kind, "/")
    return page.format(name) if numbered or "{}" not in page else "/"


def _done(board: Board, person: Person, wish: Wish) -> str:
    """Do it; answers what was changed, as a sentence."""
    _, needed = _known(wish.action)
    target, why = wish.target, wish.why
    if needed and not why:
        raise RequestMalformed(["why: say why; it is shown wherever this waits"], to=wish.action)
    reason = why or None
    match wish.action:
        case "run":
            return schedule.ring(board, person, target).sentence
        case "release" if target.startswith("hold:"):
            return _told(acting.release_all(board, person, hold=target.removeprefix("hold:"), why=reason))
        case "cancel":
            return _told(acting.cancel(board, person, target, why=why))
        case "pause":
            return _told(acting.pause(board, person, target, why=why))
        case "limit":
            seconds = wish.hours * 3600 if wish.hours else None
            return _told(acting.limit(board, person, target, wish.rate, seconds=seconds, why=why))
        case "timetable":
            return _told(acting.set_timetable(board, person, target, [wish.timetable], why=why))
        case "untimetable":
            return _told(acting.clear_timetable(board, person, target, why=reason))
        case "prioritise":
            return _told(acting.prioritise(board, person, target, level=wish.level, why=reason))
        case "retry":
            return _told(acting.retry(board, person, target, why=reason))
        case "resume":
            return _told(acting.resume(board, person, target, why=reason))
        case "unlimit":
            return _told(acting.unlimit(board, person, target, why=reason))
        case _:
            return _told(acting.release(board, person, target, why=reason))


def _known(action: str) -> tuple[str, bool]:
    if action not in WHAT:
        raise ActionUnfitting("there is no such action", to=action, do=f"The actions: {', '.join(WHAT)}.")
    return WHAT[action]


def _told(changed: Changed) -> str:
    parts = [
        f"{number} {word if number == 1 else words}"
        for number, word, words in (
            (changed.files, "file", "files"),
            (changed.sessions, "session", "sessions"),
            (changed.batches, "transfer", "transfers"),
        )
        if number
    ]
    parts += changed.endpoints
    said = f"Done: {', '.join(parts)}." if parts else "Done; it stood like this already."
    return (
        said if changed.heard else f"{said} No worker heard of it: they look by themselves within a minute."
    )


def _page(
    request: Request,
    person: Person,
    action: str,
    target: str,
    *,
    why: str = "",
    timetable: str = "",
    error: TransferError | None = None,
) -> HTMLResponse:
    what, needed = _known(action)
    values = {"action": action, "target": target, "what": what, "needed": needed, "why": why}
    status = 422 if error is not None else 200
    more = {"error": error, "longest": LONGEST, "timetable": timetable}
    return page(request, "act.html", person, status=status, **values, **more)
