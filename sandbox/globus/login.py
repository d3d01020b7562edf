"""The views of Globus Auth: tokens, authorization, identities, consents, and the keys that sign ID tokens.

A client logs in by itself (client_credentials), or a person agrees at the authorize address (here: always) and
the code is exchanged; refresh tokens renew.  ID tokens are signed with RS512, as the SDK expects.
"""

import base64
import hashlib
import json
import uuid
from functools import cache
from urllib.parse import urlencode

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from sandbox.globus.endpoint import OWNER
from sandbox.globus.errors import Refused, RefusedLogin
from sandbox.globus.requesting import Answer, Document, Request
from sandbox.globus.tokens import AUTH, TRANSFER_ALL, Code, Token, Tokens, data_access

_KEY_ID = "sandbox"


@cache
def _key() -> rsa.RSAPrivateKey:
    """One key for the process: to make it takes a tenth of a second, and nothing rests on its secrecy."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


class Login:
    """`person` is the identity that always agrees."""

    def __init__(self, tokens: Tokens, person: str) -> None:
        self._tokens, self._person = tokens, person
        self.url = ""

    def token(self, request: Request) -> Answer:
        """Issue tokens."""
        form = request.form()
        client = self._client(request, form)
        match form.get("grant_type"):
            case "client_credentials":
                tokens = self._tokens.issue(client, client, form.get("scope", ""), offline=False)
                return Answer(200, self._documents(tokens, client))
            case "refresh_token":
                token = self._tokens.renew(form.get("refresh_token", ""), client)
                return Answer(200, self._documents([token], client))
            case "authorization_code":
                return Answer(200, self._exchange(form, client))
        raise RefusedLogin(400, "unsupported_grant_type", f"Unsupported grant: {form.get('grant_type')}")

    def _client(self, request: Request, form: dict[str, str]) -> str:
        """The client that asks.  Raises `RefusedLogin` (401) for an unknown one or a wrong secret."""
        key, secret = form.get("client_id", ""), form.get("client_secret")
        header = request.headers.get("authorization", "")
        if header.lower().startswith("basic "):
            key, _, secret = base64.b64decode(header[6:]).decode().partition(":")
        if key not in self._tokens.clients or self._tokens.clients[key] != secret:
            raise RefusedLogin(401, "invalid_client", "The client is unknown or its secret is wrong")
        return key

    def authorize(self, request: Request) -> Answer:
        """Agree at once, and send the browser back with the code."""
        asked = {name: request.query(name) for name in ("client_id", "scope", "code_challenge")}
        if asked["client_id"] not in self._tokens.clients:
            return Answer(400, {}, text="Unknown client")
        offline = request.query("access_type") == "offline"
        code = self._tokens.add_code(
            Code(self._person, asked["client_id"], asked["scope"], asked["code_challenge"], offline)
        )
        target = request.query("redirect_uri")
        if not target or target.endswith("/v2/web/auth-code"):
            return Answer(200, {"code": code}, text=code)
        back = urlencode({"code": code, "state": request.query("state")})
        return Answer(
            302, {"code": code}, {"location": f"{target}{'&' if '?' in target else '?'}{back}"}, text=""
        )

    def _exchange(self, form: dict[str, str], client: str) -> Document:
        code = self._tokens.take_code(form.get("code", ""), client)
        proof = _b64(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        if code.challenge and code.challenge != proof:
            raise RefusedLogin(401, "invalid_grant", "The code verifier does not match")
        tokens = self._tokens.issue(code.identity, client, code.scope, offline=code.offline)
        return {**self._documents(tokens, client), "state": "_default"}

    def _documents(self, tokens: list[Token], client: str) -> Document:
        first, *others = sorted(tokens, key=lambda token: token.server != AUTH)
        return {
            **self._document(first, client),
            "other_tokens": [self._document(token, client) for token in others],
        }

    def _document(self, token: Token, client: str) -> Document:
        document: Document = {
            "access_token": token.access,
            "scope": token.scope,
            "expires_in": max(0, int((token.expires - self._tokens.clock.now()).total_seconds())),
            "token_type": "Bearer",
            "resource_server": token.server,
        }
        if token.refresh:
            document["refresh_token"] = token.refresh
        if "openid" in token.scope.split():
            document["id_token"] = self._id_token(token.identity, client)
        return document

    def _id_token(self, identity: str, client: str) -> str:
        now = int(self._tokens.clock.now().timestamp())
        claims = {
            "iss": self.url,
            "aud": client,
            "sub": identity,
            "iat": now,
            "exp": now + self._tokens.seconds,
            "at_hash": "",
            "preferred_username": OWNER,
            "name": "Sandbox",
            "identity_provider": identity,
        }
        head = {"typ": "JWT", "alg": "RS512", "kid": _KEY_ID}
        text = ".".join(_b64(json.dumps(part).encode()) for part in (head, claims))
        signed = _key().sign(text.encode(), padding.PKCS1v15(), hashes.SHA512())
        return f"{text}.{_b64(signed)}"

    def validate(self, request: Request) -> Answer:
        """Whether a token is good."""
        return Answer(200, {"active": self._tokens.active(request.form().get("token", ""))})

    def revoke(self, request: Request) -> Answer:
        """Make a token worthless."""
        text = request.form().get("token", "")
        self._tokens.revoke(text)
        return Answer(200, {"active": False})

    def configuration(self, _request: Request) -> Answer:
        """What OpenID clients ask first."""
        return Answer(
            200,
            {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/v2/oauth2/authorize",
                "token_endpoint": f"{self.url}/v2/oauth2/token",
                "revocation_endpoint": f"{self.url}/v2/oauth2/token/revoke",
                "userinfo_endpoint": f"{self.url}/v2/oauth2/userinfo",
                "jwks_uri": f"{self.url}/jwk.json",
                "id_token_signing_alg_values_supported": ["RS512"],
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
            },
        )

    def keys(self, _request: Request) -> Answer:
        """The public key of ID tokens."""
        numbers = _key().public_key().public_numbers()
        key = {"kty": "RSA", "alg": "RS512", "use": "sig", "kid": _KEY_ID}
        return Answer(200, {"keys": [{**key, "n": _number(numbers.n), "e": _number(numbers.e)}]})

    def userinfo(self, request: Request) -> Answer:
        """Who the token belongs to."""
        identity = self._caller(request)
        return Answer(200, {"sub": identity, "preferred_username": OWNER, "name": "Sandbox", "email": OWNER})

    def identities(self, request: Request) -> Answer:
        """Identities by id; every id is one, and all have the same name."""
        self._caller(request)
        return Answer(200, {"identities": [_identity(key) for key in request.query("ids").split(",") if key]})

    def consents(self, request: Request) -> Answer:
        """What an identity has consented to, as paths of dependent scopes."""
        identity = request.args["identity"]
        if self._caller(request) != identity:
            raise Refused(403, "FORBIDDEN", "Only your own consents can be seen")
        rows = [_consent(1, TRANSFER_ALL, [1], identity)]
        for number, collection in enumerate(self._tokens.consents(identity), start=2):
            rows.append(_consent(number, data_access(collection), [1, number], identity))
        return Answer(200, {"consents": rows})

    def _caller(self, request: Request) -> str:
        return self._tokens.caller(request.headers.get("authorization", "")[len("Bearer ") :], AUTH)


def _identity(key: str) -> Document:
    return {
        "id": key,
        "username": OWNER,
        "name": "Sandbox",
        "email": OWNER,
        "organization": None,
        "identity_provider": str(uuid.UUID(int=0)),
        "status": "used",
    }


def _consent(number: int, scope: str, path: list[int], identity: str) -> Document:
    moment = "2024-01-01T00:00:00.000000+00:00"
    return {
        "id": number,
        "client": str(uuid.UUID(int=number)),
        "scope": str(uuid.uuid5(uuid.NAMESPACE_URL, scope)),
        "scope_name": scope,
        "dependency_path": path,
        "effective_identity": identity,
        "status": "approved",
        "allows_refresh": True,
        "auto_approved": False,
        "atomically_revocable": len(path) > 1,
        "created": moment,
        "updated": moment,
        "last_used": moment,
    }


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _number(value: int) -> str:
    return _b64(value.to_bytes((value.bit_length() + 7) // 8, "big"))
