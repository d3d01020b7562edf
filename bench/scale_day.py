"""A day of twelve labs in a few minutes: 180 sessions, 12,000 files, a file of 17 GB in each of twenty of them.

Sessions, files and sizes are drawn from a seed.  What the day is asked is who waited for whom:

    small behind large   a batch of small files waits while every hand of its worker, or every place at its store, is
                         taken by a large file
    idle wait            something is due, a hand of its worker is free, its store has a place, and it waits all the
                         same: at most until the next sweep rings for what is due
    overtaken            something that was rung for later, for the same place, was begun earlier

Where no idle wait is longer than a sweep and nothing is overtaken, what is due is begun at the latest when the N hands
of its worker (or the N places at its store, where these are fewer) have done what was rung for before it, and one sweep
later for each N of these.  That is the bound: W / N + (1 + n / N) sweeps, for n batches before it that take W seconds.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

from sqlalchemy import insert, update

from bench.full_ledger import LABS, lab, repository
from bench.scale_fleet import whole_journey
from bench.scale_world import Clock, Line, Queues, Ring
from transfer import planning
from transfer.ledger import Lease, Ledger, endpoints, tables
from transfer.model import Batch, Route
from transfer.planning import Limits
from transfer.status import Condition, Status

SESSIONS, FILES, LARGE_SESSIONS = 180, 12_000, 20
LARGE = 17 * 10**9
_SMALLEST, _LARGEST = 4_000.0, 400e6  # of the others, drawn evenly by their order of magnitude
_FIRST, _LAST = 17 * 3600.0, 19 * 3600.0  # all rigs finish at the end of the afternoon
_CROWD = 1800.0  # within so many seconds lab 0 finishes eight sessions with a large file
_LINE, _EACH = 50e6, 15e6  # bytes a second: of a lab, and of one connection to a store
_HASHING = 400e6  # bytes a second of a visit
_ANNOUNCING = 0.03  # seconds a file, in Alyx
_SWEEP, _LEASE, _BEAT = 30.0, 60.0, 20.0
_ENOUGH, _DUE = 20, 200  # workers/crew.py, Ledger.due
_BEGIN = datetime(2026, 3, 4, tzinfo=UTC)

Span = tuple[float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """One session: when it is finished, and the sizes of its files."""

    number: int
    lab: int
    at: float
    sizes: tuple[int, ...]


def loads(seed: int, *, scale: float = 1.0) -> list[Load]:
    """The day's sessions.  Lab 0 has eight of the large files, nearly at the same time: that is to be borne."""
    chance = random.Random(seed)
    count, files, large = (max(round(n * scale), 1) for n in (SESSIONS, FILES, LARGE_SESSIONS))
    made = []
    for number in range(count):
        has_large = number < large
        crowded = number < large * 2 // 5
        where = 0 if crowded else number % LABS
        at = _FIRST + chance.uniform(0, _CROWD) if crowded else chance.uniform(_FIRST, _LAST)
        share = files // count + (number < files % count)
        sizes = [
            round(_SMALLEST * (_LARGEST / _SMALLEST) ** chance.random()) for _ in range(share - has_large)
        ]
        made.append(Load(number=number, lab=where, at=at, sizes=(*sizes, *([LARGE] if has_large else []))))
    return sorted(made, key=lambda load: load.at)


@dataclass(kw_only=True)
class Work:
    """A batch or a visit, from the ring to its end.  Times in seconds of the day."""

    kind: str
    id: int
    lab: int
    rung: float
    begun: float = -1
    ended: float = -1
    files: int = 0
    bytes: int = 0

    @property
    def is_large(self) -> bool:
        return self.bytes >= Limits().large_bytes and self.files == 1

    @property
    def waited(self) -> float:
        return self.begun - self.rung


@dataclass
class Crew:
    """One worker process of the day."""

    labs: Sequence[int]
    hands: int
    queues: Queues = field(init=False)
    holds: list[Work] = field(default_factory=list)
    done: list[Work] = field(default_factory=list)
    only_large: list[Span] = field(default_factory=list)
    busy: list[Span] = field(default_factory=list)
    vain: int = 0

    def __post_init__(self) -> None:
        self.queues = Queues([lab(number) for number in self.labs])

    @property
    def sources(self) -> list[str]:
        return [repository(number) for number in self.labs]


