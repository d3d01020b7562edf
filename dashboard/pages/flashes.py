"""One sentence that is said on the next page, and then never again: what came of an action without scripts.

It travels in a signed cookie of its own, so that nobody can have this dashboard say what it did not say.
"""

from fastapi import Request, Response
from itsdangerous import BadData, URLSafeTimedSerializer

from dashboard.access.entrance import entrance_of
from dashboard.access.wanting import is_encrypted

NAME = "alyx_transfer_said"
_LASTS = 60  # seconds
_LONGEST = 1500  # letters: a browser keeps 4096 bytes


def leave(request: Request, response: Response, said: str) -> Response:
    """Have the next page say it."""
    value = _signed(request).dumps(said[:_LONGEST])
    text = value if isinstance(value, str) else value.decode("ascii")
    response.set_cookie(
        NAME, text, max_age=_LASTS, secure=is_encrypted(request), httponly=True, samesite="strict"
    )
    return response


def found(request: Request) -> str | None:
    """What the last page left to be said, if anything."""
    cookie = request.cookies.get(NAME)
    if not cookie:
        return None
    try:
        return str(_signed(request).loads(cookie, max_age=_LASTS))
    except BadData:
        return None


def forget(response: Response) -> None:
    """Have the browser forget it: it was said."""
    response.delete_cookie(NAME, httponly=True, samesite="strict")


def _signed(request: Request) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(entrance_of(request).logins.key_for(b"said"), salt="said")
