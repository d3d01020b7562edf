"""The way in and out: the login page, the end of a login, and what nobody known is answered.

PROMISES: after a login we lead to a page of ours and nowhere else; neither name nor password comes back in an answer.
"""

from pathlib import Path
from typing import Annotated
from urllib.parse import urlencode, urlsplit

from fastapi import APIRouter, FastAPI, Form, Request, Response
from fastapi.responses import RedirectResponse
from fastapi.templating import Jinja2Templates

from dashboard.access import Seeing
from dashboard.access.entrance import entrance_of, log_in
from dashboard.access.wanting import identify, is_encrypted, refuse_foreign_pages
from dashboard.api.problems import answer, problem_of, status_of, wants_json
from dashboard.board import TheBoard
from transfer.errors import NotLoggedIn, TransferError
from transfer.ledger import logins as ledger_logins

LOGIN, LOGOUT = "/login", "/logout"

router = APIRouter()
templates = Jinja2Templates(directory=Path(__file__).parents[1] / "templates")


def own_path(words: str) -> str:
    """`words` where they are a path of ours, as a browser reads it; else the first page."""
    if not words.startswith("/") or words.startswith("//") or "\\" in words or not words.isprintable():
        return "/"
    try:
        parts = urlsplit(words)
    except ValueError:
        return "/"
    inside = not parts.scheme and not parts.netloc and not parts.path.startswith("//")
    return words if inside and parts.path not in (LOGIN, LOGOUT) else "/"


@router.get(LOGIN)
def login_page(request: Request, next: str = "/") -> Response:
    """The form; who is in already is led on."""
    if identify(request) is not None:
        return RedirectResponse(own_path(next), status_code=303)
    return _form(request, next)


@router.post(LOGIN)
def send_login(
    request: Request,
    board: TheBoard,
    name: Annotated[str, Form(max_length=200)] = "",
    password: Annotated[str, Form(max_length=1000)] = "",
    next: Annotated[str, Form(max_length=2000)] = "/",
) -> Response:
    """Log in and be led on, or see why not."""
    at = entrance_of(request)
    if at.told.login == "none":
        return RedirectResponse("/", status_code=303)
    address = request.client.host if request.client else ""
    try:
        refuse_foreign_pages(request)
        login = log_in(board, at, name, password, address=address)
    except TransferError as error:
        return _form(request, next, error)
    led = RedirectResponse(own_path(next), status_code=303)
    led.headers["Set-Cookie"] = at.logins.header(login, secure=is_encrypted(request))
    return led


@router.post(LOGOUT)
def log_out(request: Request, board: TheBoard, person: Seeing) -> Response:
    """End every login of this person; where nobody logs in there is none to end."""
    if person.by_cookie:
        ledger_logins.logged_out(board.ledger, person.name)
    request.state.set_cookie = None
    led = RedirectResponse(LOGIN, status_code=303)
    led.headers["Set-Cookie"] = entrance_of(request).logins.header(None, secure=is_encrypted(request))
    return led


def _form(request: Request, wanted: str, error: TransferError | None = None) -> Response:
    said = {"next": own_path(wanted), "error": error}
    status = status_of(error) if error else 200
    page = templates.TemplateResponse(request, "entrance.html", said, status_code=status)
    if error is not None and error.after is not None:
        page.headers["Retry-After"] = str(max(1, round(error.after.total_seconds())))
    return page


def add_entrance(app: FastAPI) -> None:
    """Lead people who are not logged in to the login, and tell programs that they are not."""

    @app.exception_handler(NotLoggedIn)
    def unknown(request: Request, error: NotLoggedIn) -> Response:
        if request.headers.get("hx-request") == "true":
            here = urlsplit(request.headers.get("hx-current-url", ""))
            return _told(error, {"HX-Redirect": _login_for(here.path, here.query)})
        if wants_json(request):
            return _told(error, {"WWW-Authenticate": 'Bearer realm="alyx-transfer"'})
        if request.headers.get("sec-fetch-site") == "cross-site" and request.method == "GET":
            way = _login_for(request.url.path, request.url.query)
            return templates.TemplateResponse(request, "entrance_again.html", {"way": way})
        if request.method != "GET":
            return RedirectResponse(LOGIN, status_code=303)
        return RedirectResponse(_login_for(request.url.path, request.url.query), status_code=303)


def _told(error: TransferError, headers: dict[str, str]) -> Response:
    return answer(problem_of(error), headers)


def _login_for(path: str, query: str) -> str:
    """The address of the login that leads back to a page of ours."""
    page = own_path(f"{path}?{query}" if query else path)
    return LOGIN if page == "/" else f"{LOGIN}?{urlencode({'next': page})}"