class Day:
    """The simulation.  `stores[lab]` is where a lab's files go; several labs may share one."""

    def __init__(
        self,
        ledger: Ledger,
        clock: Clock,
        sessions: Sequence[Load],
        crews: Sequence[Crew],
        stores: Sequence[str],
    ) -> None:
        self.ledger, self.clock, self.crews, self.stores = ledger, clock, crews, stores
        self._crew = {number: crew for crew in crews for number in crew.labs}
        self._lines = {number: Line(clock, rate=_LINE, each=_EACH) for number in self._crew}
        self._loads = {load.number: load for load in sessions}
        self._session_of: dict[int, Load] = {}
        self._rung: dict[tuple[str, int], float] = {}
        self._unfinished = dict.fromkeys(self._crew, 0)
        self._sweeping: set[int] = set()
        self._since: dict[int, float] = {}
        self._moving: dict[str, list[Work]] = {store: [] for store in stores}
        self.full: dict[str, list[Span]] = {store: [] for store in stores}
        self.full_of_large: dict[str, list[Span]] = {store: [] for store in stores}

    def run(self) -> None:
        names = {endpoints.ALYX, *self.stores, *(repository(number) for number in self._crew)}
        endpoints.ensure(self.ledger, sorted(names))
        for load in self._loads.values():
            self.clock.at(load.at, partial(self._arrive, load))
        self.clock.run()

    # ---- a session is finished, and a sweep finds what is due

    def _arrive(self, load: Load) -> None:
        with self.ledger.writing() as connection:
            now = self.ledger.now(connection)
            made = connection.execute(insert(tables.sessions).values(**_session(load), not_before=now))
            assert made.inserted_primary_key is not None
            key = int(made.inserted_primary_key[0])
        self._session_of[key] = load
        self._unfinished[load.lab] += len(load.sizes)
        self._ring(load.lab, "visit", [key])
        if load.lab not in self._sweeping:
            self._sweeping.add(load.lab)
            self.clock.after(_SWEEP, partial(self._sweep, load.lab))

    def _sweep(self, number: int) -> None:
        """As `workers.tasks._sweep_lab`; where nothing is unfinished a sweep finds nothing, and is left out."""
        if not self._unfinished[number]:
            self._sweeping.discard(number)
            return
        self.clock.after(_SWEEP, partial(self._sweep, number))
        self._plan(number)
        self.ledger.close_empty_batches()
        crew, source = self._crew[number], [repository(number)]
        batches = self.ledger.due("batch", sources=source, targets=[self.stores[number]], limit=_DUE)
        sessions = self.ledger.due("session", sources=source, limit=_DUE)
        if crew.queues.waiting(lab(number)) < _ENOUGH:
            self._ring(number, "move", batches)
            self._ring(number, "visit", sessions)

    def _plan(self, number: int) -> list[int]:
        route = Route(source=repository(number), target=self.stores[number], transport="sftp")
        made: list[int] = []
        while planned := self.ledger.plan(route, partial(planning.batches, limits=Limits())):
            made += planned
        for batch in made:
            self._rung[("move", batch)] = self.clock.seconds
        return made

    # ---- rings and hands

    def _ring(self, number: int, kind: str, ids: Sequence[int]) -> None:
        for one in ids:
            self._rung.setdefault((kind, one), self.clock.seconds)
            self._crew[number].queues.put(lab(number), Ring(kind, one, self.clock.seconds))
        self._answer(self._crew[number])

    def _answer(self, crew: Crew) -> None:
        while len(crew.holds) < crew.hands and (ring := crew.queues.take()):
            if not (self._visit(crew, ring.id) if ring.kind == "visit" else self._move(crew, ring.id)):
                crew.vain += 1

    def _begin(self, crew: Crew, work: Work) -> None:
        work.begun = self.clock.seconds
        crew.holds.append(work)
        self._note(crew, work)

    def _end(self, crew: Crew, work: Work) -> None:
        work.ended = self.clock.seconds
        crew.holds.remove(work)
        crew.done.append(work)
        self._note(crew, work)
        self._answer(crew)

    def _note(self, crew: Crew, work: Work) -> None:
        """Since when all hands are busy, all with large files, or all places of the store are taken."""
        whole = len(crew.holds) == crew.hands
        self._span(crew.busy, whole)
        self._span(crew.only_large, whole and all(one.is_large for one in crew.holds))
        if work.kind == "move":
            store = self.stores[work.lab]
            moving = self._moving[store]
            (moving.append if work.ended < 0 else moving.remove)(work)
            state = endpoints.state(self.ledger, store)
            assert state is not None
            full = len(moving) >= state.pace.at_once
            self._span(self.full[store], full)
            self._span(self.full_of_large[store], full and all(one.is_large for one in moving))

    def _span(self, spans: list[Span], is_so: bool) -> None:
        """One more span of time, when it ends."""
        since = self._since.pop(id(spans), None)
        if is_so:
            self._since[id(spans)] = self.clock.seconds if since is None else since
        elif since is not None:
            spans.append((since, self.clock.seconds))

    def _beat(self, work: Work, lease: Lease) -> None:
        if work.ended < 0:
            self.ledger.heartbeat(lease)
            self.clock.after(_BEAT, partial(self._beat, work, lease))

    # ---- a visit

    def _visit(self, crew: Crew, session: int) -> bool:
        claimed = self.ledger.claim_session(_LEASE, sources=crew.sources, only=[session])
        if claimed is None:
            return False
        load = self._session_of[session]
        work = Work(kind="visit", id=session, lab=load.lab, rung=self._rung[("visit", session)])
        work.files, work.bytes = len(load.sizes), sum(load.sizes)
        self._begin(crew, work)
        self.clock.after(_BEAT, partial(self._beat, work, claimed[0]))
        self.clock.after(work.bytes / _HASHING, partial(self._visited, crew, work, claimed[0]))
        return True

    def _visited(self, crew: Crew, work: Work, lease: Lease) -> None:
        """Its files are registered; then as `workers.tasks.visit_session`."""
        load = self._session_of[work.id]
        with self.ledger.guarded(lease) as tx:
            _write_files(tx.connection, load, work.id, store=self.stores[load.lab], now=tx.now)
            seen = update(tables.sessions).where(tables.sessions.c.id == work.id)
            tx.connection.execute(seen.values(not_before=None))
        self.ledger.release(lease)
        if not self.ledger.due("session", sources=crew.sources):
            for number in crew.labs:
                self._ring(number, "move", self._plan(number))
        self._end(crew, work)

    # ---- a batch

    def _move(self, crew: Crew, batch: int) -> bool:
        stores = sorted({self.stores[number] for number in crew.labs})
        claimed = self.ledger.claim_batch(_LEASE, sources=crew.sources, targets=stores, only=[batch])
        if claimed is None:
            return False
        lease, found = claimed
        number = next(number for number in crew.labs if repository(number) == found.source)
        work = Work(kind="move", id=batch, lab=number, rung=self._rung[("move", batch)])
        work.files, work.bytes = found.files, found.bytes
        self._begin(crew, work)
        self.clock.after(_BEAT, partial(self._beat, work, lease))
        size = found.bytes + found.files * _ANNOUNCING * _EACH
        self._lines[number].send(size, partial(self._moved, crew, work, lease, found))
        return True

    def _moved(self, crew: Crew, work: Work, lease: Lease, batch: Batch) -> None:
        self._unfinished[work.lab] -= whole_journey(self.ledger, lease, batch.id)
        self.ledger.went_well(lease)
        endpoints.went_well(self.ledger, batch.source, batch.target, endpoints.ALYX)
        seconds = self.clock.seconds - work.begun
        endpoints.moved_well(self.ledger, batch.target, moved=batch.bytes, seconds=seconds)
        self.ledger.release(lease)
        self._end(crew, work)


# ---- rows


def _session(load: Load) -> dict[str, object]:
    day = _BEGIN.date()
    return {
        "source": repository(load.lab),
        "path": f"s{load.number:04}/{day.isoformat()}/001",
        "lab": lab(load.lab),
        "subject": f"s{load.number:04}",
        "date": day,
        "number": 1,
        "eid": UUID(int=10**6 + load.number),
        "origin": "disk",
    }


def _write_files(connection: object, load: Load, session: int, *, store: str, now: datetime) -> None:
    """What discover and register leave behind."""
    execute = connection.execute  # type: ignore[attr-defined]
    first = 1 + load.number * 10_000
    keys = range(first, first + len(load.sizes))
    datasets = [
        {
            "id": key,
            "session": session,
            "path": f"alf/{key}.npy",
            "dataset_uuid": UUID(int=10**9 + key),
            "size": size,
            "mtime_ns": key,
            "md5": f"{key:032x}",
            "registered_md5": f"{key:032x}",
        }
        for key, size in zip(keys, load.sizes, strict=True)
    ]
    copies = [
        {"id": key, "dataset": key, "repository": store, "condition": Condition.EXPECTED} for key in keys
    ]
    times = {"not_before": now, "since": now, "created_at": now}
    items = [
        {
            "id": key,
            "copy": key,
            "md5": f"{key:032x}",
            "size": size,
            "status": Status.REGISTERED,
            "open": 1,
            **times,
        }
        for key, size in zip(keys, load.sizes, strict=True)
    ]
    for table, rows in ((tables.datasets, datasets), (tables.copies, copies), (tables.items, items)):
        execute(insert(table), rows)


# ---- what came of it


@dataclass(frozen=True, kw_only=True, slots=True)
class Waits:
    """Of one lab: seconds from the ring to the first byte."""

    lab: str
    batches: int
    gigabytes: float
    small_median: float
    small_worst: float
    large_worst: float
    last_end: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """A day's verdict.  Times in seconds."""

    scene: str
    sessions: int
    files: int
    hands: int
    small_behind_large: float
    small_worst: float
    large_worst: float
    idle_worst: float
    overtaken_most: int
    vain: int
    labs: Sequence[Waits]


def outcome(scene: str, day: Day) -> Outcome:
    """What the day shows."""
    works = [(work, crew) for crew in day.crews for work in crew.done]
    moves = [work for work, _ in works if work.kind == "move"]
    small = [(work, crew) for work, crew in works if work.kind == "move" and not work.is_large]
    return Outcome(
        scene=scene,
        sessions=sum(work.kind == "visit" for work, _ in works),
        files=sum(work.files for work in moves),
        hands=day.crews[0].hands,
        small_behind_large=max(_within(work, _behind(work, crew, day)) for work, crew in small),
        small_worst=max(work.waited for work, _ in small),
        large_worst=max((work.waited for work in moves if work.is_large), default=0.0),
        idle_worst=max(_idle(work, crew, day) for work, crew in works),
        overtaken_most=max(_overtaken(work, moves, day.stores) for work in moves),
        vain=sum(crew.vain for crew in day.crews),
        labs=list(_by_lab(moves)),
    )


def _within(work: Work, spans: Sequence[Span]) -> float:
    """Seconds of a work's wait that lie in these spans, which do not overlap."""
    return sum(max(min(work.begun, end) - max(work.rung, begin), 0.0) for begin, end in spans)


def _behind(work: Work, crew: Crew, day: Day) -> list[Span]:
    """When large files had taken all that it needs."""
    return list(_merged([*crew.only_large, *day.full_of_large[day.stores[work.lab]]]))


def _idle(work: Work, crew: Crew, day: Day) -> float:
    """The longest time of its wait in which a hand was free, and a place at its store."""
    full = day.full[day.stores[work.lab]] if work.kind == "move" else []
    taken = [span for span in _merged([*crew.busy, *full]) if span[1] > work.rung and span[0] < work.begun]
    edges = [work.rung, *(edge for span in taken for edge in span), work.begun]
    return max(max(end - begin, 0.0) for begin, end in zip(edges[::2], edges[1::2], strict=True))


def _merged(spans: Sequence[Span]) -> Iterator[Span]:
    """The same moments in spans that do not overlap."""
    last: Span | None = None
    for begin, end in sorted(spans):
        if last is not None and begin <= last[1]:
            last = (last[0], max(last[1], end))
            continue
        if last is not None:
            yield last
        last = (begin, end)
    if last is not None:
        yield last


def _overtaken(work: Work, moves: Sequence[Work], stores: Sequence[str]) -> int:
    """How many batches for the same store were rung for later and begun earlier."""
    rivals = (one for one in moves if stores[one.lab] == stores[work.lab])
    return sum(one.rung > work.rung and one.begun < work.begun for one in rivals)


def _by_lab(moves: Sequence[Work]) -> Iterator[Waits]:
    for number in sorted({work.lab for work in moves}):
        own = [work for work in moves if work.lab == number]
        small = sorted(work.waited for work in own if not work.is_large)
        yield Waits(
            lab=lab(number),
            batches=len(own),
            gigabytes=round(sum(work.bytes for work in own) / 1e9, 1),
            small_median=round(small[len(small) // 2], 1),
            small_worst=round(small[-1], 1),
            large_worst=round(max((work.waited for work in own if work.is_large), default=0.0), 1),
            last_end=round(max(work.ended for work in own), 1),
        )


SCENES: Mapping[str, tuple[bool, bool]] = {
    "a worker for each lab, a store for each lab": (True, True),
    "a worker for each lab, one store for all": (True, False),
    "one worker for all labs, a store for each lab": (False, True),
}
"""What stands where: whether each lab has a worker of its own, and a store of its own."""


def simulate(ledger_for: object, scene: str, *, seed: int, hands: int, scale: float = 1.0) -> Outcome:
    """One day in an empty ledger, which `ledger_for(clock, monotonic)` opens."""
    own_worker, own_store = SCENES[scene]
    clock = Clock(_BEGIN)
    ledger: Ledger = ledger_for(clock)  # type: ignore[operator]
    everybody = range(LABS)
    crews = (
        [Crew([number], hands) for number in everybody] if own_worker else [Crew(list(everybody), hands * 4)]
    )
    stores = [f"flatiron_{lab(number)}" if own_store else "flatiron" for number in everybody]
    day = Day(ledger, clock, loads(seed, scale=scale), crews, stores)
    day.run()
    return outcome(scene, day)


def moment_after(seconds: float) -> datetime:
    """For people: a time of the simulated day."""
    return _BEGIN + timedelta(seconds=seconds)
