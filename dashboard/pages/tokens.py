"""Tokens for programs: which there are, and for admins the forms that make and revoke them.

A token's secret is in the page that answers its making, once; no other page and no address ever has it.
"""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import BeforeValidator

from dashboard.access import Administering, Person
from dashboard.api.tokens import LONGEST
from dashboard.board import Board, TheBoard
from dashboard.pages.flashes import leave
from dashboard.pages.rendering import page
from transfer.errors import TransferError
from transfer.ledger import tokens

router = APIRouter()

Days = Annotated[int | None, Form(ge=1, le=LONGEST), BeforeValidator(lambda told: told or None)]


@router.get("/tokens", response_class=HTMLResponse)
def show(request: Request, board: TheBoard, person: Administering) -> Response:
    """All of them."""
    return _page(request, board, person)


@router.post("/tokens", response_class=HTMLResponse)
def make(
    request: Request,
    board: TheBoard,
    person: Administering,
    name: Annotated[str, Form(max_length=100)],
    role: Annotated[str, Form(max_length=20)],
    days: Days = None,
) -> Response:
    """Make one, and show its secret: this once."""
    lasting = timedelta(days=days) if days is not None else None
    try:
        made, secret = tokens.make(board.ledger.acting_as(person.actor), name.strip(), role, lasting=lasting)
    except TransferError as error:
        return _page(request, board, person, error=error, name=name)
    return _page(request, board, person, made=made, secret=secret)


@router.post("/tokens/{number}/revoke")
def revoke(request: Request, board: TheBoard, person: Administering, number: int) -> Response:
    """Let one hold no more."""
    gone = tokens.revoke(board.ledger.acting_as(person.actor), number)
    return leave(request, RedirectResponse("/tokens", status_code=303), f"Done: {gone.name} holds no more.")


def _page(
    request: Request,
    board: Board,
    person: Person,
    *,
    made: tokens.Token | None = None,
    secret: str | None = None,
    error: TransferError | None = None,
    name: str = "",
) -> HTMLResponse:
    known = tokens.listed(board.ledger)
    moment = board.ledger.moment()
    holding = [one for one in known if one.revoked_at is None and (one.until is None or moment < one.until)]
    return page(
        request,
        "tokens.html",
        person,
        status=422 if error is not None else 200,
        holding=holding,
        over=[one for one in known if one not in holding],
        made=made,
        secret=secret,
        error=error,
        name=name,
        roles=tokens.ROLES,
        longest=LONGEST,
    )
