"""The line to Alyx: one login, a few connections, and what to do when the line fails.

Promised: a request that may be repeated (`get`, `find`, `patch`, `delete`) is repeated a few times, within
seconds, when the line or the server failed; `post_once` is sent at most once, and `UnknownOutcome` says that
nobody knows whether it was done.  Requests keep below the server's throttle and wait as long as it asks, up
to `Patience.longest_wait`; longer waits are the caller's, by `CatalogThrottled.after`.  Neither password nor
token ever enters a message, a log line, a repr or the locals of an exception's frames.

Not done: nothing is understood of what Alyx answers, beyond errors (see `alyx_errors`).

The surprising things: bad credentials are 403, never 401; a path with a slash at its end does not exist; and
a connection kept alive may be closed by the server at the moment we use it, which a POST cannot tell from
a lost answer.  So `post_once` always opens a connection of its own.
"""

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import quote

import httpx2
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from transfer.catalog.alyx_errors import Answer, error_of, is_invalid_token
from transfer.catalog.limiter import Limiter
from transfer.errors import (
    CatalogBroken,
    CatalogLoginRefused,
    CatalogThrottled,
    CatalogUnreachable,
    TransferError,
    UnknownOutcome,
)
from transfer.secrecy import remember

_CONNECTIONS = 4  # more only add latency (measured against Alyx 3.6.1)
_KEPT = 50  # answers whose time is remembered
_TIMEOUT = httpx2.Timeout(10.0, read=30.0, write=30.0, pool=120.0)
_POST_TIMEOUT = httpx2.Timeout(10.0, read=90.0, write=30.0, pool=120.0)
_NOTHING_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError)
_PLAIN = ",'[]():~"  # stay as they are in a query: a hundred ids must fit into one request line

Foreign = TypeVar("Foreign", bound=BaseException)


@dataclass(frozen=True, kw_only=True, slots=True)
class Patience:
    """How long one call goes on by itself before the error is the caller's."""

    tries: int = 4
    first_wait: timedelta = timedelta(seconds=0.5)
    longest_wait: timedelta = timedelta(seconds=60)


