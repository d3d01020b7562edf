"""A lab in a box for tests: the sandbox Alyx, a lab's disk, a store on a disk, a ledger, and runners that share them.

The parts are real: HTTP to the sandbox, files on disk, SQLite.  Only time is ours: `clock` moves when told.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Any

from sqlalchemy import text

from sandbox.alyx import SandboxAlyx
from transfer.catalog.alyx import AlyxCatalog
from transfer.catalog.alyx_http import AlyxHttp
from transfer.catalog.types import KnownTypes
from transfer.ledger import Ledger, endpoints, open_ledger
from transfer.model import Lab, SessionKey
from transfer.planning import Limits
from transfer.runner import Runner
from transfer.transports.base import StreamingTransport
from transfer.transports.local import LocalTransport

LAB, LAB_SERVER, STORE = "cortexlab", "cortexlab_SR", "flatiron_cortexlab"
SUBJECT, DAY = "KS023", date(2019, 12, 10)
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
_LONG_AFTER = NOON + timedelta(days=36_500)


class Clock:
    """A clock that stands still until it is told to go on; wall and monotonic together."""

    def __init__(self, now: datetime = NOON) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def monotonic(self) -> float:
        return self.now.timestamp()

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@dataclass
class World:
    """Everything one scenario touches."""

    root: Path
    alyx: SandboxAlyx
    lab: Lab
    clock: Clock = field(default_factory=Clock)
    open_store: Callable[[], StreamingTransport] | None = None
    ledger_url: str | None = None
    rights_known: bool = True  # no small files are tried at the store before the first batch
    _catalogs: list[AlyxCatalog] = field(default_factory=list)
    _ledgers: list[Ledger] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)  # seconds the line to Alyx would have slept

    @property
    def store(self) -> Path:
        return self.root / "store"

    def session(self, number: int = 1, *, known: bool = True) -> Path:
        """A session folder of the lab; Alyx knows the session unless told otherwise."""
        folder = self.lab.root / SUBJECT / DAY.isoformat() / f"{number:03d}"
        folder.mkdir(parents=True, exist_ok=True)
        if known:
            self.alyx.add_session(SUBJECT, DAY.isoformat(), number)
        return folder

    def write(self, session: Path, path: str, content: bytes) -> Path:
        """A file of the lab, written long ago."""
        file = session / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        return file

    def new_ledger(self) -> Ledger:
        url = self.ledger_url or f"sqlite:///{self.root / 'ledger.sqlite'}"
        made = open_ledger(url)
        ledger = Ledger(made.engine, clock=self.clock, monotonic=self.clock.monotonic)
        self._ledgers.append(ledger)
        return ledger

    def new_catalog(self, **options: Any) -> AlyxCatalog:
        user, password = "rig_user", "secret"
        line = AlyxHttp(
            self.alyx.url, user=user, password=password, requests_per_minute=1_000_000, sleep=self._waited
        )
        catalog = AlyxCatalog(self.alyx.url, user=user, password=password, http=line, **options)
        self._catalogs.append(catalog)
        return catalog

    def runner(self, **changes: Any) -> Runner:
        """A worker of this world; workers share the ledger's file, not its object."""
        ledger = changes.pop("ledger", None) or self.new_ledger()
        catalog = changes.pop("catalog", None) or self.new_catalog()
        endpoints.ensure(ledger, [endpoints.ALYX, LAB_SERVER, STORE])
        state = endpoints.state(ledger, STORE)
        if self.rights_known and state and "rights_at" not in state.capabilities:
            endpoints.learnt(ledger, STORE, rights_at=_LONG_AFTER.isoformat())
        options: dict[str, Any] = {
            "ledger": ledger,
            "catalog": catalog,
            "labs": [self.lab],
            "transports": {STORE: "local"},
            "open_transport": lambda _store: self._transport(),
            "types": KnownTypes(catalog),
            "limits": Limits(),
            "lease_seconds": 60,
            "announcers": 1,
            "heart": False,
            "sleep": self.clock.advance,
            "chance": lambda: 0.0,
        }
        return Runner(**(options | changes))

    def _transport(self) -> StreamingTransport:
        return self.open_store() if self.open_store else LocalTransport(self.store, connections=1)

    def see(self, runner: Runner, session: Path) -> int:
        """Bring the session into the ledger and make it due."""
        number = int(session.name)
        key = SessionKey(source=LAB_SERVER, subject=SUBJECT, date=DAY, number=number)
        made = runner.ledger.saw_session(key, self.lab)
        runner.ledger.make_due(made)
        return made

    def settle(self, runner: Runner, rounds: int = 60) -> None:
        """Work until nothing is due."""
        for _ in range(rounds):
            if not runner.work():
                return
        raise AssertionError("the work does not end")

    # ---- what an observer sees, behind our back

    def record(self, path: str, repository: str = STORE) -> dict[str, Any]:
        """The file record of a lab file (by its path below the root) in a repository."""
        (found,) = [row for row in self.alyx.tables.file_records(repository) if row["relative_path"] == path]
        return found

    def dataset(self, path: str) -> dict[str, Any]:
        """The dataset row of a lab file."""
        wanted = self.record(path)["dataset"]
        (found,) = [row for row in self.alyx.tables.datasets() if row["id"] == wanted]
        return found

    def stored(self, path: str) -> Path:
        """Where the central copy of a lab file has to stand, by rules written down here once more."""
        name = PurePosixPath(path)
        uuid = self.record(path)["dataset"]
        return self.store / name.with_name(f"{name.stem}.{uuid}{name.suffix}")

    def stored_files(self) -> list[Path]:
        return sorted(path for path in self.store.rglob("*") if path.is_file())

    def lies(self) -> list[str]:
        """Central records that say exists over bytes that are not the dataset's; read from disk and tables only."""
        datasets = {row["id"]: row for row in self.alyx.tables.datasets()}
        wrong = []
        for record in self.alyx.tables.file_records(STORE):
            if not record["exists"]:
                continue
            name = PurePosixPath(record["relative_path"])
            file = self.store / name.with_name(f"{name.stem}.{record['dataset']}{name.suffix}")
            if not file.is_file() or md5(file.read_bytes()) != datasets[record["dataset"]]["hash"]:
                wrong.append(str(name))
        return wrong

    # ---- what the ledger holds, by plain SQL

    def rows(self, question: str) -> list[Any]:
        """The rows of a SELECT on the ledger's tables."""
        with self._ledgers[0].reading() as connection:
            return list(connection.execute(text(question)))

    def facts(self) -> dict[str, str]:
        """Where each open item stands, or its hold, by the file's path in its session."""
        rows = self.rows(f"SELECT datasets.path, items.status, items.hold FROM {_ITEMS} WHERE items.open = 1")
        return {row.path: row.hold or row.status for row in rows}

    def ends(self) -> list[tuple[str, str]]:
        """The closed items: path in the session and end, in the order they were made."""
        rows = self.rows(
            f"SELECT datasets.path, items.status FROM {_ITEMS} WHERE items.open IS NULL ORDER BY items.id"
        )
        return [(row.path, row.status) for row in rows]

    def reason(self, path: str) -> str:
        """What a person reads about a file: why it is held, or why it is no item."""
        rows = self.rows(
            "SELECT coalesce(items.hold_text, datasets.unregistrable) AS text FROM datasets "
            "LEFT JOIN copies ON copies.dataset = datasets.id "
            "LEFT JOIN items ON items.copy = copies.id AND items.hold IS NOT NULL "
            f"WHERE datasets.path = '{path}'"
        )
        return next((row.text for row in rows if row.text), "")

    def session_hold(self) -> tuple[str | None, str | None]:
        """Hold and sentence of the only session."""
        (row,) = self.rows("SELECT hold, hold_text FROM sessions")
        return row.hold, row.hold_text

    def _waited(self, seconds: float) -> None:
        self.waits.append(seconds)

    def close(self) -> None:
        for catalog in self._catalogs:
            catalog.close()
        for ledger in self._ledgers:
            ledger.engine.dispose()


_ITEMS = "items JOIN copies ON copies.id = items.copy JOIN datasets ON datasets.id = copies.dataset "


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


@contextmanager
def world(root: Path, **changes: Any) -> Iterator[World]:
    """A fresh lab, its Alyx and its store."""
    (root / "lab").mkdir()
    (root / "store").mkdir()
    with SandboxAlyx() as alyx:
        alyx.add_user("rig_user", password="secret")
        alyx.add_repository(LAB_SERVER, globus_path="/lab/", personal=True)
        alyx.add_repository(
            STORE, globus_path="/cortexlab/Subjects/", personal=False, data_url="http://store/"
        )
        alyx.add_lab(LAB, repositories=[LAB_SERVER, STORE])
        alyx.add_subject(SUBJECT, LAB)
        lab = Lab(name=LAB, repository=LAB_SERVER, root=root / "lab", store=STORE, work="disk")
        made = World(root=root, alyx=alyx, lab=lab, **changes)
        try:
            yield made
        finally:
            made.close()
