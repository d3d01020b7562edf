"""A lab in a box: one folder with a lab's disk, its Alyx and its central store, for the demo and for rehearsals.

    lab/demolab/Subjects/...    the lab's sessions, as a rig leaves them
    store/...                   the central store's disk
    alyx.sqlite                 what the sandbox Alyx remembers
    home/                       keys, ports and the password; readable for their owner only
    box.json                    what the box was made with

Promises: the same folder opened again is the same lab: rows, keys, the password, and the ports where they are
still free.  A folder that holds anything else is refused, and so is one that is open already.  Whatever moment
a process dies at, the next one opens the box and finds it whole.

It moves nothing and registers nothing: that is for the program under test.
"""

import json
import os
import secrets
import socket
import sqlite3
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from types import TracebackType
from typing import Literal, Self
from urllib.parse import urlsplit

from sandbox.alyx import SandboxAlyx
from sandbox.globus import SandboxGlobus
from sandbox.sessions import SyntheticSession, places, write_sessions
from sandbox.sftp_files import Before
from sandbox.store import HOST, SftpStore
from sandbox.web_store import WebStore

LAB, LAB_SERVER, STORE, USER = "demolab", "demolab_SR", "flatiron_demolab", "demo_rig"
LAB_COLLECTION = "1ab00000-0000-4000-8000-000000000001"
STORE_COLLECTION = "57000000-0000-4000-8000-000000000002"

Transport = Literal["sftp", "local", "globus"]


class BoxRefused(Exception):
    """The folder cannot be a box; the text is a sentence for people."""


