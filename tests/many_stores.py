"""Twenty labs with a store each, in virtual time: real runners on a real ledger, stores that only take time.

Workers are threads that take turns: whoever sleeps lets the next one wake, and the clock goes to that moment.  So a
run is the same whenever it is run, and an hour takes a second.
"""

import heapq
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, Self
from uuid import UUID

from sqlalchemy import Engine, event, text

from tests.ledger import lab as small_lab
from transfer import planning
from transfer.catalog.base import CatalogDataset, FileRecord
from transfer.errors import TransferError
from transfer.ledger import Ledger, endpoints, schema
from transfer.ledger.engine import open_engine
from transfer.ledger.rows import ITEMS, item
from transfer.model import Item, Lab, Route
from transfer.planning import Limits
from transfer.rounds import Rounds
from transfer.runner import Runner
from transfer.transports.base import (
    Capabilities,
    Download,
    Failed,
    Got,
    Published,
    RemoteFile,
    Rename,
    Sent,
    Upload,
)

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)


class VirtualTime:
    """A clock and its sleepers."""

    def __init__(self) -> None:
        self.now = NOON
        self._sleepers: list[tuple[datetime, int, threading.Semaphore]] = []
        self._numbers = count()
        self._over = threading.Event()
        self._failure: BaseException | None = None

    def __call__(self) -> datetime:
        return self.now

    def monotonic(self) -> float:
        return (self.now - NOON).total_seconds()

    def sleep(self, seconds: float) -> None:
        turn = threading.Semaphore(0)
        self._line_up(seconds, turn)
        self._wake_next()
        turn.acquire()

    def run(self, actors: Sequence[Callable[[], None]]) -> None:
        """Let all act until each has come to its end."""
        self._over.clear()
        for act in actors:
            turn = threading.Semaphore(0)
            self._line_up(0, turn)
            threading.Thread(target=self._act, args=(act, turn), daemon=True).start()
        self._wake_next()
        assert self._over.wait(120), "virtual time stands still"
        if self._failure is not None:
            raise self._failure

    def _line_up(self, seconds: float, turn: threading.Semaphore) -> None:
        at = self.now + timedelta(seconds=seconds)
        heapq.heappush(self._sleepers, (at, next(self._numbers), turn))

    def _wake_next(self) -> None:
        if not self._sleepers:
            self._over.set()
            return
        at, _, turn = heapq.heappop(self._sleepers)
        self.now = max(self.now, at)
        turn.release()

    def _act(self, act: Callable[[], None], turn: threading.Semaphore) -> None:
        turn.acquire()
        try:
            act()
        except BaseException as failure:
            self._failure = failure
            self._over.set()
            raise
        self._wake_next()


@dataclass
class SlowStore:
    """A store whose files take time.  `away` says why it cannot be reached now, after `patience` seconds."""

    time: VirtualTime
    md5s: dict[int, str]
    away: Callable[[], TransferError | None] = lambda: None
    seconds: float = 60
    patience: float = 60
    stored: dict[PurePosixPath, tuple[int, str]] = field(default_factory=dict)
    entered: list[datetime] = field(default_factory=list)
    inside: int = 0
    crowd: int = 0  # the most that were inside at once

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            replaces_atomically=True, remote_hash=False, hard_links=False, syncs=True, free_space=True
        )

    def __enter__(self) -> Self:
        self.entered.append(self.time.now)
        self.inside += 1
        self.crowd = max(self.crowd, self.inside)
        if (error := self.away()) is not None:
            self.time.sleep(self.patience)
            self.inside -= 1
            raise error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.inside -= 1

    def put(self, uploads: Iterable[Upload], moved: Callable[[int], None]) -> Iterator[Sent | Failed]:
        for upload in uploads:
            self.time.sleep(self.seconds)
            md5 = self.md5s[upload.key]
            self.stored[upload.partial] = (upload.size, md5)
            yield Sent(key=upload.key, size=upload.size, md5=md5)

    def get(self, downloads: Iterable[Download], moved: Callable[[int], None]) -> Iterator[Got]:
        for download in downloads:
            size, md5 = self.stored[download.path]
            yield Got(key=download.key, size=size, md5=md5)

    def publish(self, renames: Iterable[Rename]) -> Iterator[Published]:
        for rename in renames:
            self.stored[rename.final] = self.stored.pop(rename.partial)
            yield Published(key=rename.key)

    def stat(self, paths: Sequence[PurePosixPath]) -> Iterator[RemoteFile | None]:
        return iter([None] * len(paths))

    def list_leftovers(self, folders: Sequence[PurePosixPath]) -> Iterator[RemoteFile]:
        return iter([])

    def remove(self, paths: Sequence[PurePosixPath]) -> Iterator[Failed]:
        return iter([])

    def free_space(self) -> int | None:
        return 1 << 40


