"""Who we are for Globus: tokens, and how they are renewed.

A `Tokens` is shared by every transport of this process that logs in the same way, and safe to use from any thread.
It holds an access token in memory and gets another one shortly before it ends, or when the service says that it is
no longer good.  A confidential client gets it with its secret; a person's comes from the refresh token that
`alyx-transfer globus login` kept in a file which only its owner may read.

No login is ever asked for here: without a usable one it raises `MoverLoginExpired`.
"""

import json
import os
import secrets
import stat
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from globus_sdk import ConfidentialAppAuthClient, NativeAppAuthClient
from globus_sdk.authorizers import GlobusAuthorizer
from globus_sdk.response import GlobusHTTPResponse
from globus_sdk.transport import RequestsTransport, RetryConfig

from transfer.errors import MoverConsentRequired, MoverLoginExpired
from transfer.secrecy import remember
from transfer.transports.globus.options import GlobusOptions
from transfer.transports.globus.refusals import asking
from transfer.transports.globus.refusals import field as part

_SERVICE = "transfer.api.globus.org"
_EARLY = 120.0  # seconds before its end at which a token is renewed


@dataclass(frozen=True, slots=True)
class Token:
    """An access token and when it ends, in seconds since the epoch."""

    value: str = field(repr=False)
    ends: float


class Tokens:
    """The current token.  `renew` gets another one, and is called by one thread at a time."""

    def __init__(self, renew: Callable[[], Token]) -> None:
        self._renew = renew
        self._lock = threading.Lock()
        self._token: Token | None = None

    def current(self) -> Token:
        """Raises `MoverLoginExpired`, `MoverConsentRequired`, `MoverUnavailable`, `MoverThrottled`."""
        with self._lock:
            if self._token is None or self._token.ends - _EARLY < time.time():
                self._fetch()
            assert self._token is not None
            return self._token

    def refused(self, token: Token | None) -> None:
        """The service does not take `token`: get another, unless another thread did so meanwhile."""
        with self._lock:
            if self._token in (None, token):
                self._fetch()

    def _fetch(self) -> None:
        self._token = None
        self._token = self._renew()


