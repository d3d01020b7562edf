"""Reads the one secret the program itself needs: the password or the token for Alyx.

A secret comes from the environment or from a file that only its owner can read.  It is a `SecretStr`
from the moment it is read, so printing or logging it shows asterisks.  Keys and passwords of a store
belong to its transport's own options and are read there.

Every secret of a config is remembered by `transfer.secrecy` as soon as it is read: where a mistake brings it into
a message all the same, the message shows `***`.
"""

import json
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from pydantic import BaseModel, SecretStr

from config.problems import Wrong
from transfer.errors import CatalogLoginRefused
from transfer.secrecy import remember

# In the parts of an address (`//user:password@host`) and in its query (`?password=...`), as databases take it.
_PASSWORDS = re.compile(r"(?<=://)[^/?#@\s]*?:(?P<a>[^/?#\s]+)@|(?<=[?&]password=)(?P<b>[^&#\s]+)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Credential:
    """Who we are for Alyx: exactly one of `password` and `token` is set."""

    user: str
    password: SecretStr | None = None
    token: SecretStr | None = None


def check_private(path: Path) -> None:
    """Refuse a secrets file that is missing, empty or readable by others (POSIX only).  Raises `Wrong`."""
    try:
        facts = path.stat()
    except OSError as error:
        raise Wrong(
            f"{path} cannot be used ({(error.strerror or type(error).__name__).lower()})",
            "Write the secret into it, readable for its owner only (mode 0600).",
        ) from error
    if not stat.S_ISREG(facts.st_mode) or facts.st_size == 0:
        raise Wrong(f"{path} is empty or not a file", "Write the secret into it.")
    check_mode(path)
    if not os.access(path, os.R_OK):
        raise Wrong(f"{path} cannot be read by this account", "Make the worker's account its owner.")


def check_mode(path: Path) -> None:
    """Refuse a file with secrets that others can read (POSIX only).  Raises `Wrong`.

    A file of root's may be lent to our group: so systemd lends a service its credentials, for the account by an ACL
    that shows as the group's right.
    """
    if os.name != "posix":
        return
    facts = path.stat()
    mode = stat.S_IMODE(facts.st_mode)
    lent = stat.S_IRGRP if facts.st_uid == 0 != os.geteuid() else 0
    if mode & 0o077 & ~lent:
        raise Wrong(f"{path} can be read by others (mode {mode:04o})", f"Run: chmod 600 {path}")


def first_line(path: Path) -> str:
    """The password in a file: its first line, remembered from here on.  Raises `Wrong`."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise Wrong(f"{path} cannot be read as text", "Write the password into its first line.") from error
    if not lines or not lines[0]:
        raise Wrong(f"{path} has no first line", "Write the password into its first line.")
    remember(lines[0])
    return lines[0]


def read_password(path: Path, *, user: str) -> Credential:
    """The password is the file's first line."""
    lines = _text(path).splitlines()
    if not lines or not lines[0]:
        raise CatalogLoginRefused("the password file has no first line", to=path)
    remember(lines[0])
    return Credential(user=user, password=SecretStr(lines[0]))


def read_token(path: Path, *, user: str) -> Credential:
    """The token of `user` from a file as the ONE library keeps it, or from a file with just the token.

    ONE writes `~/.one/.<host>`, a JSON object whose `TOKEN` maps each user to `{"token": "<40 hex digits>"}`.
    """
    text = _text(path).strip()
    token = _token_of(text, user) if text.startswith("{") else text
    if not token or any(letter.isspace() for letter in token):
        raise CatalogLoginRefused(
            f"no token for user {user} in the token file",
            to=path,
            do="Log in once with ONE as this user, or correct alyx.user or alyx.token_file.",
        )
    remember(token)
    return Credential(user=user, token=SecretStr(token))


def remember_secrets(value: object) -> None:
    """Remember every secret inside a section, however deep: passwords, and those in addresses."""
    match value:
        case SecretStr():
            remember(value.get_secret_value())
        case str():
            for found in _PASSWORDS.finditer(value):
                password = found["a"] or found["b"]
                remember(password)
                remember(unquote(password))
        case BaseModel():
            for name in type(value).model_fields:
                remember_secrets(getattr(value, name))
        case Mapping():
            for inner in value.values():
                remember_secrets(inner)


def _token_of(text: str, user: str) -> str | None:
    try:
        known = json.loads(text).get("TOKEN") or {}
        token = (known.get(user) or {}).get("token")
    except (ValueError, AttributeError):
        return None
    return token if isinstance(token, str) else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CatalogLoginRefused("the file with the secret cannot be read", to=path) from error
