"""Asks Alyx whether a person's name and password are right.  Nothing of them is kept, quoted or logged.

PROMISES: one request, to Alyx's own address and nowhere else (a redirect is not followed); an answer within seconds,
or a failure that says who is to blame.  The token that Alyx answers with is thrown away.
"""

import json

import httpx2

from transfer.catalog.alyx_errors import seconds_asked
from transfer.errors import CatalogBroken, CatalogThrottled, CatalogUnreachable, PersonRefused

_PATIENCE = 8.0  # seconds; somebody looks at a form meanwhile
_REFUSED = (400, 401, 403)
_AWAY = (502, 503, 504)


def check_password(
    url: str, name: str, password: str, *, transport: httpx2.BaseTransport | None = None
) -> None:
    """Raises `PersonRefused`, `CatalogThrottled`, `CatalogUnreachable`, `CatalogBroken`."""
    where = f"{url.rstrip('/')}/auth-token"
    headers = {"Accept": "application/json", "User-Agent": "alyx-transfer"}
    try:
        with httpx2.Client(headers=headers, timeout=_PATIENCE, transport=transport) as client:
            answer = client.post(where, json={"username": name, "password": password})
    except httpx2.RequestError as error:
        # Without its cause: the frames of that hold the request's body.
        what = f"Alyx did not answer ({type(error).__name__})"
        raise CatalogUnreachable(what, to=url, do="Try again in a while.") from None
    _judge(answer, url)


def _judge(answer: httpx2.Response, url: str) -> None:
    """What the answer means.  Its text is never quoted: it may repeat what it was sent."""
    status = answer.status_code
    if status == 429:
        wait = seconds_asked(answer.headers.get("retry-after"))
        raise CatalogThrottled("Alyx asks us to wait", to=url, after=wait, do="Try again in a while.")
    if status in _REFUSED and "json" in answer.headers.get("content-type", ""):
        raise PersonRefused("Alyx did not accept name and password", to=url)
    if status in _AWAY:
        raise CatalogUnreachable(f"Alyx is away (status {status})", to=url, do="Try again in a while.")
    if not (answer.is_success and _has_token(answer)):
        do = "Check alyx.url in the config, and that Alyx is well."
        raise CatalogBroken(f"this is no answer of Alyx (status {status})", to=url, do=do)


def _has_token(answer: httpx2.Response) -> bool:
    try:
        told = json.loads(answer.content)
    except ValueError:
        return False
    return isinstance(told, dict) and isinstance(told.get("token"), str) and bool(told["token"])
