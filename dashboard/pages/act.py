"""One action on a page of its own, for browsers without scripts: the question, and then its answer.

It does what the API's operation of the same name does, by the same function.
"""

from collections.abc import Callable, Mapping
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, Response

from dashboard.access import Acting, Person
from dashboard.api import acting, schedule
from dashboard.api.acting import Changed
from dashboard.board import Board, TheBoard
from dashboard.pages.rendering import page
from transfer.errors import ActionUnfitting, RequestMalformed, TransferError
from transfer.ledger.prioritising import HIGHEST, RAISED

router = APIRouter()

Do = Callable[[Board, Person, str, str], Changed]

WHAT: Mapping[str, tuple[str, bool]] = {
    "retry": ("It becomes due now, and its failures are forgotten.", False),
    "release": ("It goes on from where it stands; no proof is skipped.", False),
    "cancel": ("Nothing more of it moves until somebody releases it.", True),
    "pause": ("Nothing moves there until somebody resumes it.", True),
    "resume": ("It is used again at once.", False),
    "prioritise": ("It goes before everything of a lower level.", False),
    "limit": ("At most this much leaves the lab's machine, at once and instead of the timetable.", True),
    "unlimit": ("The timetable of the config holds again.", False),
    "run": ("The round is walked now, although it is not due.", False),
}
"""Each action: what it does, and whether the reason is needed."""


@router.get("/act", response_class=HTMLResponse)
def ask(request: Request, person: Acting, action: str, target: str) -> HTMLResponse:
    """The question."""
    return _page(request, person, action, target)


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
) -> Response:
    """Do it, and say what was changed."""
    try:
        said = _done(board, person, action, target, why=why.strip(), level=level, rate=rate)
    except TransferError as error:
        return _page(request, person, action, target, why=why, error=error)
    return _page(request, person, action, target, said=said)


def _done(board: Board, person: Person, action: str, target: str, *, why: str, level: int, rate: str) -> str:
    """Do it; answers what was changed, as a sentence."""
    _, needed = _known(action)
    if needed and not why:
        raise RequestMalformed(["why: say why; it is shown wherever this waits"], to=action)
    reason = why or None
    match action:
        case "run":
            return schedule.ring(board, person, target).sentence
        case "release" if target.startswith("hold:"):
            return _told(acting.release_all(board, person, hold=target.removeprefix("hold:"), why=reason))
        case "cancel":
            return _told(acting.cancel(board, person, target, why=why))
        case "pause":
            return _told(acting.pause(board, person, target, why=why))
        case "limit":
            return _told(acting.limit(board, person, target, rate, why=why))
        case "prioritise":
            return _told(acting.prioritise(board, person, target, level=level, why=reason))
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
    said: str | None = None,
    error: TransferError | None = None,
) -> HTMLResponse:
    what, needed = _known(action)
    values = {"action": action, "target": target, "what": what, "needed": needed, "why": why}
    status = 422 if error is not None else 200
    return page(request, "act.html", person, status=status, said=said, error=error, **values)
