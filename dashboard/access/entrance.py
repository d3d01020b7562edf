"""How somebody comes in: what an application keeps for it, and the login itself.

PROMISES: name and password are known to this function and to Alyx, for as long as it lasts; a failed login is logged
without the name, because people type passwords into the wrong field; Alyx being away counts against nobody.
"""

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog
from fastapi import Request

from config.sections import Dashboard
from dashboard.access.keys import signing_key
from dashboard.access.logins import Login, Logins
from dashboard.access.roles import role_of
from dashboard.access.throttle import Throttle
from dashboard.board import Board
from transfer.catalog.alyx_login import check_password
from transfer.errors import CatalogThrottled, NotAllowed, PersonRefused, TransferError
from transfer.ledger import logins as ledger_logins

_AT_ONCE = 8
"""Logins that wait for Alyx: more would leave no thread for those who are in."""

_NAME = re.compile(r"[\w.@+-]{1,150}")
"""What Alyx takes for the name of an account."""

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Entrance:
    """What one application keeps.  `check` asks Alyx, and raises."""

    told: Dashboard
    logins: Logins
    throttle: Throttle
    check: Callable[[str, str], None]
    room: threading.BoundedSemaphore = field(default_factory=lambda: threading.BoundedSemaphore(_AT_ONCE))


def entrance(board: Board) -> Entrance:
    """The entrance that the config asks for.  Raises `ConfigProblems`."""
    told, alyx = board.settings.dashboard, board.settings.alyx.url
    return Entrance(
        told=told,
        logins=Logins(signing_key(told), told),
        throttle=Throttle(),
        check=lambda name, password: check_password(alyx, name, password),
    )


def entrance_of(request: Request) -> Entrance:
    """The entrance of the application that was asked."""
    found = request.app.state.entrance
    assert isinstance(found, Entrance)
    return found


def log_in(board: Board, at: Entrance, name: str, password: str, *, address: str) -> Login:
    """A new login.  Raises `PersonRefused`, `NotAllowed`, `LoginThrottled`, and what `check_password` raises."""
    name = name.strip()
    at.throttle.begin(address, name)
    try:
        _check(at, name, password)
    except PersonRefused:
        log.warning("login_refused", address=address)
        raise
    except TransferError as error:
        at.throttle.undecided(address, name)
        log.warning("login_not_possible", address=address, error=error.code)
        raise
    at.throttle.succeeded(address, name)
    if role_of(name, at.told) is None:
        log.warning("login_not_allowed", person=name, address=address)
        raise NotAllowed("this Alyx account may not use the dashboard", to=name)
    since = ledger_logins.logged_in(board.ledger, name)
    log.info("person_logged_in", person=name, address=address)
    return at.logins.begin(name, since=since)


def _check(at: Entrance, name: str, password: str) -> None:
    if not _NAME.fullmatch(name) or not password:
        raise PersonRefused("this is no name of an Alyx account, or no password")
    if not at.room.acquire(blocking=False):
        raise CatalogThrottled("too many people log in at this moment", do="Try again in a while.")
    try:
        at.check(name, password)
    finally:
        at.room.release()
