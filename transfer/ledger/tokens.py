"""Tokens by which programs use the dashboard: made once, shown once, known by their SHA-256 only.

A token is 192 random bits, so that a plain hash at rest is enough and needs no salt.  Its role is one of `ROLES`; it
holds until it ends, or is revoked.  Making and revoking are events, with the person who did it.
"""

import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Row, insert, or_, select, update

from transfer.errors import ActionUnfitting, NothingFound
from transfer.ledger.ledger import Ledger
from transfer.ledger.tables import tokens
from transfer.secrecy import remember

ROLES = ("viewer", "operator", "admin")
"""What a token may do, from the least."""

_BEGINS = "at_"
_SHAPE = re.compile(r"at_[A-Za-z0-9_-]{32}")
_NAME = re.compile(r"(?![0-9]+$)[\w.@+-]{1,100}")
_USED_EVERY = timedelta(minutes=1)  # how often its use is written down at most
_SUBJECT = "token"


@dataclass(frozen=True, kw_only=True, slots=True)
class Token:
    """One token, without its secret.  `until` is None where it does not end by itself."""

    id: int
    name: str
    role: str
    made_by: str
    made_at: datetime
    until: datetime | None
    revoked_at: datetime | None
    used_at: datetime | None


def make(ledger: Ledger, name: str, role: str, *, lasting: timedelta | None = None) -> tuple[Token, str]:
    """A new token and its secret, which nobody can ever ask for again.  Raises `ActionUnfitting`."""
    if role not in ROLES:
        raise ActionUnfitting("a token has no such role", to=role, do=f"There are: {', '.join(ROLES)}.")
    if not _NAME.fullmatch(name):
        do = "Use letters, digits and . _ @ + -, not digits alone."
        raise ActionUnfitting("a token cannot have this name", to=name, do=do)
    secret = f"{_BEGINS}{secrets.token_urlsafe(24)}"
    remember(secret)
    with ledger.unguarded() as tx:
        taken = select(tokens.c.id).where(tokens.c.name == name, _holds(tx.now))
        if tx.connection.scalar(taken) is not None:
            raise ActionUnfitting(
                "a token of this name exists", to=name, do="Revoke it, or take another name."
            )
        row = tx.connection.execute(
            insert(tokens)
            .values(
                name=name,
                digest=_digest(secret),
                role=role,
                made_by=ledger.actor,
                made_at=tx.now,
                until=tx.now + lasting if lasting is not None else None,
            )
            .returning(tokens)
        ).one()
        tx.log(_SUBJECT, [(name, "token_made", None, role, None)])
    return _token(row), secret


def listed(ledger: Ledger) -> Sequence[Token]:
    """All of them, the newest first; those that hold no more, too."""
    with ledger.reading() as connection:
        return [_token(row) for row in connection.execute(select(tokens).order_by(tokens.c.id.desc()))]


def revoke(ledger: Ledger, token: int | str) -> Token:
    """Let a token hold no more, named by its number or, with all of the same name, by its name; may be done twice.

    Raises `NothingFound`.
    """
    named = tokens.c.id == token if isinstance(token, int) else tokens.c.name == token
    change = update(tokens).where(named, tokens.c.revoked_at.is_(None))
    with ledger.unguarded() as tx:
        ended = tx.connection.execute(change.values(revoked_at=tx.now).returning(tokens)).all()
        if ended:
            newest = max(ended, key=lambda row: row.id)
            tx.log(_SUBJECT, [(newest.name, "token_revoked", newest.role, None, None)])
            return _token(newest)
        query = select(tokens).where(named).order_by(tokens.c.id.desc()).limit(1)
        before = tx.connection.execute(query).first()
    if before is None:
        do = "List them: alyx-transfer token list."
        raise NothingFound("there is no such token", to=token, do=do)
    return _token(before)


def recognise(ledger: Ledger, secret: str) -> Token | None:
    """The token with this secret, if it holds; its use is written down, at most once a minute."""
    if not _SHAPE.fullmatch(secret):
        return None
    with ledger.reading() as connection:
        now = ledger.now(connection)
        query = select(tokens).where(tokens.c.digest == _digest(secret), _holds(now))
        row = connection.execute(query).first()
    if row is None:
        return None
    if row.used_at is None or now - row.used_at >= _USED_EVERY:
        with ledger.writing() as connection:
            connection.execute(update(tokens).where(tokens.c.id == row.id).values(used_at=now))
    return _token(row)


def _holds(now: datetime) -> ColumnElement[bool]:
    return tokens.c.revoked_at.is_(None) & or_(tokens.c.until.is_(None), tokens.c.until > now)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _token(row: Row[tuple[object, ...]]) -> Token:
    told = row._mapping
    return Token(**{name: told[name] for name in Token.__dataclass_fields__})
