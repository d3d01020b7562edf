"""Tokens for programs, which admins make and revoke.  One is shown in the answer that makes it, and never again."""

from datetime import timedelta
from typing import Annotated, Literal

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from dashboard.access import Administering
from dashboard.api.asking import LARGEST, section
from dashboard.board import TheBoard
from transfer.ledger import tokens
from transfer.ledger.glance.pages import Page
from transfer.ledger.tokens import Token

router = section("tokens")

LONGEST = 3660
"""Days of the longest token that ends by itself."""


class Wished(BaseModel):
    """A token to be made; without `days` it holds until it is revoked."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, StringConstraints(pattern=r"^[\w.@+-]{1,100}$")]
    role: Literal["viewer", "operator", "admin"]
    days: int | None = Field(None, ge=1, le=LONGEST)


class Made(BaseModel):
    """The token that was made, and its `secret`: keep it now."""

    token: Token
    secret: str


@router.get("/tokens", summary="Every token, without its secret")
def all_tokens(board: TheBoard, _: Administering) -> Page[Token]:
    return Page(rows=tuple(tokens.listed(board.ledger)))


@router.post("/tokens", summary="Make a token")
def make_token(board: TheBoard, person: Administering, wished: Wished) -> Made:
    """Its secret is in this answer only."""
    lasting = timedelta(days=wished.days) if wished.days is not None else None
    ledger = board.ledger.acting_as(person.actor)
    token, secret = tokens.make(ledger, wished.name, wished.role, lasting=lasting)
    return Made(token=token, secret=secret)


@router.post("/tokens/{number}/revoke", summary="Let a token hold no more")
def revoke_token(
    board: TheBoard, person: Administering, number: Annotated[int, Path(ge=1, le=LARGEST)]
) -> Token:
    return tokens.revoke(board.ledger.acting_as(person.actor), number)
