"""A lab with real neighbours: the sandbox Alyx, synthetic sessions, a store, a config file, and worker processes.

What became of a run is read behind the program's back: the store's disk, the sandbox's tables, plain SQL.
`Outcome` is what must be the same however the messages, processes and servers fared.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from sqlalchemy import text
from sqlalchemy.exc import OperationalError, ProgrammingError

from config import wiring
from config.sections import Settings
from config.settings import load
from sandbox.alyx import SandboxAlyx
from sandbox.sessions import SyntheticSession, write_many, write_sessions
from sandbox.store import SftpStore
from tests.world import LAB, LAB_SERVER, STORE, md5
from transfer.ledger import Ledger
from transfer.ledger.engine import open_engine
from workers.assembly import worker_app
from workers.crew import Crew
from workers.service import running

REPOSITORY = Path(__file__).parents[2]
PATIENCE = 60.0  # seconds until what must happen is said not to happen

_CONFIG = """
[alyx]
url = "{alyx}"
user = "rig_user"
password_file = "{root}/password"
requests_per_minute = 100000
[ledger]
url = "{ledger}"
[broker]
url = "{broker}"
[journey]
lease_seconds = 10
batch_files = {batch_files}
first_wait_seconds = 1
longest_wait_seconds = 2
[schedule]
sweep_seconds = 1
scan = "every second"
[logs]
format = "text"
"""
_LAB = '\n[labs."{name}"]\nrepository = "{repository}"\nroot = "{root}"\nstore = "{store}"\nwork = "disk"\n'


def until(happened: Callable[[], Any], what: str, *, patience: float = PATIENCE) -> None:
    """Look until it is so; fails with `what` when it never is."""
    deadline = time.monotonic() + patience
    while not happened():
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(0.02)


@dataclass(frozen=True)
class Outcome:
    """What an observer finds.  `stored` and `announced` go by the file's path below the lab's root."""

    stored: dict[str, str]
    announced: frozenset[str]
    receipts: dict[str, int]
    open_items: int = 0
    leases: int = 0
    strays: tuple[str, ...] = ()


@dataclass
class Place:
    """One lab and its store."""

    root: Path
    alyx: SandboxAlyx
    sftp: SftpStore | None = None
    ledger_url: str = ""
    broker: str = "memory://"
    batch_files: int = 4
    lab: str = LAB
    repository: str = LAB_SERVER
    store: str = STORE
    files: dict[str, str] = field(default_factory=dict)
    """What was written: md5 by path below the lab's root."""
    neighbours: list["Place"] = field(default_factory=list)
    """Other labs of the same config."""

    @property
    def lab_root(self) -> Path:
        return self.root / "labs" / self.lab / "Subjects"

    @property
    def store_root(self) -> Path:
        return self.root / "stores" / self.store

    def furnish(self, *, sessions: int = 3, files: int = 6, size: int = 3000) -> None:
        """Write sessions of small arrays, and tell Alyx of them."""
        self._tell_alyx(
            write_many(
                self.root / "labs",
                sessions=sessions,
                files_per_session=files,
                bytes_per_file=size,
                seed=1,
                lab=self.lab,
            )
        )

    def furnish_as_a_rig_does(self, *, sessions: int = 1, large_bytes: int = 0) -> None:
        """Write sessions of behaviour, a probe and a camera, with files that Alyx does not take among them."""
        self._tell_alyx(
            write_sessions(
                self.root / "labs",
                sessions=sessions,
                seed=1,
                lab=self.lab,
                large_bytes=large_bytes,
                megabytes=0.1,
            )
        )

    def _tell_alyx(self, written: Sequence[SyntheticSession]) -> None:
        self.store_root.mkdir(parents=True, exist_ok=True)
        self.alyx.add_repository(
            self.repository, globus_path="/lab/", personal=True, hostname=f"{self.lab}.lab.invalid"
        )
        self.alyx.add_repository(
            self.store, globus_path="/store/", personal=False, data_url="http://store.invalid/"
        )
        self.alyx.add_lab(self.lab, repositories=[self.repository, self.store])
        for subject in sorted({session.subject for session in written}):
            self.alyx.add_subject(subject, self.lab)
        for session in written:
            self.alyx.add_session(session.subject, session.date.isoformat(), session.number)
            for name in session.registrable:
                path = (session.path / name).relative_to(self.lab_root)
                self.files[path.as_posix()] = md5((session.path / name).read_bytes())

    def settings(self) -> Settings:
        """The config as a file, read back."""
        return load(self.write_config(), {})

    def write_config(self) -> Path:
        (self.root / "password").write_text("secret")
        (self.root / "password").chmod(0o600)
        said = _CONFIG.format(
            alyx=self.alyx.url,
            root=self.root,
            ledger=self.ledger_url or f"sqlite:///{self.root / 'ledger.sqlite'}",
            broker=self.broker,
            batch_files=self.batch_files,
        )
        for one in (self, *self.neighbours):
            said += _LAB.format(name=one.lab, repository=one.repository, root=one.lab_root, store=one.store)
            said += f'\n[stores."{one.store}"]\n{one._store_lines()}'
        file = self.root / "config.toml"
        file.write_text(said)
        return file

    def _store_lines(self) -> str:
        if self.sftp is None:
            return f'transport = "local"\nroot = "{self.store_root}"\n'
        return (
            f'transport = "sftp"\nhost = "{self.sftp.host}"\nport = {self.sftp.port}\nuser = "{self.sftp.user}"\n'
            f'root = "{self.sftp.root}"\nkey = "{self.sftp.key}"\nknown_hosts = "{self.known_hosts}"\n'
            "connect_timeout = 5\nconnections = 2\n"
        )

    @property
    def known_hosts(self) -> Path:
        """The lab's own file: what the server says of itself later does not change it."""
        ours = self.root / "known_hosts"
        if not ours.exists() and self.sftp is not None:
            ours.write_bytes(self.sftp.known_hosts.read_bytes())
        return ours

    # ---- what an observer finds

    def outcome(self) -> Outcome:
        stored, strays = {}, []
        wanted = {
            f"{record['relative_path']}": (record["dataset"], record["exists"])
            for record in self.alyx.tables.file_records(self.store)
        }
        names = {self._stored_name(path, uuid): path for path, (uuid, _) in wanted.items()}
        for file in sorted(path for path in self.store_root.rglob("*") if path.is_file()):
            name = file.relative_to(self.store_root).as_posix()
            if name in names:
                stored[names[name]] = md5(file.read_bytes())
            elif not self._left_by_a_trial(file.name):
                strays.append(name)
        mine = f"copies.repository = '{self.store}'"
        return Outcome(
            stored=stored,
            announced=frozenset(path for path, (_, exists) in wanted.items() if exists),
            receipts=dict(
                self.ask(
                    "SELECT sessions.path || '/' || datasets.path, count(*) FROM receipts "
                    "JOIN copies ON copies.id = receipts.copy JOIN datasets ON datasets.id = copies.dataset "
                    f"JOIN sessions ON sessions.id = datasets.session WHERE receipts.kind = 'arrival' AND {mine} "
                    "GROUP BY 1"
                )
            ),
            open_items=self.number(
                f"SELECT count(*) FROM items JOIN copies ON copies.id = items.copy WHERE items.open = 1 AND {mine}"
            ),
            leases=self._leases(),
            strays=tuple(strays),
        )

    def _leases(self) -> int:
        return self.number(
            "SELECT (SELECT count(*) FROM sessions WHERE lease_token IS NOT NULL) + "
            "(SELECT count(*) FROM batches WHERE lease_token IS NOT NULL)"
        )

    def _left_by_a_trial(self, name: str) -> bool:
        """Whether a worker left it that died while it tried the store out: a partial of no dataset, for `tidy`."""
        partial = re.fullmatch(r"\.([0-9a-f-]{36})\.[0-9a-f]{8}\.part", name)
        return bool(partial) and partial[1] not in {row["id"] for row in self.alyx.tables.datasets()}

    def calm(self) -> Outcome:
        """What a run must have come to on which nothing went wrong."""
        return Outcome(
            stored=dict(self.files),
            announced=frozenset(self.files),
            receipts=dict.fromkeys(self.files, 1),
        )

    def lies(self) -> list[str]:
        """Announced files whose bytes at the store are not the dataset's."""
        hashes = {row["id"]: row["hash"] for row in self.alyx.tables.datasets()}
        wrong = []
        for record in self.alyx.tables.file_records(self.store):
            file = self.store_root / self._stored_name(record["relative_path"], record["dataset"])
            if record["exists"] and (
                not file.is_file() or md5(file.read_bytes()) != hashes[record["dataset"]]
            ):
                wrong.append(record["relative_path"])
        return wrong

    @staticmethod
    def _stored_name(path: str, uuid: str) -> str:
        name = PurePosixPath(path)
        return name.with_name(f"{name.stem}.{uuid}{name.suffix}").as_posix()

    def arrived(self) -> int:
        """How many files have their receipt."""
        return self.number(
            "SELECT count(*) FROM receipts JOIN copies ON copies.id = receipts.copy "
            f"WHERE kind = 'arrival' AND copies.repository = '{self.store}'"
        )

    def done(self) -> bool:
        """Whether all has arrived, and nobody holds anything any more; False while the ledger cannot tell."""
        try:
            return self.arrived() >= len(self.files) and self._leases() == 0
        except (OperationalError, ProgrammingError):
            return False

    def endpoint(self, name: str) -> Any:
        """An endpoint's row."""
        (row,) = self.ask(f"SELECT * FROM endpoints WHERE name = '{name}'")
        return row

    def number(self, question: str) -> int:
        return int(self.ask(question)[0][0])

    def ask(self, question: str) -> list[Any]:
        """The rows of a SELECT on the ledger."""
        engine = open_engine(self.ledger_url or f"sqlite:///{self.root / 'ledger.sqlite'}")
        try:
            with engine.connect().execution_options(sqlite_begin="DEFERRED") as connection:
                return list(connection.execute(text(question)))
        finally:
            engine.dispose()


