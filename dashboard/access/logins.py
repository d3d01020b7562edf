"""A browser's login: a signed cookie that says who and since when, and nothing else.

PROMISES: without our key no cookie can be made or altered; it ends `session_hours` after the login, and `idle_hours`
after the browser's last request; what somebody may do is not in it, but asked of the config at each request.

Logging out ends every login of that person, wherever (see `transfer.ledger.logins`): a cookie that was copied is worth
nothing then.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from itsdangerous import BadData, URLSafeSerializer

from config.sections import Dashboard

NAME = "alyx_transfer"
HOME = "home"
"""The nonce of whoever sits at this machine, where nobody logs in."""

_LONGEST = 2000  # letters of a cookie
_RENEWED_AFTER = timedelta(minutes=1)
_SALT = "alyx-transfer login"


def now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True, slots=True)
class Login:
    """Who, since when (by the ledger's clock), when last seen (by ours), and what its CSRF token is made of."""

    name: str
    since: datetime
    seen: datetime
    nonce: str


class Logins:
    """Writes and reads cookies with one key."""

    def __init__(self, key: bytes, told: Dashboard, *, clock: Callable[[], datetime] = now) -> None:
        self._key = key
        self._longest = timedelta(hours=told.session_hours)
        self._idle = timedelta(hours=told.idle_hours)
        self._clock = clock
        self._signed = URLSafeSerializer(
            key, salt=_SALT, signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256}
        )

    def begin(self, name: str, *, since: datetime) -> Login:
        """A new login, unlike every one before."""
        return Login(name=name, since=since, seen=self._clock(), nonce=secrets.token_urlsafe(16))

    def written(self, login: Login) -> str:
        """The cookie's value."""
        seen = int(login.seen.timestamp())
        told = self._signed.dumps([login.name, login.since.isoformat(), seen, login.nonce])
        return told if isinstance(told, str) else told.decode("ascii")

    def read(self, cookie: str) -> Login | None:
        """The login of a cookie; None when it is forged, or over."""
        if len(cookie) > _LONGEST:
            return None
        try:
            name, since, seen, nonce = self._signed.loads(cookie)
            login = Login(
                name=str(name),
                since=datetime.fromisoformat(since),
                seen=datetime.fromtimestamp(seen, UTC),
                nonce=str(nonce),
            )
        except (BadData, ValueError, TypeError):
            return None
        time = self._clock()
        over = time - login.since >= self._longest or time - login.seen >= self._idle
        return None if over else login

    def renewed(self, login: Login) -> Login | None:
        """The same login, seen now; None while it was seen just before."""
        time = self._clock()
        return replace(login, seen=time) if time - login.seen >= _RENEWED_AFTER else None

    def csrf_token(self, nonce: str) -> str:
        """What only a page of ours can send back for this login."""
        return hmac.new(self._key, b"csrf:" + nonce.encode(), hashlib.sha256).hexdigest()

    def key_for(self, purpose: bytes) -> bytes:
        """A key for something else that only we may have written."""
        return hmac.new(self._key, b"for:" + purpose, hashlib.sha256).digest()

    def header(self, login: Login | None, *, secure: bool) -> str:
        """The `Set-Cookie` header that begins or goes on with a login; with None the one that ends it."""
        value = self.written(login) if login else ""
        lasting = int(self._longest.total_seconds()) if login else 0
        told = f"{name(secure=secure)}={value}; Path=/; Max-Age={lasting}; HttpOnly; SameSite=Strict"
        return f"{told}; Secure" if secure else told


def name(*, secure: bool) -> str:
    """The cookie's name: over TLS one that browsers take from this host only."""
    return f"__Host-{NAME}" if secure else NAME