class Memory:
    """A catalogue that knows the items' datasets and takes no time."""

    def __init__(self, items: Sequence[Item]) -> None:
        self._rows = {one.uuid: _dataset(one) for one in items}
        self._of = {one.record: one.uuid for one in items}

    def datasets(self, ids: Sequence[UUID]) -> dict[UUID, CatalogDataset]:
        return {one: self._rows[one] for one in ids}

    def announce(self, record: UUID, exists: bool, **_more: Any) -> None:
        row = self._rows[self._of[record]]
        self._rows[row.id] = replace(row, records=(replace(row.records[0], exists=exists),))

    def repository(self, _name: str) -> None:
        """Alyx is well."""


def _dataset(one: Item) -> CatalogDataset:
    record = FileRecord(
        id=one.record, dataset=one.uuid, repository=one.target, path=one.source_path, exists=False
    )
    return CatalogDataset(
        id=one.uuid,
        session=None,
        name=one.source_path.name,
        collection="alf",
        revision="",
        md5=one.md5,
        size=one.size,
        qc="NOT_SET",
        default=True,
        tags=(),
        created_at=NOON,
        changed_at=NOON,
        records=(record,),
    )


@dataclass
class ManyStores:
    """The labs, their ledger, and what their stores saw.  `stores[0]` has the oldest batches."""

    engine: Engine
    time: VirtualTime
    ledger: Ledger
    labs: list[Lab]
    stores: dict[str, SlowStore]
    catalog: Memory

    @classmethod
    def made(cls, file: Path, *, labs: int, batches: int, files: int) -> "ManyStores":
        engine = open_engine(f"sqlite:///{file}")
        event.listen(engine, "connect", lambda dbapi, _: dbapi.execute("PRAGMA synchronous=OFF"))
        schema.migrate(engine)
        time = VirtualTime()
        ledger = Ledger(engine, actor="worker:test", clock=time, monotonic=time.monotonic)
        places = [_lab(number, file.parent) for number in range(labs)]
        names = [name for lab in places for name in (lab.repository, lab.store)]
        endpoints.ensure(ledger, [endpoints.ALYX, *names])
        for lab in places:  # no small files are tried there first
            endpoints.learnt(ledger, lab.store, rights_at="2126-01-01T00:00:00+00:00")
        for number, lab in enumerate(places):
            route = Route(source=lab.repository, target=lab.store, transport="slow")
            world = small_lab.World(ledger, small_lab.Clock(), lab=lab, route=route, lease_seconds=600)
            session = world.session(subject=f"SW_{number:03d}")
            world.visit(session, {f"alf/f{n:03d}.times.npy": f"{number} {n}" for n in range(batches * files)})
            ledger.plan(route, partial(planning.batches, limits=Limits(files=files)))
        with ledger.reading() as connection:
            items = [item(row) for row in connection.execute(ITEMS)]
        md5s = {one.id: one.md5 for one in items}
        stores = {lab.store: SlowStore(time, md5s) for lab in places}
        return cls(engine, time, ledger, places, stores, Memory(items))

    def runner(self) -> Runner:
        return Runner(
            ledger=self.ledger,
            catalog=self.catalog,  # type: ignore[arg-type]  # the calls a journey of planned items makes
            labs=self.labs,
            transports=dict.fromkeys(self.stores, "slow"),
            open_transport=lambda store: self.stores[store],  # type: ignore[arg-type,return-value]
            types=lambda: None,  # type: ignore[arg-type,return-value]  # nothing is registered here
            lease_seconds=600,
            announcers=1,
            heart=False,
            sleep=self.time.sleep,
            chance=lambda: 0.5,
        )

    def work(self, *, workers: int, seconds: float, sweeps: bool = False) -> None:
        """Let so many workers work for so long."""
        end = self.time.now + timedelta(seconds=seconds)

        def worker() -> None:
            runner = self.runner()
            while self.time.now < end:
                if not runner.advance_batch():
                    self.time.sleep(30)

        def sweeper() -> None:
            rounds = Rounds(runner=self.runner(), version="test")
            while self.time.now < end:
                rounds.probe([endpoints.ALYX, *self.stores])
                self.time.sleep(60)

        self.time.run([worker] * workers + [sweeper] * sweeps)

    def recorded(self, *, until: float) -> dict[str, int]:
        """Files recorded within so many seconds, by store."""
        at = (NOON + timedelta(seconds=until)).replace(tzinfo=None)
        query = text(
            "SELECT copies.repository AS store, count(*) AS files FROM items JOIN copies ON copies.id = items.copy "
            "WHERE items.status = 'recorded' AND items.since <= :at GROUP BY copies.repository"
        )
        with self.ledger.reading() as connection:
            return {row.store: row.files for row in connection.execute(query, {"at": str(at)})}

    def close(self) -> None:
        self.engine.dispose()


def _lab(number: int, root: Path) -> Lab:
    return Lab(
        name=f"lab{number:02d}",
        repository=f"rig{number:02d}",
        root=root,
        store=f"store{number:02d}",
        work="disk",
    )
