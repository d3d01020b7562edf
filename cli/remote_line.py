"""The line to a dashboard elsewhere: its address, our token, and what its failures mean.

PROMISES: a token goes to the address that was named and nowhere else (no redirect is followed), and never in clear to
another machine; a failure that the dashboard tells is raised here as the same error, with the exit code it would have
had there; whatever else answers is `ServerStrange`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx2
from pydantic import TypeAdapter, ValidationError

from config.problems import Wrong
from config.secrets import check_private
from config.sections import is_loopback
from transfer.errors import (
    CATALOGUE,
    ConfigProblems,
    RequestMalformed,
    ServerStrange,
    ServerUnreachable,
    ServerUnsafe,
    TransferError,
)
from transfer.secrecy import remember

_API = "/api/v1"
_PROBLEM = "application/problem+json"
_TIMEOUT = httpx2.Timeout(10.0, read=60.0)
_TOKEN = re.compile(r"[\x21-\x7e]{1,400}")
_AWAY = (502, 503, 504)  # what a proxy says of a dashboard that does not run

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class _Told:
    """What we need of a problem."""

    code: str
    what: str
    to: str
    remedy: str
    problems: tuple[str, ...] = ()


_TOLD = TypeAdapter(_Told)


def checked(address: str) -> str:
    """The address without a slash at its end.  Raises `ServerUnsafe`."""
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https"):
        raise ServerUnsafe(
            "this is no address of a dashboard", do="Write for example https://transfer.example.org."
        )
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise ServerUnsafe(
            "the address has more than a host and a port",
            to=host,
            do="Leave login and query out; a token is given by --token-file or ALYX_TRANSFER_TOKEN.",
        )
    if parts.scheme == "http" and not is_loopback(host):
        raise ServerUnsafe("a token would go over the network in clear", to=address)
    return address.rstrip("/")


def read_token(file: Path | None, said: str | None) -> str | None:
    """The token: from the file, else as the environment says it; None for neither.  Raises `ConfigProblems`."""
    if file is None:
        where, found = "ALYX_TRANSFER_TOKEN", (said or "").strip()
        if not found:
            return None
    else:
        where, found = str(file), _written(file)
    remember(found)
    if not _TOKEN.fullmatch(found):
        what = f"{where}: this is no token. `alyx-transfer token new` prints one, in one line."
        raise ConfigProblems([what], to=where)
    return found


def _written(file: Path) -> str:
    try:
        check_private(file)
        return file.read_text("utf-8").strip()
    except Wrong as wrong:
        raise ConfigProblems([f"--token-file: {wrong}"], to=file) from wrong
    except (OSError, UnicodeDecodeError) as error:
        what = f"--token-file: {file} cannot be read ({type(error).__name__})"
        raise ConfigProblems([what], to=file) from error


class Line:
    """Asks the operations of one dashboard's API."""

    def __init__(
        self, address: str, token: str | None, *, transport: httpx2.BaseTransport | None = None
    ) -> None:
        self._address = address
        headers = {"Accept": "application/json", "User-Agent": "alyx-transfer"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        # What is on this machine is not asked through a proxy, which would read the token.
        here = is_loopback(urlsplit(address).hostname or "")
        self._client = httpx2.Client(
            base_url=f"{address}{_API}",
            headers=headers,
            timeout=_TIMEOUT,
            trust_env=not here,
            transport=transport,
        )

    def close(self) -> None:
        self._client.close()

    def get(self, path: str, answered: TypeAdapter[Value], /, **asked: Any) -> Value:
        """What is answered, as a value of this kind; what is None is not asked."""
        wanted = {name: value for name, value in asked.items() if value is not None}
        return self._read(self._send("GET", path, params=wanted), answered)

    def post(self, path: str, answered: TypeAdapter[Value], body: Mapping[str, Any]) -> Value:
        """The same for a change."""
        wanted = {name: value for name, value in body.items() if value is not None}
        return self._read(self._send("POST", path, json=wanted), answered)

    def _send(self, method: str, path: str, **more: Any) -> httpx2.Response:
        try:
            answer = self._client.request(method, path, **more)
        except httpx2.RequestError as error:
            # Without its cause, which holds the request and its token.
            what = f"the dashboard does not answer ({type(error).__name__})"
            raise ServerUnreachable(what, to=self._address) from None
        if answer.is_success:
            return answer
        raise self._failure(answer)

    def _read(self, answer: httpx2.Response, wanted: TypeAdapter[Value]) -> Value:
        try:
            return wanted.validate_json(answer.content)
        except ValidationError as error:
            what = f"the answer cannot be understood ({error.error_count()} places of it)"
            raise ServerStrange(what, to=self._address) from None

    def _failure(self, answer: httpx2.Response) -> TransferError:
        if answer.headers.get("content-type", "").partition(";")[0] == _PROBLEM:
            try:
                return raised(_TOLD.validate_json(answer.content))
            except ValidationError:
                return ServerStrange("the dashboard's failure cannot be understood", to=self._address)
        if answer.status_code in _AWAY:
            return ServerUnreachable(f"the dashboard is away (status {answer.status_code})", to=self._address)
        return ServerStrange(
            f"this is no answer of a dashboard (status {answer.status_code})", to=self._address
        )


def raised(told: _Told) -> TransferError:
    """The error that was raised there."""
    kind = CATALOGUE.get(told.code)
    if kind is None:
        return ServerStrange(f"{told.what} ({told.code})", to=told.to, do=told.remedy)
    error = kind.__new__(kind)
    TransferError.__init__(error, told.what, to=told.to, do=told.remedy)
    if isinstance(error, ConfigProblems | RequestMalformed):
        error.problems = list(told.problems)
    return error
