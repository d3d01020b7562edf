"""An installation whose Alyx and SFTP store run, for tests of what a new user does and does wrongly.

The store's server runs in this process, so that its faults can be scripted: set `before`.
"""

import json
import logging
import os
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from cli.main import main
from sandbox.alyx import SandboxAlyx
from sandbox.sftp_server import LOG_CHANNEL
from sandbox.store import SftpStore

LAB, LAB_SERVER, STORE = "cortexlab", "cortexlab_SR", "flatiron_cortexlab"
SUBJECT, DAY = "KS055", "2026-03-04"
TREE = Path(__file__).parents[2]

CONFIG = """
[alyx]
url = "{alyx}"
user = "transfer_bot"
password = "hunter2"
[ledger]
url = "sqlite:///{folder}/ledger.sqlite"
[labs.cortexlab]
repository = "cortexlab_SR"
root = "{root}"
work = "disk"
store = "flatiron_cortexlab"
[stores.flatiron_cortexlab]
transport = "sftp"
host = "{host}"
port = {port}
user = "{user}"
root = "{store_root}"
key = "{key}"
host_key = "{host_key}"
"""


@dataclass
class Running:
    """A lab, its Alyx and its central store."""

    folder: Path
    alyx: SandboxAlyx
    capsys: pytest.CaptureFixture[str]
    before: Callable[[str, str], None] | None = None
    known: set[str] = field(default_factory=set)
    server: SftpStore | None = None

    @property
    def root(self) -> Path:
        return self.folder / "Subjects"

    @property
    def store(self) -> Path:
        return self.folder / "central" / "cortexlab" / "Subjects"

    @property
    def config(self) -> Path:
        return self.folder / "config.toml"

    @property
    def ledger(self) -> Path:
        return self.folder / "ledger.sqlite"

    # ---- the lab

    def session(self, number: str = "001", *, known: bool = True) -> Path:
        """A session's folder with one file; Alyx knows the session unless told otherwise."""
        folder = self.root / SUBJECT / DAY / number
        self.write(folder, "alf/spikes.times.npy", b"spikes" * 1000)
        if known and number not in self.known:
            self.alyx.add_session(SUBJECT, DAY, int(number))
            self.known.add(number)
        return folder

    def write(self, session: Path, path: str, content: bytes) -> Path:
        file = session / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        return file

    def configure(self, **changes: object) -> None:
        """Write the config anew; each change replaces the line of its key, None leaves the line out."""
        lines = self.config.read_text().splitlines()
        for key, value in changes.items():
            index = next(i for i, line in enumerate(lines) if line.startswith(f"{key} ="))
            shown = f'"{value}"' if isinstance(value, str) else value
            lines[index] = "" if value is None else f"{key} = {shown}"
        self.config.write_text("\n".join(lines))
        tomllib.loads(self.config.read_text())

    def keep_on_disk(self, root: Path) -> None:
        """Reach the store as a mounted disk instead."""
        front, _ = self.config.read_text().split("[stores.flatiron_cortexlab]")
        self.config.write_text(f'{front}[stores.flatiron_cortexlab]\ntransport = "local"\nroot = "{root}"\n')

    # ---- the program

    def run(self, *words: object) -> tuple[int, str, str]:
        """Exit code, standard output and standard error of one command, in this process."""
        self.capsys.readouterr()
        code = main(["--config", str(self.config), *map(str, words)])
        told = self.capsys.readouterr()
        assert "Traceback" not in told.out + told.err
        return code, told.out, told.err

    def json(self, *words: object) -> Any:
        """What a command answers as JSON, whatever its exit code."""
        return json.loads(self.run(*words, "--json")[1])

    def start(self, *words: object, **options: Any) -> "subprocess.Popen[str]":
        """One command in a process of its own."""
        command = [
            sys.executable,
            "-c",
            "from cli.main import run; run()",
            "--config",
            self.config,
            *words,
        ]
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
        return subprocess.Popen([str(word) for word in command], cwd=TREE, **options)

    def interrupt(self, child: "subprocess.Popen[str]") -> tuple[int, str, str]:
        """Ctrl-C; answers as `run`.  A child that hangs shows where, and fails the test."""
        child.send_signal(signal.SIGINT)
        try:
            out, err = child.communicate(timeout=40)
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGABRT)  # with PYTHONFAULTHANDLER: every thread's stack
            pytest.fail(f"it does not end: {child.communicate()}")
        return child.returncode, out, err

    # ---- what an observer sees, behind the program's back

    def stored(self) -> list[Path]:
        return sorted(path for path in self.store.rglob("*") if path.is_file())

    def announced(self) -> list[str]:
        """The central records that Alyx says exist."""
        rows = self.alyx.tables.file_records(STORE)
        return sorted(row["relative_path"] for row in rows if row["exists"])

    def rows(self, question: str) -> list[Any]:
        """The rows of a SELECT on the ledger."""
        engine = create_engine(f"sqlite:///{self.ledger}")
        try:
            with engine.connect() as connection:
                return list(connection.execute(text(question)))
        finally:
            engine.dispose()

    def leases(self) -> list[str]:
        """Who holds a session or batch, by the ledger's columns alone."""
        holders = "SELECT lease_holder FROM {} WHERE lease_token IS NOT NULL"
        return [row[0] for table in ("sessions", "batches") for row in self.rows(holders.format(table))]

    def script(self, operation: str, path: str) -> None:
        """What the store's server asks before each request."""
        if self.before is not None:
            self.before(operation, path)


@contextmanager
def running(folder: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Running]:
    # The server shares our process, not our log.
    log = logging.getLogger(LOG_CHANNEL)
    log.propagate = False
    with ExitStack() as opened:
        opened.callback(setattr, log, "propagate", True)
        alyx = opened.enter_context(SandboxAlyx())
        made = Running(folder, alyx, capsys)
        made.root.mkdir()
        made.store.mkdir(parents=True)
        furnish(alyx, made.root)
        server = SftpStore(folder / "central", home=folder / "sftp", before=made.script)
        made.server = store = opened.enter_context(server)
        made.config.touch(mode=0o600)
        made.config.write_text(
            CONFIG.format(
                alyx=alyx.url,
                folder=folder,
                root=made.root,
                host=store.host,
                port=store.port,
                user=store.user,
                key=store.key,
                host_key=store.host_key,
                store_root=made.store,
            )
        )
        yield made


def furnish(alyx: SandboxAlyx, root: Path) -> None:
    alyx.add_user("transfer_bot", password="hunter2")
    alyx.add_repository(LAB_SERVER, globus_path=f"{root}/", personal=True)
    alyx.add_repository(
        STORE, globus_path="/cortexlab/Subjects/", personal=False, data_url="https://store.example.org/"
    )
    alyx.add_lab(LAB, repositories=[LAB_SERVER, STORE])
    alyx.add_subject(SUBJECT, LAB)


def environment() -> dict[str, str]:
    """This process's environment without its own installation; a child that must be killed shows its stacks."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("ALYX_TRANSFER_")}
    return {**ours, "PYTHONFAULTHANDLER": "1"}
