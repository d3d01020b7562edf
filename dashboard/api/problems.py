"""What a request is answered that fails: one form for programs (RFC 9457, `application/problem+json`).

PROMISES: every failure has one of our codes, a sentence and a remedy; what was sent is not repeated but for the names
of its fields, so that a password in a wrong place does not come back; no traceback leaves the process; the status says
whether trying again helps.

Pages ask `problem_of` for the same sentence and show it as HTML: `add_problems` is given how.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from transfer import errors
from transfer.errors import Cure, TransferError
from transfer.secrecy import masked

MEDIA_TYPE = "application/problem+json"
AGAIN_AFTER = 10
"""Seconds after which a request may be tried again that failed because something was away."""

_SHOWN = 20  # problems of one request
_LONGEST = 300  # letters of one problem
_OURS = ("/api/", "/metrics", "/healthz", "/readyz")

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One failure.  `detail` is `what` happened, `to` which thing, and the `remedy`, as one sentence.

    `type` is the page of this dashboard that says what the code means, as a path: `/errors/E-4008`.
    """

    type: str
    title: str
    status: int
    detail: str
    code: str
    what: str
    to: str
    remedy: str
    problems: tuple[str, ...] = ()


Page = Callable[[Request, Problem], Response]
"""How a person is shown a problem."""


def problem_of(error: TransferError, *, status: int | None = None) -> Problem:
    """A failure of ours as a problem; `status` where the usual one of its kind is not meant."""
    return Problem(
        type=f"/errors/{error.code}",
        title=error.name.replace("-", " "),
        status=status or status_of(error),
        detail=error.sentence,
        code=error.code,
        what=error.what,
        to=error.to,
        remedy=error.do,
        problems=tuple(getattr(error, "problems", ())),
    )


_STATUS: Mapping[type[TransferError], int] = {
    errors.NotLoggedIn: 401,
    errors.NotAllowed: 403,
    errors.RequestForged: 403,
    errors.PersonRefused: 401,
    errors.LoginThrottled: 429,
    errors.HostUnknown: 421,
    errors.RequestMalformed: 422,
    errors.ActionUnfitting: 422,
    errors.AddressUnknown: 404,
    errors.NothingFound: 404,
    errors.LostRace: 409,
    errors.LedgerSchema: 503,
    errors.Unexpected: 500,
}


def status_of(error: TransferError) -> int:
    """404 and 422 for what was asked wrongly, 503 where time helps, 409 where something else must be done first."""
    for kind, status in _STATUS.items():
        if isinstance(error, kind):
            return status
    return 503 if error.cure in (Cure.TIME, Cure.FRESH_CONNECTION) else 409


def refusal(asked: HTTPException, request: Request) -> Problem:
    """The framework's own refusals, and those of `access`, as problems."""
    path = request.url.path
    match asked.status_code:
        case 404:
            error: TransferError = errors.AddressUnknown("there is nothing at this address", to=path)
        case 405:
            what = f"this address does not take {request.method}"
            error = errors.AddressUnknown(what, to=path)
        case status if status >= 500:
            error = errors.Unexpected("the dashboard failed", to=path)
        case _:
            error = errors.RequestMalformed([_short(str(asked.detail))], to=path)
    return problem_of(error, status=asked.status_code)


def misunderstood(wrong: Sequence[Mapping[str, Any]], request: Request) -> Problem:
    """What the framework found wrong with parameters and body."""
    found = [_short(f"{_place(one)}: {one.get('msg', 'wrong')}") for one in wrong[:_SHOWN]]
    if len(wrong) > _SHOWN:
        found.append(f"and {len(wrong) - _SHOWN} more")
    return problem_of(errors.RequestMalformed(found, to=request.url.path))


def _place(one: Mapping[str, Any]) -> str:
    return ".".join(str(part) for part in one.get("loc", ())) or "request"


def _short(words: str) -> str:
    return words if len(words) <= _LONGEST else words[: _LONGEST - 1] + "…"


def wants_json(request: Request) -> bool:
    """Whether a program asks: by the address, or because it takes no HTML."""
    return request.url.path.startswith(_OURS) or "text/html" not in request.headers.get("accept", "")


def answer(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """The problem for a program."""
    body = {key: value for key, value in asdict(problem).items() if value or key != "problems"}
    # ASCII only: the name of a field may hold what no encoding can carry.
    text = masked(json.dumps(body, ensure_ascii=True))
    return Response(
        text,
        status_code=problem.status,
        media_type=MEDIA_TYPE,
        headers={**dict(_again(problem)), **(headers or {})},
    )


def _again(problem: Problem) -> Iterator[tuple[str, str]]:
    if problem.status in (429, 503):
        yield "Retry-After", str(AGAIN_AFTER)


def add_problems(app: FastAPI, page: Page | None = None) -> None:
    """Answer every failure of the application as a problem; `page` shows it to people."""

    def shown(request: Request, problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
        if page is None or wants_json(request):
            return answer(problem, headers)
        response = page(request, problem)
        for name, value in {**dict(_again(problem)), **(headers or {})}.items():
            response.headers[name] = value
        return response

    @app.exception_handler(TransferError)
    def failed(request: Request, error: TransferError) -> Response:
        wait = {"Retry-After": str(max(1, round(error.after.total_seconds())))} if error.after else None
        return shown(request, problem_of(error), wait)

    @app.exception_handler(HTTPException)
    def refused(request: Request, asked: HTTPException) -> Response:
        return shown(request, refusal(asked, request), asked.headers)

    @app.exception_handler(RequestValidationError)
    def malformed(request: Request, wrong: RequestValidationError) -> Response:
        return shown(request, misunderstood(wrong.errors(), request))

    @app.exception_handler(Exception)
    def unexpected(request: Request, error: Exception) -> Response:
        log.error("request_failed", method=request.method, path=request.url.path, exc_info=error)
        kind = errors.Unexpected(
            f"the dashboard failed unexpectedly ({type(error).__name__})",
            to=request.url.path,
            do="This is a defect of alyx-transfer: report it with the dashboard's log.",
        )
        return shown(request, problem_of(kind))
