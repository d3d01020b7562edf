"""The parameters by which a page or a call says who may use it."""

from collections.abc import Callable
from typing import Annotated

from fastapi import Depends, HTTPException, Request

from dashboard.access.roles import Person, Role
from dashboard.board import board_of


def identify(request: Request) -> Person | None:
    """Who asks; None where we do not know."""
    if board_of(request).settings.dashboard.login == "none":
        return Person(name="somebody", role=Role.ADMIN, by_cookie=False)
    return None


def needs(role: Role) -> Callable[[Request], Person]:
    """A dependency that lets in whoever has this role."""

    def check(request: Request) -> Person:
        person = identify(request)
        if person is None:
            raise HTTPException(401)
        if person.role < role:
            raise HTTPException(403)
        return person

    return check


Seeing = Annotated[Person, Depends(needs(Role.VIEWER))]
Acting = Annotated[Person, Depends(needs(Role.OPERATOR))]
Administering = Annotated[Person, Depends(needs(Role.ADMIN))]
