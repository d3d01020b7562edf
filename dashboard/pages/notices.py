"""Notices: who is told what needs a person, how it goes with each, and which labs are silenced; the test, and silence.

Its buttons are plain forms, so that they work without JavaScript.
"""

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from dashboard.access import Acting, Administering, Person, Role, Seeing
from dashboard.api import notices
from dashboard.api.asking import Why, Words
from dashboard.api.notices import Tested
from dashboard.board import Board, TheBoard
from dashboard.pages.rendering import page

router = APIRouter()

HOURS = {"8": "8 hours", "24": "a day", "72": "3 days", "168": "a week", "": "until it is ended"}
"""For how long a lab may be silenced."""


@router.get("/notices", response_class=HTMLResponse)
def show(request: Request, board: TheBoard, person: Seeing) -> Response:
    """All of it."""
    return _page(request, board, person)


def _page(request: Request, board: Board, person: Person, tested: Tested | None = None) -> Response:
    told = notices.now(board)
    moment = board.ledger.moment()
    silences = [one for one in told.silences if one.holds(moment)]
    silent = {one.lab for one in silences}
    return page(
        request,
        "notices.html",
        person,
        told=told,
        silences=silences,
        labs=[name for name in sorted(board.settings.labs) if name not in silent],
        tested=tested,
        hours=HOURS,
        may_silence=person.role >= Role.OPERATOR,
        may_test=person.role >= Role.ADMIN and told.on,
    )


@router.post("/notices/test", response_class=HTMLResponse)
def test(request: Request, board: TheBoard, person: Administering) -> Response:
    """Send everybody a test message, and show how it went."""
    return _page(request, board, person, notices.try_everybody(board, person))


@router.post("/notices/silence")
def silence(
    board: TheBoard,
    person: Acting,
    lab: Annotated[Words, Form()],
    why: Annotated[Why, Form()],
    hours: Annotated[str, Form(pattern="^(|8|24|72|168)$")] = "",
) -> Response:
    """Tell nobody of a lab for so long."""
    notices.silence_lab(board, person, lab, hours=float(hours) if hours else None, why=why)
    return RedirectResponse("/notices", status_code=303)


@router.post("/notices/unsilence")
def unsilence(
    board: TheBoard, person: Acting, lab: Annotated[Words, Form()], why: Annotated[Why | None, Form()] = None
) -> Response:
    """Speak of a lab again."""
    notices.unsilence_lab(board, person, lab, why=why)
    return RedirectResponse("/notices", status_code=303)