class Bearer(GlobusAuthorizer):
    """What one client of the SDK shows the service."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self._shown: Token | None = None

    def get_authorization_header(self) -> str:
        self._shown = self._tokens.current()
        return f"Bearer {self._shown.value}"

    def handle_missing_authorization(self) -> bool:
        self._tokens.refused(self._shown)
        return True


_shared: dict[tuple[Any, ...], Tokens] = {}
_sharing = threading.Lock()


def tokens_for(options: GlobusOptions) -> Tokens:
    """The tokens of this login in this process; none is asked for yet."""
    secret = options.client_secret.get_secret_value() if options.client_secret else options.client_secret_file
    login = (options.auth_url, options.client_id, secret, options.token_file, options.scope)
    with _sharing:
        if login not in _shared:
            renew = _as_client if options.login == "client" else _as_person
            _shared[login] = Tokens(lambda: renew(options))
        return _shared[login]


# ---- a confidential client


def _as_client(options: GlobusOptions) -> Token:
    client = ConfidentialAppAuthClient(
        options.client_id, _secret(options), base_url=options.auth_url, **_manners(options)
    )
    with _opened(client), asking("Globus Auth"):
        return _token(client.oauth2_client_credentials_tokens(requested_scopes=options.scope))


def _secret(options: GlobusOptions) -> str:
    if options.client_secret is not None:
        return options.client_secret.get_secret_value()
    assert options.client_secret_file is not None
    lines = _private_text(
        options.client_secret_file, missing="the file with the client's secret cannot be read"
    )
    first = lines.splitlines()[0].strip() if lines.strip() else ""
    if not first:
        raise MoverLoginExpired(
            "the file with the client's secret is empty",
            to=options.client_secret_file,
            do="Write the secret into its first line.",
        )
    remember(first)
    return first


# ---- a person


def _as_person(options: GlobusOptions) -> Token:
    kept = _kept(options)
    client = NativeAppAuthClient(options.client_id, base_url=options.auth_url, **_manners(options))
    with _opened(client), asking("Globus Auth"):
        answer = client.oauth2_refresh_token(kept)
    row = _row(answer)
    if row.get("refresh_token") not in (None, kept):
        _keep(options, str(row["refresh_token"]))
    return _token(answer)


def _kept(options: GlobusOptions) -> str:
    """The refresh token of the file."""
    file = options.token_file
    assert file is not None
    text = _private_text(file, missing="nobody has logged in to Globus yet, or the file cannot be read")
    try:
        kept = json.loads(text)
        token, client, scope = str(kept["refresh_token"]), str(kept["client_id"]), str(kept["scope"])
    except (ValueError, KeyError, TypeError) as error:
        raise MoverLoginExpired("the file holds no login of ours", to=file) from error
    if client != str(options.client_id):
        raise MoverLoginExpired("the login in the file is another client's", to=file)
    if scope != options.scope:
        raise MoverConsentRequired("data_access was changed after the login", to=file)
    remember(token)
    return token


def _keep(options: GlobusOptions, refresh_token: str) -> None:
    """Put the file in place as a whole, readable for its owner only."""
    file = options.token_file
    assert file is not None
    remember(refresh_token)
    text = json.dumps(
        {"client_id": str(options.client_id), "scope": options.scope, "refresh_token": refresh_token}
    )
    beside = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as out:
            out.write(text)
        beside.replace(file)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise MoverLoginExpired(
            "the login cannot be kept", to=file, do="Give this account the right to write the token_file."
        ) from error


class PersonalLogin:
    """A login of a person: they open `url`, allow it, and bring back a code for `finish`.  A context manager."""

    def __init__(self, options: GlobusOptions) -> None:
        self._options = options
        self._client = NativeAppAuthClient(options.client_id, base_url=options.auth_url, **_manners(options))
        self._client.oauth2_start_flow(requested_scopes=options.scope, refresh_tokens=True)
        self.url = self._client.oauth2_get_authorize_url()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()
        self._client.transport.close()

    def finish(self, code: str) -> Path:
        """Exchange the code and keep the login; answers the file.  Raises `MoverLoginExpired`."""
        with asking("Globus Auth"):
            answer = self._client.oauth2_exchange_code_for_tokens(code)
        token = _row(answer).get("refresh_token")
        if not token:
            raise MoverLoginExpired("Globus Auth gave no refresh token", to="Globus Auth")
        _keep(self._options, str(token))
        assert self._options.token_file is not None
        return self._options.token_file


# ---- shared by both


def _private_text(file: Path, *, missing: str) -> str:
    try:
        mode = stat.S_IMODE(file.stat().st_mode)
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise MoverLoginExpired(missing, to=file) from error
    if os.name == "posix" and mode & 0o077:
        raise MoverLoginExpired(
            f"others can read a secret (mode {mode:04o})", to=file, do=f"Run: chmod 600 {file}"
        )
    return text


def _row(answer: GlobusHTTPResponse) -> dict[str, Any]:
    """The token for the transfer service; Globus Auth may give others beside it."""
    rows = [answer.data or {}, *(answer.get("other_tokens") or [])]
    found = next((row for row in rows if part(row, "resource_server") == _SERVICE), None)
    if found is None:
        raise MoverLoginExpired("Globus Auth gave no token for the transfer service", to="Globus Auth")
    return dict(found)


def _token(answer: GlobusHTTPResponse) -> Token:
    row = _row(answer)
    remember(str(part(row, "access_token")))
    return Token(str(part(row, "access_token")), time.time() + float(part(row, "expires_in")))


def _manners(options: GlobusOptions) -> dict[str, Any]:
    """How long we wait and how often we ask again; a `RetryConfig` must never be shared by two clients."""
    return {
        "app_name": "alyx-transfer",
        "transport": RequestsTransport(http_timeout=options.timeout),
        "retry_config": RetryConfig(max_retries=2, max_sleep=60),
    }


@contextmanager
def _opened(client: ConfidentialAppAuthClient | NativeAppAuthClient) -> Any:
    try:
        yield client
    finally:
        client.close()
        client.transport.close()