class Box:
    """The lab.  A context manager for one use: entering starts Alyx and what leads to the store."""

    alyx: SandboxAlyx
    web: WebStore
    """The store as its readers see it."""
    sftp: SftpStore | None = None
    """The store's server, where it is reached over SFTP."""
    globus: SandboxGlobus | None = None
    """The service, where it carries the files."""
    sessions: tuple[SyntheticSession, ...] = ()
    """What `furnish` wrote."""

    def __init__(
        self,
        root: Path,
        *,
        sessions: int,
        seed: int,
        transport: Transport,
        large_bytes: int = 64 * 1024**2,
        before: Before | None = None,
    ) -> None:
        """`before` scripts the store's server, which is then the embedded one (see `sftp_files`)."""
        self.root = Path(os.path.realpath(root))
        self.new = not (self.root / "box.json").exists()
        self._wanted, self._seed, self._transport, self._large = sessions, seed, transport, large_bytes
        self._before = before
        self._open = ExitStack()

    @property
    def lab_root(self) -> Path:
        """The folder that holds the subjects' folders."""
        return self.root / "lab" / LAB / "Subjects"

    @property
    def store_root(self) -> Path:
        return self.root / "store"

    @property
    def password_file(self) -> Path:
        return self.root / "home" / "alyx-password"

    def __enter__(self) -> Self:
        """Open the box.  Raises `BoxRefused`."""
        with ExitStack() as opened:
            self._claim(opened)
            self.alyx = opened.enter_context(
                SandboxAlyx(state=self.root / "alyx.sqlite", port=self._last_port("alyx"))
            )
            (self.root / "home" / "alyx-port").write_text(self.alyx.url.rpartition(":")[2])
            self.web = opened.enter_context(WebStore(self.store_root, port=self._last_port("web")))
            (self.root / "home" / "web-port").write_text(str(urlsplit(self.web.url).port))
            if self._transport == "sftp":
                self.sftp = opened.enter_context(
                    SftpStore(self.store_root, home=self.root / "home", before=self._before)
                )
            if self._transport == "globus":
                self.globus = opened.enter_context(SandboxGlobus())
                self.globus.add_collection("lab", self.lab_root, "personal", key=LAB_COLLECTION)
                self.globus.add_collection("store", self.store_root, "guest", key=STORE_COLLECTION)
            self._open = opened.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def furnish(self) -> Sequence[SyntheticSession]:
        """Write the sessions that are missing and tell Alyx of them; safe to repeat.

        A box that was made with more sessions keeps them: they are part of the lab.
        """
        written = self._write()
        self._tell_alyx(written)
        return self.sessions

    def grow(self) -> SyntheticSession:
        """One more session, as if a rig had just finished it: Alyx knows of it before its flag is there."""
        self._wanted += 1
        _replace(self.root / "box.json", json.dumps({"seed": self._seed, "sessions": self._wanted}))
        *_, (_, folder, subject, day) = places(self.root / "lab", LAB, "DEMO", self._wanted)
        self.tell_alyx_of([SyntheticSession(folder, subject, day, 1, (), ())], lab=LAB)
        return self._write()[-1]

    def _write(self) -> Sequence[SyntheticSession]:
        written = write_sessions(
            self.root / "lab", sessions=self._wanted, seed=self._seed, lab=LAB, large_bytes=self._large
        )
        self.sessions = tuple(written)
        return self.sessions

    def _claim(self, opened: ExitStack) -> None:
        """Take the folder for this process, and agree with what it was made with."""
        if self.root.exists() and not self.root.is_dir():
            raise BoxRefused(f"{self.root} is no folder. Name one that is empty or not there.")
        home = self.root / "home"
        if self.new and self.root.exists() and any(path != home for path in self.root.iterdir()):
            raise BoxRefused(f"{self.root} holds other things. Name a folder that is empty or not there.")
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        opened.enter_context(closing(_locked(self.root)))
        marker = self.root / "box.json"
        made = {"seed": self._seed, "sessions": 0} if self.new else json.loads(marker.read_text())
        if made["seed"] != self._seed:
            raise BoxRefused(
                f"{self.root} was made with --seed {made['seed']}. Name that seed or another folder."
            )
        self._wanted = max(self._wanted, made["sessions"])
        _replace(marker, json.dumps({"seed": self._seed, "sessions": self._wanted}))
        for folder in (self.lab_root, self.store_root):
            folder.mkdir(parents=True, exist_ok=True)

    def _last_port(self, server: str) -> int:
        """The port of the last run if nobody has taken it since, else 0."""
        try:
            port = int((self.root / "home" / f"{server}-port").read_text())
            with socket.create_server((HOST, port)):
                return port
        except (OSError, ValueError, OverflowError):
            return 0

    def _tell_alyx(self, written: Sequence[SyntheticSession]) -> None:
        """Make what is missing of the user, the lab, the subjects and the sessions."""
        if not self.password_file.exists():
            _replace(self.password_file, secrets.token_urlsafe(18))
        self.add_person(USER)
        self.tell_alyx_of_lab(LAB, server=LAB_SERVER, store=STORE)
        self.alyx.set_data_url(STORE, self.web.url)
        self.tell_alyx_of(written, lab=LAB)

    def add_person(self, name: str) -> None:
        """Somebody who may log in to Alyx with the password of the box."""
        if name not in {row["username"] for row in self.alyx.tables.rows("users")}:
            self.alyx.add_user(name, password=self.password_file.read_text())

    def tell_alyx_of_lab(self, lab: str, *, server: str, store: str) -> None:
        """Make what is missing of a lab, its own repository and its store."""
        alyx, rows = self.alyx, self.alyx.tables.rows
        repositories = {row["name"] for row in rows("data-repository")}
        if server not in repositories:
            alyx.add_repository(server, globus_path="/lab/", personal=True)
        if store not in repositories:
            alyx.add_repository(store, globus_path="/store/", personal=False)
        if lab not in {row["name"] for row in rows("labs")}:
            alyx.add_lab(lab, repositories=[server, store])

    def tell_alyx_of(self, written: Sequence[SyntheticSession], *, lab: str) -> None:
        """Make what is missing of the lab's subjects and these sessions."""
        alyx, rows = self.alyx, self.alyx.tables.rows
        subjects = {row["nickname"] for row in rows("subjects")}
        known = {(row["subject"], row["start_time"][:10], row["number"]) for row in alyx.tables.sessions()}
        for session in written:
            if session.subject not in subjects:
                alyx.add_subject(session.subject, lab)
                subjects.add(session.subject)
            day = session.date.isoformat()
            if (session.subject, day, session.number) not in known:
                alyx.add_session(session.subject, day, session.number)


def _locked(root: Path) -> sqlite3.Connection:
    """Hold the folder until the connection closes or the process ends.  Raises `BoxRefused`."""
    # SQLite's lock, because it exists on every system and dies with its process.
    held = sqlite3.connect(root / "home" / "lock", timeout=0, isolation_level=None)
    try:
        held.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as error:
        held.close()
        raise BoxRefused(f"{root} is in use by another run. Wait for it, or name another folder.") from error
    return held


def _replace(path: Path, text: str) -> None:
    """Write a file of mode 0600 in one step."""
    partial = path.with_name(f"{path.name}.new")
    partial.unlink(missing_ok=True)
    with open(partial, "x", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(text)
    partial.replace(path)
