"""Digests that the server computes, where it says that it can: HASH (with the algorithm chosen by OPTS), or
the older XMD5 and XSHA256.

Promises: a digest is taken only from where the reply holds it, never from a file's name.
It does not believe the server: see `conformance.believe_remote_hash`.
"""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from transfer.digests import Algorithm
from transfer.errors import StoredFileMissing, StoreRefused
from transfer.transports.base import Digested
from transfer.transports.ftp.line import Line, Refusal
from transfer.transports.ftp.store import Store

_HASH_NAMES: dict[Algorithm, str] = {"md5": "MD5", "sha256": "SHA-256"}
_OLD_COMMANDS: dict[Algorithm, str] = {"md5": "XMD5", "sha256": "XSHA256"}
_DIGITS: dict[Algorithm, int] = {"md5": 32, "sha256": 64}


@dataclass(frozen=True, slots=True)
class HashCommand:
    """How one server hashes: the command, and what must be said before it."""

    command: str
    before: str | None
    algorithm: Algorithm


def find_command(features: dict[str, str], algorithm: Algorithm) -> HashCommand | None:
    """What FEAT offers; None where it offers nothing."""
    offered = {name.rstrip("*").upper() for name in re.split(r"[;,\s]+", features.get("HASH", ""))}
    if _HASH_NAMES[algorithm] in offered:
        return HashCommand("HASH", f"OPTS HASH {_HASH_NAMES[algorithm]}", algorithm)
    old = _OLD_COMMANDS[algorithm]
    return HashCommand(old, None, algorithm) if old in features else None


def digest(
    line: Line, store: Store, hashing: HashCommand, path: PurePosixPath, *, timeout: float
) -> Digested:
    """Raises `StoreRefused` when the server cannot say, `StoreDenied` when it may not."""
    try:
        if hashing.before is not None:
            line.ask(hashing.before)
        said = line.ask(f"{hashing.command} {store.place(path)}", timeout=timeout).text
    except Refusal as refusal:
        error = store.explain_reading(line, refusal, path)
        if isinstance(error, StoredFileMissing):
            return Digested(path=path, digest=None)
        raise error from refusal
    return Digested(path=path, digest=_digest_in(said, hashing, store.name(path)))


def _digest_in(said: str, hashing: HashCommand, where: str) -> str:
    """HASH answers "MD5 0-499 <digest> <name>", the older commands "<digest>", some with words of their own."""
    named = re.escape(_HASH_NAMES[hashing.algorithm])
    form = rf"\s*(?:{named}\s+)?(?:\d+-\d+\s+)?\"?([0-9a-fA-F]{{{_DIGITS[hashing.algorithm]}}})\b"
    found = re.match(form, said)
    if found is None:
        raise StoreRefused("the server's hash command answers in a form we do not know", to=where)
    return found[1].lower()
