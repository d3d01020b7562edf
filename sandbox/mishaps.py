"""Believable troubles for a lab in a box that somebody looks at: a slow store, a damaged arrival, a locked folder,
a link in a file's place, and a version that another tool registered.

    mishaps = Mishaps(); Box(..., before=mishaps)     the store's server asks it before each request
    link_away(box, session, "alf/licks.times.npy")    in the lab's folder
    register_elsewhere(box, session, name)            in Alyx, over HTTP as any tool would

Promises: nothing outside the box's folder is touched; with `hasten` the store is as fast as it can be from then on, so
that whoever stops need not wait for it.

It breaks nothing for good: each trouble has the cure that the program's own sentence names.
"""

import errno
import hashlib
import json
import threading
import urllib.request
from pathlib import Path, PurePosixPath

from sandbox.box import LAB, LAB_SERVER, USER, Box
from sandbox.sessions import SyntheticSession


class Mishaps:
    """The script of the store's server.  It may be changed while the server runs."""

    def __init__(self, *, slow: float = 0.0) -> None:
        """`slow` seconds pass before each 32 KiB are written."""
        self.slow = slow
        self.damages = 0
        """How many of the next arrivals will have one bit turned over."""
        self.locked: list[str] = []
        """Parts of paths below which nothing may be written."""
        self._hurry = threading.Event()
        self._guard = threading.Lock()
        self._written: set[str] = set()

    def hasten(self) -> None:
        """From now on nothing is slow."""
        self._hurry.set()

    def __call__(self, operation: str, path: str) -> None:
        if operation == "write":
            self._hurry.wait(self.slow)
            with self._guard:
                self._written.add(path)
        elif operation == "open":
            self._opened(path)
        elif operation in ("posix_rename", "rename", "remove"):
            with self._guard:
                self._written.discard(path)

    def _opened(self, path: str) -> None:
        if any(part in path for part in self.locked):
            raise PermissionError(errno.EACCES, "the folder is locked", path)
        with self._guard:
            # Opened again after it was written: somebody is about to read it back.
            damaged = self.damages > 0 and path in self._written
            self.damages -= damaged
            self._written.discard(path)
        if damaged:
            _turn_a_bit(Path(path))


def _turn_a_bit(place: Path) -> None:
    with place.open("r+b") as file:
        middle = place.stat().st_size // 2
        file.seek(middle)
        (byte,) = file.read(1)
        file.seek(middle)
        file.write(bytes([byte ^ 1]))


def link_away(box: Box, session: SyntheticSession, name: str) -> None:
    """Somebody moved a file to another disk and left a link in its place."""
    file = session.path / name
    elsewhere = box.root / "other-disk" / file.relative_to(box.lab_root)
    elsewhere.parent.mkdir(parents=True, exist_ok=True)
    file.replace(elsewhere)
    file.symlink_to(elsewhere)


def register_elsewhere(box: Box, session: SyntheticSession, name: str) -> None:
    """Another tool registers a version of a file that the lab does not have."""
    other = (session.path / name).read_bytes() + b"another version"
    body = {
        "created_by": USER,
        "path": PurePosixPath(session.path.relative_to(box.lab_root)).as_posix(),
        "filenames": [name],
        "hashes": [hashlib.md5(other, usedforsecurity=False).hexdigest()],
        "filesizes": [len(other)],
        "versions": [None],
        "name": LAB_SERVER,
        "server_only": False,
        "exists": True,
        "default": True,
        "labs": [LAB],
    }
    request = urllib.request.Request(
        f"{box.alyx.url}/register-file",
        data=json.dumps(body).encode(),
        headers={"Authorization": f"Token {box.alyx.token_for(USER)}", "Content-Type": "application/json"},
        method="POST",
    )
    with urllib.request.urlopen(request, timeout=30):
        pass