@contextmanager
def place(root: Path, **changes: Any) -> Iterator[Place]:
    """A fresh lab; its Alyx runs while the `with` lasts."""
    with SandboxAlyx() as alyx:
        alyx.add_user("rig_user", password="secret")
        yield Place(root=root, alyx=alyx, **changes)


@contextmanager
def working(settings: Settings, *, concurrency: int = 2) -> Iterator[tuple[Ledger, Crew]]:
    """Worker and beat in this process, put together from the config as the command does."""
    with ExitStack() as opened:
        ledger = wiring.ledger(settings)
        opened.callback(ledger.engine.dispose)
        catalog = opened.enter_context(closing(wiring.catalog(settings)))
        app, crew = worker_app(settings, ledger=ledger, catalog=catalog, hands=concurrency)
        opened.enter_context(closing(crew.rounds.runner))
        crew.rounds.start()
        opened.enter_context(running(app, concurrency=concurrency))
        yield ledger, crew


_PROGRAM = "from cli.main import run; run()"
_WRONG_CLOCK = """
import datetime, time_machine
now = datetime.datetime.now(datetime.timezone.utc)
time_machine.travel(now + datetime.timedelta(seconds={ahead}), tick=True).start()
"""


def _environment() -> dict[str, str]:
    """Ours without its settings; a program that is aborted tells what each of its threads was doing."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("ALYX_TRANSFER_")}
    return kept | {"PYTHONFAULTHANDLER": "1"}


class Program:
    """`alyx-transfer <words>` as a process of its own; what it says is in `said`.

    Its machine's clock is `ahead` by so many seconds, or behind.
    """

    def __init__(self, config: Path, *words: str, ahead: float = 0) -> None:
        self._lines: list[str] = []
        program = (_WRONG_CLOCK.format(ahead=ahead) if ahead else "") + _PROGRAM
        self._process = subprocess.Popen(
            [sys.executable, "-c", program, "--config", str(config), *words],
            cwd=REPOSITORY,
            env=_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.append(line)

    @property
    def said(self) -> str:
        return "".join(self._lines)

    @property
    def pid(self) -> int:
        return self._process.pid

    def alive(self) -> bool:
        return self._process.poll() is None

    def send(self, which: signal.Signals) -> None:
        self._process.send_signal(which)

    def wait(self) -> int:
        """The exit code, once it has ended; where it does not end, what each of its threads is doing."""
        try:
            code = self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.send(signal.SIGABRT)
            self._process.wait()
            self._reader.join(PATIENCE)
            raise AssertionError(f"did not end within {PATIENCE} s:\n{self.said}") from None
        self._reader.join(PATIENCE)
        return code

    def stop(self) -> int:
        """End it as a service manager does; answers the exit code."""
        self.send(signal.SIGTERM)
        return self.wait()

    def close(self) -> None:
        if self.alive():
            self._process.kill()
        self._process.wait()
        self._reader.join(PATIENCE)
        if self._process.stdout:
            self._process.stdout.close()


@contextmanager
def programs() -> Iterator[Callable[..., Program]]:
    """Start programs; whatever still runs at the end is killed."""
    started: list[Program] = []

    def start(config: Path, *words: str, ahead: float = 0) -> Program:
        started.append(Program(config, *words, ahead=ahead))
        return started[-1]

    try:
        yield start
    finally:
        for one in started:
            with contextlib.suppress(ProcessLookupError):
                one.close()
