"""Two workers, a planner, a scanner and a person write at random; the ledger's promises hold at every step."""

import atexit
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import select, update

from tests.ledger.lab import LAB, Clock, World, known, look, step
from transfer.errors import LostRace, StoreRefused
from transfer.ledger import Lease, Ledger, schema
from transfer.ledger.arrivals import Arrival, recorded
from transfer.ledger.engine import open_engine
from transfer.ledger.guarded import Guarded
from transfer.ledger.intake import discovered, registered
from transfer.ledger.tables import batches, items, receipts, sessions
from transfer.model import Session
from transfer.status import ENDS, JOURNEY, MOVES, OPEN, Status, may_move

NO = StoreRefused("the store said no", to="a.npy")
PATHS = ("alf/a.npy", "alf/b.npy", "alf/c.npy")
WORKERS = st.sampled_from(["anna's", "bert's"])
_template: list[Path] = []


def template() -> Path:
    """A migrated ledger to copy: made once."""
    if not _template:
        path = Path(tempfile.mkdtemp(prefix="storm-")) / "ledger.db"
        atexit.register(shutil.rmtree, path.parent)
        engine = open_engine(f"sqlite:///{path}")
        schema.migrate(engine)
        engine.dispose()
        _template.append(path)
    return _template[0]


class Storm(RuleBasedStateMachine):
    """`answered` counts the moves that the ledger said it made; the events must say the same."""

    def __init__(self) -> None:
        super().__init__()
        self.home = Path(tempfile.mkdtemp(prefix="storm-"))
        shutil.copy(template(), self.home / "ledger.db")
        self.engine = open_engine(f"sqlite:///{self.home / 'ledger.db'}")
        self.clock = Clock()
        stopped = Ledger(self.engine, actor="worker:storm", clock=self.clock, monotonic=lambda: 0.0)
        self.world = World(stopped, self.clock)
        self.leases: dict[str, Lease] = {}
        self.visits: dict[str, tuple[Lease, Session]] = {}
        self.answered: Counter[tuple[str, str]] = Counter()
        self.held: dict[int, Status] = {}

    def teardown(self) -> None:
        self.engine.dispose()
        shutil.rmtree(self.home)

    @property
    def ledger(self) -> Ledger:
        return self.world.ledger

    @initialize()
    def begin(self) -> None:
        """Three files, registered; from here on anything may happen."""
        self.session = self.world.session()
        self.world.visit(self.session, dict(zip(PATHS, "uvw", strict=True)))
        self.world.plan(files=2)
        self.answered.update({("discovered", "registered"): 3, ("registered", "planned"): 3})

    # ---- what happens

    @rule(seconds=st.integers(1, 70))
    def time_passes(self, seconds: int) -> None:
        self.clock.now += timedelta(seconds=seconds)

    @rule(worker=WORKERS)
    def is_paused_and_overtaken(self, worker: str) -> None:
        """The worker sleeps through its lease, another takes the batch over; neither knows of the other."""
        if self.lease_of(worker) is not None:
            self.clock.now += timedelta(seconds=60)
            (other,) = {"anna's", "bert's"} - {worker}
            self.leases.pop(other, None)
            self.lease_of(other)

    def lease_of(self, worker: str) -> Lease | None:
        """The batch the worker holds, or believes to hold, else one that is due."""
        if worker not in self.leases and (claimed := self.ledger.claim_batch(60)):
            self.leases[worker] = claimed[0]
        return self.leases.get(worker)

    def visit_of(self, worker: str) -> tuple[Lease, Session] | None:
        if worker not in self.visits:
            self.ledger.make_due(self.session)
            if claimed := self.ledger.claim_session(60):
                self.visits[worker] = claimed
        return self.visits.get(worker)

    @contextmanager
    def as_holder(self, lease: Lease) -> Iterator[Guarded]:
        """A guarded transaction, which opens exactly to the one whose token is on a row that has not lapsed."""
        table = sessions if lease.kind == "session" else batches
        mine = (table.c.id == lease.subject, table.c.lease_token == lease.token)
        with self.ledger.reading() as connection:
            until = connection.scalar(select(table.c.lease_until).where(*mine))
        holds = until is not None and until > self.clock.now
        try:
            with self.ledger.guarded(lease) as tx:
                if not holds:
                    raise RuntimeError(f"{lease} was let in after it was lost")
                yield tx
        except LostRace:
            assert not holds
            raise

    def lost(self, worker: str, before: dict[int, tuple[Status, str | None]]) -> None:
        """An overtaken worker has written nothing; it begins anew."""
        assert self.standing() == before
        self.leases.pop(worker, None)
        self.visits.pop(worker, None)

    @rule(worker=WORKERS, contents=st.lists(st.sampled_from("uvw"), min_size=1, max_size=3))
    def discovers(self, worker: str, contents: list[str]) -> None:
        visit = self.visit_of(worker)
        if visit is None:
            return
        lease, session = visit
        before = self.standing()
        try:
            with self.as_holder(lease) as tx:
                discovered(tx, session, LAB, [look(*pair) for pair in zip(PATHS, contents, strict=False)])
        except LostRace:
            self.lost(worker, before)
            return
        for number, (was, _) in before.items():
            if self.standing()[number][0] is Status.SUPERSEDED and was is not Status.SUPERSEDED:
                self.answered[was, "superseded"] += 1
                self.held.pop(number, None)

    @rule(worker=WORKERS)
    def registers(self, worker: str) -> None:
        visit = self.visit_of(worker)
        if visit is None:
            return
        lease, session = visit
        before = self.standing()
        found = self.ledger.session_items(session.id, Status.DISCOVERED)
        try:
            with self.as_holder(lease) as tx:
                moved = registered(tx, [known(one) for one in found])
        except LostRace:
            self.lost(worker, before)
            return
        self.answered["discovered", "registered"] += len(moved)

    @rule(files=st.integers(1, 3))
    def plans(self, files: int) -> None:
        before = self.standing()
        self.world.plan(files=files)
        after = self.standing()
        self.answered["registered", "planned"] += sum(
            after[number][0] is not status for number, (status, _) in before.items()
        )

    @rule(worker=WORKERS, which=st.integers(0, 5), there=st.sampled_from(Status), stale=st.booleans())
    def writes_a_fact(self, worker: str, which: int, there: Status, stale: bool) -> None:
        """Any fact about any item, seen now or claimed to stand elsewhere."""
        lease = self.lease_of(worker)
        known_items = self.world.items()
        if lease is None or not known_items:
            return
        item = known_items[which % len(known_items)]
        if stale:
            item = replace(item, status=there)
        before = self.standing()
        try:
            with self.as_holder(lease) as tx:
                if there is Status.RECORDED:
                    moved = recorded(tx, [Arrival(item=item, read_back_at=self.clock.now)])
                else:
                    moved = tx.move([step(item, there)])
        except LostRace:
            self.lost(worker, before)
            return
        except AssertionError:
            assert not may_move(item.status, there)
            assert self.standing() == before
            return
        self.answered[item.status, there] += len(moved)

    @rule(worker=WORKERS, steps=st.integers(1, 4))
    def goes_on(self, worker: str, steps: int) -> None:
        """What a worker does most: the next step with whatever is due."""
        lease = self.lease_of(worker)
        for _ in range(steps if lease else 0):
            assert lease is not None
            before = self.standing()
            due = self.ledger.due_items(int(lease.subject))
            try:
                with self.as_holder(lease) as tx:
                    arrived = [one for one in due if one.status is Status.PUBLISHED]
                    there = {one.id: JOURNEY[JOURNEY.index(one.status) + 1] for one in due}
                    moved = recorded(tx, [Arrival(item=one, read_back_at=self.clock.now) for one in arrived])
                    moved += tx.move([step(one, there[one.id]) for one in due if one not in arrived])
            except LostRace:
                self.lost(worker, before)
                return
            self.answered.update((one.status, there[one.id]) for one in moved)

    @precondition(lambda self: self.held)
    @rule(worker=WORKERS)
    def tries_to_move_what_is_held(self, worker: str) -> None:
        """A worker that had read the items before a person held them goes on with its next step."""
        lease = self.lease_of(worker)
        if lease is None:
            return
        before = self.standing()
        held = [one for one in self.world.items() if one.id in self.held]
        try:
            with self.as_holder(lease) as tx:
                moved = tx.move([step(one, JOURNEY[JOURNEY.index(one.status) + 1]) for one in held])
        except LostRace:
            self.lost(worker, before)
            return
        assert moved == []

    @rule(worker=WORKERS, which=st.integers(0, 5), hold=st.booleans())
    def fails(self, worker: str, which: int, hold: bool) -> None:
        lease = self.lease_of(worker)
        found = self.world.items()
        if lease is None or not found:
            return
        item = found[which % len(found)]
        before = self.standing()
        try:
            with self.as_holder(lease) as tx:
                if hold:
                    tx.hold([(item, NO)])
                else:
                    tx.postpone([(item, NO)], at=self.clock.now + timedelta(seconds=30))
        except LostRace:
            self.lost(worker, before)
            return
        for number, (status, held) in self.standing().items():
            if held:
                self.held.setdefault(number, status)

    @precondition(lambda self: self.held)
    @rule()
    def a_person_releases(self) -> None:
        with self.ledger.writing() as connection:
            connection.execute(update(items).values(hold=None, hold_text=None))
        self.held.clear()

    @rule(worker=WORKERS)
    def gives_back(self, worker: str) -> None:
        for lease in (self.leases.pop(worker, None), self.visits.pop(worker, (None, None))[0]):
            if lease is not None:
                self.ledger.release(lease)

    # ---- what is always true

    def standing(self) -> dict[int, tuple[Status, str | None]]:
        return {one.id: (one.status, one.hold) for one in self.world.items()}

    @invariant()
    def every_move_is_in_the_journey_and_has_one_event(self) -> None:
        seen = Counter((was, became) for _, was, became in self.world.moves())
        assert seen == +self.answered
        assert {(Status(was), Status(became)) for was, became in seen} <= MOVES
        assert all(was == "verified" for was, became in seen if became == "published")

    @invariant()
    def the_events_of_an_item_are_its_whole_way(self) -> None:
        way = dict.fromkeys(self.standing(), Status.DISCOVERED)
        for number, was, became in self.world.moves():
            assert way[int(number)] == was
            way[int(number)] = Status(became)
        assert way == {number: status for number, (status, _) in self.standing().items()}

    @invariant()
    def a_copy_has_at_most_one_open_item_and_closed_rows_are_closed(self) -> None:
        with self.ledger.reading() as connection:
            rows = connection.execute(select(items)).all()
        assert all(row.open == (1 if row.status in OPEN else None) for row in rows)
        assert max(Counter(row.copy for row in rows if row.open).values(), default=0) <= 1
        assert all(row.hold is None for row in rows if row.status in ENDS)

    @invariant()
    def held_items_stay_where_they_are(self) -> None:
        standing = self.standing()
        assert {number: standing[number][0] for number in self.held} == self.held

    @invariant()
    def there_is_one_receipt_for_each_arrival(self) -> None:
        with self.ledger.reading() as connection:
            kept = sorted(connection.scalars(select(receipts.c.item)))
        arrived = [number for number, (status, _) in self.standing().items() if status is Status.RECORDED]
        assert kept == arrived


@pytest.mark.timeout(100)
class TestStorm(Storm.TestCase):  # type: ignore[name-defined,misc]
    settings = settings(
        max_examples=10,
        stateful_step_count=30,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
