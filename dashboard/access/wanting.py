"""The parameters by which a page or a call says who may use it."""

import getpass
import hmac
from collections.abc import Callable
from typing import Annotated

from fastapi import Depends, Request

from dashboard.access.entrance import Entrance, entrance_of
from dashboard.access.hosts import comes_from_elsewhere
from dashboard.access.logins import HOME, Login, name
from dashboard.access.roles import Person, Role, role_named, role_of
from dashboard.board import board_of
from transfer.errors import NotAllowed, NotLoggedIn, RequestForged
from transfer.ledger import logins as ledger_logins
from transfer.ledger import tokens

FIELD = "csrf_token"
"""The field of a form that holds the CSRF token; scripts send the header."""

HEADER = "x-csrf-token"
_SAFE = ("GET", "HEAD", "OPTIONS")
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


def identify(request: Request) -> Person | None:
    """Who asks, by token, by cookie, or because nobody is asked for a login; None where we do not know."""
    board, at = board_of(request), entrance_of(request)
    secret = _bearer(request)
    if secret is not None:
        token = tokens.recognise(board.ledger, secret)
        role = role_named(token.role) if token else None
        if token is None or role is None:
            return None
        return Person(name=f"token {token.name}", role=role, by_cookie=False)
    if at.told.login == "none":
        return Person(name=_account(), role=Role.ADMIN, by_cookie=False)
    login = login_of(request)
    if login is None or ledger_logins.is_over(board.ledger, login.name, login.since):
        return None
    may = role_of(login.name, at.told)
    if may is None:
        return None
    _renew(request, at, login)
    return Person(name=login.name, role=may, by_cookie=True)


def login_of(request: Request) -> Login | None:
    """The login of the request's cookie, if it is ours and not too old; it may have been ended."""
    at = entrance_of(request)
    cookie = request.cookies.get(name(secure=is_encrypted(request)))
    return at.logins.read(cookie) if cookie else None


def is_encrypted(request: Request) -> bool:
    """Whether the browser speaks TLS, with us or with a proxy before us."""
    return entrance_of(request).told.is_encrypted or request.url.scheme == "https"


def still_in(request: Request, role: Role = Role.VIEWER) -> bool:
    """Whether who began this request may still see what it is answered: for streams, which last for hours."""
    person = identify(request)
    return person is not None and person.role >= role


def csrf_token(request: Request) -> str:
    """What the forms and scripts of a page must send back; empty where nobody is logged in."""
    nonce = _nonce(request)
    return entrance_of(request).logins.csrf_token(nonce) if nonce else ""


def refuse_foreign_pages(request: Request) -> None:
    """Raises `RequestForged` where a browser says that another site's page made it send this."""
    encrypted = is_encrypted(request)
    if comes_from_elsewhere(request.headers, scheme=request.url.scheme, encrypted=encrypted):
        raise RequestForged("a page of another site asked for this", to=request.url.path)


async def sent_token(request: Request) -> str | None:
    """The CSRF token that came with a change: in its header, or in the field of a form."""
    found = request.headers.get(HEADER)
    if found is not None or request.method in _SAFE or _content_type(request) not in _FORMS:
        return found
    sent = (await request.form(max_files=0, max_fields=100)).get(FIELD)
    return sent if isinstance(sent, str) else None


def needs(role: Role) -> Callable[[Request, str | None], Person]:
    """A dependency that lets in whoever has this role, and a change only if no other site's page made it."""

    def check(request: Request, sent: Annotated[str | None, Depends(sent_token)]) -> Person:
        person = identify(request)
        if person is None:
            raise NotLoggedIn("nobody is logged in", to=request.url.path)
        if person.role < role:
            what = f"{person.name} may not do this: it takes the role {role.name.lower()}"
            raise NotAllowed(what, to=request.url.path)
        if request.method not in _SAFE and _bearer(request) is None:
            _refuse_forgery(request, sent)
        return person

    return check


def _refuse_forgery(request: Request, sent: str | None) -> None:
    refuse_foreign_pages(request)
    expected = csrf_token(request)
    if expected and sent and hmac.compare_digest(expected.encode(), sent.encode()):
        return
    # Where nobody logs in, programs have no token.  No foreign page can send JSON without being asked for leave first,
    # and a browser always says where a change comes from.
    at_home = entrance_of(request).told.login == "none"
    if (
        at_home
        and sent is None
        and (_content_type(request) == "application/json" or not _by_browser(request))
    ):
        return
    raise RequestForged("the page's own token is missing, or of another login", to=request.url.path)


def _by_browser(request: Request) -> bool:
    return any(header in request.headers for header in ("origin", "sec-fetch-site", "referer", "cookie"))


def _nonce(request: Request) -> str | None:
    if entrance_of(request).told.login == "none":
        return HOME
    login = login_of(request)
    return login.nonce if login else None


def _renew(request: Request, at: Entrance, login: Login) -> None:
    """Let the guard send the cookie anew, with the time of this request."""
    renewed = at.logins.renewed(login)
    if renewed is not None:
        request.state.set_cookie = at.logins.header(renewed, secure=is_encrypted(request))


def _bearer(request: Request) -> str | None:
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else None


def _content_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _account() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as containers have
        return "somebody"


Seeing = Annotated[Person, Depends(needs(Role.VIEWER))]
Acting = Annotated[Person, Depends(needs(Role.OPERATOR))]
Administering = Annotated[Person, Depends(needs(Role.ADMIN))]