class _Secret:
    """A text that shows itself only when asked."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text


class AlyxHttp:
    """Speaks JSON with the Alyx at `url` as `user`, by password or token.  Safe to share between threads.

    With a password the token is fetched at the first request, and once more when Alyx has forgotten it.
    """

    def __init__(
        self,
        url: str,
        *,
        user: str,
        password: str | None = None,
        token: str | None = None,
        requests_per_minute: int = 500,
        patience: Patience | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self.user = user
        self._password = _Secret(password) if password else None
        self._header = _Secret(f"Token {token}") if token else None
        self._patience = patience or Patience()
        self._limiter = Limiter(requests_per_minute, clock=clock, sleep=sleep)
        self._login_lock = threading.Lock()
        self._took: deque[float] = deque(maxlen=_KEPT)
        headers = {"Accept": "application/json", "User-Agent": "alyx-transfer"}
        kept = httpx2.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS)
        fresh = httpx2.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=0)
        self._kept = httpx2.Client(headers=headers, limits=kept, timeout=_TIMEOUT, transport=transport)
        self._fresh = httpx2.Client(headers=headers, limits=fresh, timeout=_POST_TIMEOUT, transport=transport)
        back_off = wait_random_exponential(multiplier=self._patience.first_wait.total_seconds(), max=10)
        self._retrying = Retrying(
            stop=stop_after_attempt(self._patience.tries),
            retry=retry_if_exception(self._may_help),
            wait=lambda state: _asked(state) or back_off(state),
            sleep=sleep,
            reraise=True,
        )

    def __repr__(self) -> str:
        return f"AlyxHttp({self.url!r}, user={self.user!r})"

    def latency(self) -> float | None:
        """Seconds that an answer takes: the median of the last ones, None before the first."""
        took = sorted(self._took)
        return took[len(took) // 2] if took else None

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        """The answer's JSON.  `path` begins with a slash and does not end with one."""
        return _json(self._repeated("GET", path + _query(query)), f"GET {path}")

    def find(self, path: str) -> Any | None:
        """The answer's JSON, None when Alyx itself (not a proxy or a wrong address) says 404."""
        answer = self._repeated("GET", path, may_be_absent=True)
        return None if answer.status_code == 404 else _json(answer, f"GET {path}")

    def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        """PATCH, repeated if need be: to say the same once more changes nothing."""
        return _json(self._repeated("PATCH", path, _dumped(body)), f"PATCH {path}")

    def delete(self, path: str) -> None:
        """DELETE; what is gone already is fine."""
        self._repeated("DELETE", path, may_be_absent=True)

    def post_once(self, path: str, body: Mapping[str, Any]) -> Any:
        """POST at most once.  Raises `UnknownOutcome` when it may or may not have been done."""
        asked = f"POST {path}"
        try:
            answer = self._answered(self._fresh, "POST", path, _dumped(body))
        except httpx2.RequestError as error:
            raise UnknownOutcome(f"the answer was lost ({_name(error)})", to=asked) from _bare(error)
        if not answer.is_success:
            refused = error_of(self._described(answer, asked))
            if isinstance(refused, CatalogUnreachable | CatalogBroken):
                raise UnknownOutcome(refused.what, to=asked) from refused
            raise refused
        try:
            return _json(answer, asked)
        except CatalogBroken as error:
            raise UnknownOutcome("the answer was not whole", to=asked) from error

    def server_time(self) -> datetime | None:
        """The server's clock by its Date header, in whole seconds; None when it sends none."""
        answer = self._repeated("GET", "/labs" + _query({"limit": "1"}))
        try:
            found = parsedate_to_datetime(answer.headers.get("date", ""))
        except ValueError:
            return None
        return found if found.tzinfo else found.replace(tzinfo=UTC)

    def close(self) -> None:
        """Close every connection."""
        self._kept.close()
        self._fresh.close()

    def _repeated(
        self, method: str, path: str, body: bytes | None = None, *, may_be_absent: bool = False
    ) -> httpx2.Response:
        answer: httpx2.Response = self._retrying(self._tried, method, path, body, may_be_absent)
        return answer

    def _tried(self, method: str, path: str, body: bytes | None, may_be_absent: bool) -> httpx2.Response:
        asked = f"{method} {path.partition('?')[0]}"
        try:
            answer = self._answered(self._kept, method, path, body)
        except httpx2.RequestError as error:
            raise CatalogUnreachable(f"the line broke ({_name(error)})", to=asked) from _bare(error)
        described = None if answer.is_success else self._described(answer, asked)
        if described is None or (may_be_absent and answer.status_code == 404 and described.is_json):
            return answer
        raise error_of(described)

    def _answered(self, client: httpx2.Client, method: str, path: str, body: bytes | None) -> httpx2.Response:
        """The answer, after one new login if the token is not known any more."""
        header = self._login(outdated=None)
        answer = self._sent(client, method, path, body, header)
        if answer.status_code != 403 or self._password is None:
            return answer
        if not is_invalid_token(self._described(answer, method)):
            return answer
        return self._sent(client, method, path, body, self._login(outdated=header))

    def _sent(
        self, client: httpx2.Client, method: str, path: str, body: bytes | None, header: _Secret
    ) -> httpx2.Response:
        self._limiter.wait()
        headers = {"Authorization": header.reveal()}
        if body is not None:
            headers["Content-Type"] = "application/json"
        begun = time.perf_counter()
        try:
            answer = client.request(method, self.url + path, content=body, headers=headers)
            self._took.append(time.perf_counter() - begun)
            return answer
        except _NOTHING_SENT as error:
            what = f"no connection ({_name(error)})"
            raise CatalogUnreachable(what, to=self.url) from _bare(error)
        finally:
            del headers

    def _login(self, outdated: _Secret | None) -> _Secret:
        """The Authorization header; a new one if the known one is `outdated`."""
        known = self._header
        if known is not None and known is not outdated:
            return known
        with self._login_lock:
            if self._header is None or self._header is outdated:
                self._header = self._new_header()
            return self._header

    def _new_header(self) -> _Secret:
        if self._password is None:
            raise CatalogLoginRefused("no token and no password", to=f"{self.user} at {self.url}")
        asked = "POST /auth-token"
        try:
            answer = self._kept.post(
                f"{self.url}/auth-token", json={"username": self.user, "password": self._password.reveal()}
            )
        except httpx2.RequestError as error:
            raise CatalogUnreachable(f"no login ({_name(error)})", to=self.url) from _bare(error)
        described = self._described(answer, asked)
        if answer.status_code == 400 and described.is_json:
            raise CatalogLoginRefused("Alyx refused user and password", to=f"{self.user} at {self.url}")
        if not answer.is_success:
            raise error_of(described)
        token = _json(answer, asked)
        if not (isinstance(token, dict) and isinstance(token.get("token"), str)):
            raise CatalogBroken("the login was answered without a token", to=self.url)
        remember(token["token"])
        return _Secret(f"Token {token['token']}")

    def _described(self, answer: httpx2.Response, asked: str) -> Answer:
        return Answer(
            asked=asked,
            status=answer.status_code,
            content_type=answer.headers.get("content-type", ""),
            text=answer.text,
            retry_after=answer.headers.get("retry-after"),
            location=answer.headers.get("location"),
            user=self.user,
        )

    def _may_help(self, error: BaseException) -> bool:
        """Whether to ask again within seconds."""
        if isinstance(error, CatalogThrottled):
            return error.after is not None and error.after <= self._patience.longest_wait
        return isinstance(error, CatalogUnreachable | CatalogBroken)


def _asked(state: RetryCallState) -> float:
    """Seconds the server asked us to wait, 0 if it did not ask."""
    error = state.outcome.exception() if state.outcome else None
    return error.after.total_seconds() if isinstance(error, TransferError) and error.after else 0.0


def _json(answer: httpx2.Response, asked: str) -> Any:
    try:
        return json.loads(answer.content)
    except ValueError as error:
        raise CatalogBroken("Alyx answered with something that is not JSON", to=asked) from error


def _dumped(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, separators=(",", ":"), allow_nan=False).encode()


def _query(query: Mapping[str, str] | None) -> str:
    if not query:
        return ""
    return "?" + "&".join(f"{name}={quote(value, safe=_PLAIN)}" for name, value in query.items())


def _name(error: httpx2.RequestError) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _bare(error: Foreign) -> Foreign:
    """The foreign error without its frames: their locals hold the request's headers and body."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)
