"""No row without an owner: whatever is done to a ledger, each file has a next step and a time, or a person.

What `why` says is held to what the claims do: when it says that the program goes on at a moment, a worker may claim
the file's batch or session at that moment, or the planner takes it.
"""

import atexit
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy import select

from tests.ledger.build import LAB, NOTES, SPIKES, VIDEO, Place
from transfer.errors import (
    CatalogUnreachable,
    SourceVanished,
    StoreDenied,
    StoreRefused,
    TransferError,
    UnknownSession,
)
from transfer.ledger import actions, endpoints, reports, sanity, schema
from transfer.ledger.abandoning import close_abandoned
from transfer.ledger.engine import open_engine
from transfer.ledger.finding import Target
from transfer.ledger.guarded import Guarded
from transfer.ledger.tables import datasets, items
from transfer.ledger.why import why
from transfer.model import Item
from transfer.progress import Explanation, Owner
from transfer.status import JOURNEY, Status

DENIED = StoreDenied("the store refused to write", to="alf")
AWAY = CatalogUnreachable("no answer", to="alyx")
SUBJECTS = ("KS001", "KS002")
PLACES = st.sampled_from([LAB.repository, LAB.store, endpoints.ALYX])
FILES = st.lists(st.sampled_from([SPIKES, VIDEO]), unique=True)
_template: list[Path] = []


def template() -> Path:
    """A migrated ledger to copy: made once."""
    if not _template:
        path = Path(tempfile.mkdtemp(prefix="owners-")) / "ledger.db"
        atexit.register(shutil.rmtree, path.parent)
        engine = open_engine(f"sqlite:///{path}")
        schema.migrate(engine)
        engine.dispose()
        _template.append(path)
    return _template[0]


@contextmanager
def if_it_can_be_claimed() -> Iterator[None]:
    """Somebody else may hold it, or something may keep it back: then nothing happens."""
    try:
        yield
    except AssertionError as cannot:
        if "cannot be claimed" not in str(cannot):
            raise


