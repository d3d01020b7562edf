"""A day of twelve labs in a few minutes: 180 sessions, 12,000 files, a file of 17 GB in each of twenty of them.

Sessions, files and sizes are drawn from a seed.  What the day is asked is who waited for whom:

    small behind large   a batch of small files waits while every hand of its worker, or every place at its store, is
                         taken by a large file
    idle wait            a visit or small files are due, a hand of their worker is free, their store has a place, and
                         they wait all the same: at most until the next sweep rings for what is due
    overtaken            a batch that was rung for later, of the same kind and for the same store, was begun earlier

Where no idle wait is longer than a sweep and nothing is overtaken, what is due is begun at the latest when the N hands
of its worker (or the N places at its store, where these are fewer) have done what was rung for before it, and one sweep
later for each N of these.  That is the bound: W / N + (1 + n / N) sweeps, for n batches before it that take W seconds.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from sqlalchemy import insert, update

from bench.full_ledger import LABS, lab, repository
from bench.scale_fleet import whole_journey
from bench.scale_hands import Crew, Span, Work
from bench.scale_load import BEGIN, Load, loads, session_row, write_files
from bench.scale_waits import Outcome, Seen, outcome
from bench.scale_world import Clock, Line, Ring
from transfer import planning
from transfer.ledger import Lease, Ledger, endpoints, tables
from transfer.model import Batch, Route
from transfer.planning import Limits

_LINE, _EACH = 50e6, 15e6  # bytes a second: of a lab, and of one connection to a store
_HASHING = 400e6  # bytes a second of a visit
_ANNOUNCING = 0.03  # seconds a file, in Alyx
_SWEEP, _LEASE, _BEAT = 30.0, 60.0, 20.0
_ENOUGH, _DUE = 20, 200  # workers/crew.py, Ledger.due


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
            made = connection.execute(insert(tables.sessions).values(**session_row(load), not_before=now))
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
            write_files(tx.connection, load, work.id, store=self.stores[load.lab], now=tx.now)
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
        claimed = self.ledger.claim_batch(
            _LEASE,
            sources=crew.sources,
            targets=stores,
            only=[batch],
            large_bytes=Limits().large_bytes,
            large=sum(one.is_large for one in crew.holds) < max(crew.hands - 1, 1),
        )
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

    def seen(self) -> Seen:
        """What came of it."""
        return Seen(crews=self.crews, stores=self.stores, full=self.full, full_of_large=self.full_of_large)


SCENES: Mapping[str, tuple[bool, bool]] = {
    "a worker for each lab, a store for each lab": (True, True),
    "a worker for each lab, one store for all": (True, False),
    "one worker for all labs, a store for each lab": (False, True),
}
"""What stands where: whether each lab has a worker of its own, and a store of its own."""


def simulate(
    open_for: Callable[[Clock], Ledger], scene: str, *, seed: int, hands: int, scale: float = 1.0
) -> Outcome:
    """One day in an empty ledger, which `open_for` opens with the day's clock."""
    own_worker, own_store = SCENES[scene]
    clock = Clock(BEGIN)
    ledger = open_for(clock)
    everybody = range(LABS)
    crews = (
        [Crew([number], hands) for number in everybody] if own_worker else [Crew(list(everybody), hands * 4)]
    )
    stores = [f"flatiron_{lab(number)}" if own_store else "flatiron" for number in everybody]
    day = Day(ledger, clock, loads(seed, scale=scale), crews, stores)
    try:
        day.run()
    finally:
        ledger.engine.dispose()
    return outcome(scene, day.seen())
