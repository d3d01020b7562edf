"""The key that signs cookies: from `secret_file`, or made once in the state folder.

Two dashboards that begin at once make one key: each writes its own file, and the first to link it under the name wins.
"""

import hashlib
import os
import secrets
from pathlib import Path

from config import places
from config.problems import Wrong
from config.secrets import check_private
from config.sections import Dashboard
from transfer.errors import ConfigProblems
from transfer.secrecy import remember

NAME = "dashboard-secret"
SHORTEST = 32  # characters


def signing_key(told: Dashboard) -> bytes:
    """32 bytes that nobody else knows.  Raises `ConfigProblems`."""
    if told.login == "none":  # nobody logs in: it signs nothing that outlives us
        return secrets.token_bytes(32)
    file = told.secret_file or places.state_folder() / NAME
    try:
        if told.secret_file is None:
            _make(file)
        check_private(file)
        secret = file.read_text("utf-8").strip()
        if len(secret) < SHORTEST:
            raise Wrong(
                f"{file} has fewer than {SHORTEST} characters", "Write more of them, drawn at random."
            )
    except Wrong as wrong:
        raise ConfigProblems([f"dashboard.secret_file: {wrong}"], to=file) from wrong
    except (OSError, UnicodeDecodeError) as error:
        what = f"dashboard.secret_file: it can neither be read nor made ({type(error).__name__})."
        raise ConfigProblems([what], to=file) from error
    remember(secret)
    return hashlib.sha256(secret.encode()).digest()


def _make(file: Path) -> None:
    """Draw a secret unless one is there."""
    if file.exists():
        return
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    own = file.with_name(f"{file.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as out:
            out.write(secrets.token_urlsafe(32))
            out.flush()
            os.fsync(out.fileno())
        try:
            os.link(own, file)
        except FileExistsError:
            return  # another dashboard was first: its secret is everybody's
    finally:
        own.unlink()
