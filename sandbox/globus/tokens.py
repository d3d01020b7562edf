"""Who may do what: identities, clients, access and refresh tokens, and consents.

A consent belongs to an identity, not to a token: once given it also holds for tokens issued before, as in the
real service.
"""

import re
import secrets
import threading
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sandbox.globus.clock import Clock
from sandbox.globus.collection import Collection
from sandbox.globus.errors import Refused, RefusedLogin

TRANSFER = "transfer.api.globus.org"
AUTH = "auth.globus.org"
TRANSFER_ALL = f"urn:globus:auth:scope:{TRANSFER}:all"
_DATA_ACCESS = re.compile(r"https://auth\.globus\.org/scopes/([0-9a-f-]{36})/data_access")


def data_access(collection: str) -> str:
    """The scope of a mapped collection's data."""
    return f"https://auth.globus.org/scopes/{collection}/data_access"


@dataclass
class Token:
    """An access token, and the refresh token that came with it."""

    access: str
    refresh: str | None
    identity: str
    client: str
    server: str
    scope: str
    expires: datetime


@dataclass
class Code:
    """An authorization code.  The exchange carries no scope, so what was asked is kept here."""

    identity: str
    client: str
    scope: str
    challenge: str
    offline: bool


@dataclass
class Tokens:
    """All of them.  Safe to use from several threads."""

    clock: Clock
    seconds: int = 172_800
    """How long an access token lives."""
    clients: dict[str, str | None] = field(default_factory=dict)
    """Client ids and secrets; None for an application that has none."""
    consenting: set[str] = field(default_factory=set)
    """Collections that have a data_access scope."""

    def __post_init__(self) -> None:
        self._lock = threading.RLock()
        self._access: dict[str, Token] = {}
        self._refresh: dict[str, Token] = {}
        self._codes: dict[str, Code] = {}
        self._consents: dict[str, set[str]] = {}

    def issue(self, identity: str, client: str, scope: str, *, offline: bool) -> list[Token]:
        """One token for each resource server that the scopes name; dependent scopes are consented to."""
        scopes = scope.split()
        if not scopes:
            raise RefusedLogin(400, "invalid_scope", "No scopes were requested")
        wanted = set(_DATA_ACCESS.findall(scope))
        if unknown := wanted - self.consenting:
            raise RefusedLogin(400, "unknown_scope", f"Unknown scope: {data_access(unknown.pop())}")
        by_server: dict[str, list[str]] = {}
        for one in _roots(scope):
            by_server.setdefault(_server(one), []).append(one)
        with self._lock:
            self._consents.setdefault(identity, set()).update(wanted)
            return [
                self._one(identity, client, server, " ".join(roots), offline=offline)
                for server, roots in by_server.items()
            ]

    def _one(self, identity: str, client: str, server: str, scope: str, *, offline: bool) -> Token:
        refresh = secrets.token_urlsafe(24) if offline else None
        expires = self.clock.now() + timedelta(seconds=self.seconds)
        token = Token(secrets.token_urlsafe(32), refresh, identity, client, server, scope, expires)
        self._access[token.access] = token
        if refresh:
            self._refresh[refresh] = token
        return token

    def renew(self, refresh: str, client: str) -> Token:
        """A new access token for a refresh token.  Raises `RefusedLogin`."""
        with self._lock:
            known = self._refresh.get(refresh)
            if known is None or known.client != client:
                raise RefusedLogin(400, "invalid_grant", "The refresh token is invalid or was revoked")
            token = self._one(known.identity, client, known.server, known.scope, offline=False)
            token.refresh = refresh
            return token

    def caller(self, access: str, server: str = TRANSFER) -> str:
        """The identity behind an access token.  Raises `Refused` (401) if it is not, or no longer, good."""
        with self._lock:
            token = self._access.get(access)
        if token is None or token.server != server or token.expires <= self.clock.now():
            raise Refused(401, "AuthenticationFailed", "Token is not active")
        return token.identity

    def active(self, text: str) -> bool:
        """Whether an access or refresh token is good."""
        with self._lock:
            token = self._access.get(text)
            return text in self._refresh or (token is not None and token.expires > self.clock.now())

    def revoke(self, text: str) -> None:
        """Make one token worthless."""
        with self._lock:
            self._access.pop(text, None)
            self._refresh.pop(text, None)

    def expire_all(self) -> None:
        """Every access token is from now on expired; refresh tokens stay good."""
        with self._lock:
            self._access.clear()

    def revoke_refresh_tokens(self) -> None:
        """Every refresh token is from now on worthless, and every access token."""
        with self._lock:
            self._access.clear()
            self._refresh.clear()

    def add_code(self, code: Code) -> str:
        """Remember what a person agreed to, until the code is exchanged."""
        text = secrets.token_urlsafe(12)
        with self._lock:
            self._codes[text] = code
        return text

    def take_code(self, text: str, client: str) -> Code:
        """The code, which can be taken once.  Raises `RefusedLogin`."""
        with self._lock:
            code = self._codes.pop(text, None)
        if code is None or code.client != client:
            raise RefusedLogin(401, "invalid_grant", "The authorization code is invalid")
        return code

    def consents(self, identity: str) -> list[str]:
        """The collections whose data this identity let the service use."""
        with self._lock:
            return sorted(self._consents.get(identity, set()))

    def withdraw(self, collection: str) -> None:
        """Nobody consents to this collection any more."""
        with self._lock:
            for given in self._consents.values():
                given.discard(collection)

    def require_data_access(self, identity: str, place: Collection) -> None:
        """Raise `Refused` (403 ConsentRequired) where a consent is needed and missing."""
        if place.needs_consent and place.id not in self.consents(identity):
            scope = f"{TRANSFER_ALL}[*{data_access(place.id)}]"
            raise Refused(
                403, "ConsentRequired", "Missing required data_access consent", required_scopes=[scope]
            )

    def new_client(self, *, secret: bool) -> tuple[str, str | None]:
        """Register an application; its id is also the identity it acts as by itself."""
        key, word = str(uuid.uuid4()), secrets.token_urlsafe(24) if secret else None
        with self._lock:
            self.clients[key] = word
        return key, word


def _roots(scope: str) -> list[str]:
    """The scopes outside of brackets, without the mark of an optional one."""
    plain, depth = [], 0
    for letter in scope:
        depth += letter == "["
        if depth == 0:
            plain.append(letter)
        depth -= letter == "]"
    return [root.lstrip("*") for root in "".join(plain).split()]


def _server(scope: str) -> str:
    """The resource server of a scope."""
    if scope.startswith("urn:globus:auth:scope:"):
        return scope.split(":")[4]
    if scope.startswith("https://auth.globus.org/scopes/"):
        return scope.split("/")[4]
    return AUTH