class Owners(RuleBasedStateMachine):
    """Legal operations only, in any order; some workers die in the middle."""

    def __init__(self) -> None:
        super().__init__()
        self.home = Path(tempfile.mkdtemp(prefix="owners-"))
        shutil.copy(template(), self.home / "ledger.db")
        self.place = Place(f"sqlite:///{self.home / 'ledger.db'}")

    def open_item(self, which: int) -> Item | None:
        with self.place.ledger.reading() as connection:
            ids = list(connection.scalars(select(items.c.id).where(items.c.open == 1).order_by(items.c.id)))
        found = [one for session in (1, 2) for one in self.place.items(session) if one.id in ids]
        return found[which % len(found)] if found else None

    def under_lease(self, item: Item, write: Callable[[Guarded], object], *, dies: bool) -> None:
        """As a worker does it, if it gets the lease; one that dies leaves its lease behind."""
        ledger = self.place.ledger
        if item.batch is None:
            ledger.make_due(item.session)
            claimed = ledger.claim_session(60, only=[item.session])
        else:
            claimed = ledger.claim_batch(60, only=[item.batch])  # type: ignore[assignment]
        if claimed is None:
            return
        with ledger.guarded(claimed[0]) as tx:
            write(tx)
        if not dies:
            ledger.release(claimed[0])

    @initialize(statuses=st.tuples(*[st.sampled_from(JOURNEY)] * 2))
    def begin(self, statuses: tuple[Status, Status]) -> None:
        """Two sessions somewhere on their way; from here on anything may happen."""
        for subject, status in zip(SUBJECTS, statuses, strict=True):
            self.place.at(status, subject)

    # ---- what happens

    @rule(minutes=st.sampled_from([1, 5, 60, 3000]))
    def time_passes(self, minutes: int) -> None:
        self.place.clock.forward(minutes=minutes)

    @rule(subject=st.sampled_from(SUBJECTS), files=FILES, version=st.integers(1, 2), trouble=st.booleans())
    def discovers(self, subject: str, files: list[str], version: int, trouble: bool) -> None:
        unregistrable = {NOTES: "[E-1007] a link: x. Replace it."} if trouble else {}
        session = self.place.seen(subject)
        self.place.ledger.make_due(session)
        claimed = self.place.ledger.claim_session(60, only=[session])
        if claimed is None:
            return
        self.place.ledger.release(claimed[0])
        self.place.discovered(subject, files, version=version, unregistrable=unregistrable, finish=True)

    @rule(session=st.integers(1, 2))
    def registers(self, session: int) -> None:
        if self.place.ledger.session_items(session, Status.DISCOVERED):
            with if_it_can_be_claimed():
                self.place.registered(session)

    @rule()
    def plans(self) -> None:
        self.place.planned(1)
        self.place.planned(2)

    @rule(session=st.integers(1, 2), steps=st.integers(1, 4))
    def goes_on(self, session: int, steps: int) -> None:
        for fact in JOURNEY[3 : 3 + steps]:
            with if_it_can_be_claimed():
                self.place.step(session, fact)

    @rule(which=st.integers(0, 3), hold=st.booleans(), dies=st.booleans(), hours=st.integers(0, 3))
    def fails(self, which: int, hold: bool, dies: bool, hours: int) -> None:
        item = self.open_item(which)
        if item is None or item.hold:
            return
        if hold:
            self.under_lease(item, lambda tx: tx.hold([(item, DENIED)]), dies=dies)
        else:
            at = self.place.clock.now + timedelta(hours=hours)
            error = StoreRefused("the store said no", to="a")
            self.under_lease(item, lambda tx: tx.postpone([(item, error)], at=at), dies=dies)

    @rule(which=st.integers(0, 3))
    def vanishes(self, which: int) -> None:
        item = self.open_item(which)
        if item is not None and not item.hold:
            error: TransferError = SourceVanished("gone", to="a")
            self.under_lease(item, lambda tx: tx.hold([(item, error)]), dies=False)

    @rule(which=st.integers(0, 3), dies=st.booleans(), hours=st.integers(0, 3))
    def a_whole_batch_or_session_fails(self, which: int, dies: bool, hours: int) -> None:
        item = self.open_item(which)
        if item is None or item.hold:
            return
        ledger = self.place.ledger
        claimed = (
            ledger.claim_batch(60, only=[item.batch])
            if item.batch
            else ledger.claim_session(60, only=[item.session])
        )
        if claimed is None:
            return
        lease, _ = claimed
        if item.batch is None and hours == 0:
            ledger.hold_session(lease, UnknownSession("Alyx has no such session", to="x"))
        else:
            ledger.postpone(lease, at=self.place.clock.now + timedelta(hours=hours), error=AWAY)
        if not dies:
            ledger.release(lease)

    @rule(name=PLACES, hours=st.integers(0, 30))
    def an_endpoint_fails(self, name: str, hours: int) -> None:
        endpoints.failed(
            self.place.ledger, name, AWAY, retry_at=self.place.clock.now + timedelta(hours=hours)
        )

    @rule(name=PLACES, back=st.booleans())
    def an_endpoint_is_paused_or_used_again(self, name: str, back: bool) -> None:
        if back:
            endpoints.resume(self.place.ledger, name)
        else:
            endpoints.pause(self.place.ledger, name, by="person:anne", reason="Disks.")

    @rule(
        which=st.integers(0, 3), kind=st.sampled_from(["file", "batch", "session"]), action=st.integers(0, 2)
    )
    def a_person_acts(self, which: int, kind: str, action: int) -> None:
        item = self.open_item(which)
        if item is None or (kind == "batch" and item.batch is None):
            return
        number = {"file": item.dataset, "batch": item.batch, "session": item.session}[kind]
        target = Target(kind=kind, name="x", id=number)  # type: ignore[arg-type]
        (actions.cancel, actions.release, actions.retry)[action](self.place.ledger, target)

    @rule(which=st.integers(0, 3))
    def a_person_abandons(self, which: int) -> None:
        item = self.open_item(which)
        if item is not None:
            self.under_lease(item, lambda tx: close_abandoned(tx, [item], why="bad"), dies=False)

    @rule()
    def the_sweep(self) -> None:
        self.place.ledger.close_empty_batches()

    # ---- what is always true

    @invariant()
    def no_row_is_odd(self) -> None:
        found = sanity.find(self.place.ledger)
        # A batch whose last item was closed in passing is closed by the next sweep: it owns no file.
        assert {one.name for one in found} <= {"batch-without-items"}, found

    @rule()
    def a_person_asks(self) -> None:
        self.every_file_and_session_has_a_sentence()
        self.what_is_said_to_go_on_by_itself_does()

    def every_file_and_session_has_a_sentence(self) -> None:
        for session in reports.sessions(self.place.ledger):
            whole(why(self.place.ledger, Target(kind="session", name="", id=session.id)))
        for dataset in self.datasets():
            whole(why(self.place.ledger, Target(kind="file", name="", id=dataset)))

    def teardown(self) -> None:
        try:
            self.a_person_asks()
        finally:
            self.place.close()
            shutil.rmtree(self.home)

    def what_is_said_to_go_on_by_itself_does(self) -> None:
        """At the moment it names, with the leases of the dead lapsed."""
        now = self.place.clock.now
        for dataset in self.datasets():
            self.place.clock.now = now
            told = why(self.place.ledger, Target(kind="file", name="", id=dataset))
            (row,) = reports.files(self.place.ledger, dataset=dataset)
            if told.owner is not Owner.PROGRAM or row.item is None or row.status not in set(Status):
                continue
            assert told.at is not None
            self.place.clock.now = max(now, told.at) + timedelta(seconds=61)
            session = self.session_of(dataset)
            goes_on = (
                row.status == Status.REGISTERED
                or row.batch in self.place.ledger.due("batch")
                or session in self.place.ledger.due("session")
            )
            assert goes_on, told
        self.place.clock.now = now

    def datasets(self) -> list[int]:
        with self.place.ledger.reading() as connection:
            return list(connection.scalars(select(datasets.c.id).order_by(datasets.c.id)))

    def session_of(self, dataset: int) -> int | None:
        with self.place.ledger.reading() as connection:
            return connection.scalar(select(datasets.c.session).where(datasets.c.id == dataset))


def whole(told: Explanation) -> None:
    """An owner, a next step, and a moment or a person."""
    assert told.sentence.strip()
    assert told.next_step.strip()
    assert "unknown" not in told.sentence.replace("session-unknown-to-alyx", "")
    assert "None" not in told.sentence + told.next_step
    assert told.at is not None or told.owner is Owner.PERSON


@pytest.mark.timeout(100)
class TestOwners(Owners.TestCase):  # type: ignore[name-defined,misc]
    settings = settings(
        max_examples=8,
        stateful_step_count=20,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )
