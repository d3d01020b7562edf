"""A place that is down: one goes first, the others do not notice, and it opens again by itself."""

import threading
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.ledger.lab import NOON, World, on_both
from tests.many_stores import ManyStores
from transfer import pacing
from transfer.errors import EndpointUnreachable, StoreFull, TransferError
from transfer.ledger import Ledger, endpoints
from transfer.pacing import Breaker
from transfer.steps.probe import AT_MOST

DEAD = "store00"
AWAY = EndpointUnreachable("no answer", to="sftp://store00")
HORIZON = 1500


# ---- twenty stores


def others_recorded(tmp_path: Path, *, dead: bool, sweeps: bool) -> tuple[int, ManyStores]:
    tmp_path.mkdir()
    stores = ManyStores.made(tmp_path / "ledger.sqlite", labs=20, batches=4, files=3)
    if dead:
        stores.stores[DEAD].away = lambda: AWAY
    stores.work(workers=8, seconds=HORIZON, sweeps=sweeps)
    counted = stores.recorded(until=HORIZON)
    stores.close()
    return sum(files for name, files in counted.items() if name != DEAD), stores


def test_one_dead_store_of_twenty_costs_the_others_less_than_five_percent(tmp_path: Path) -> None:
    """Its batches are the oldest and first in every queue, and each visit hangs for a minute."""
    healthy, _ = others_recorded(tmp_path / "healthy", dead=False, sweeps=False)
    bereft, stores = others_recorded(tmp_path / "dead", dead=True, sweeps=False)
    assert 0 < healthy < 19 * 12, "the horizon must cut the work short, or nothing is compared"
    assert abs(healthy - bereft) / healthy < 0.05
    assert len(stores.stores[DEAD].entered) >= 4, "the dead store was never tried again"


def test_a_store_that_comes_back_is_opened_again_without_anybody(tmp_path: Path) -> None:
    """After it has returned all its files arrive, and one alone goes first."""
    stores = ManyStores.made(tmp_path / "ledger.sqlite", labs=2, batches=4, files=1)
    back = NOON + timedelta(seconds=1000)
    dead = stores.stores[DEAD]
    dead.away = lambda: AWAY if stores.time.now < back else None
    stores.work(workers=4, seconds=3000, sweeps=True)
    assert stores.recorded(until=3000) == {DEAD: 4, "store01": 4}
    state = endpoints.state(stores.ledger, DEAD)
    assert state is not None
    assert (state.breaker, state.failures) == (Breaker.CLOSED, 0)
    first, second = [at for at in dead.entered if at >= back][:2]
    assert second - first >= timedelta(0)
    stores.close()


def test_a_dead_store_is_looked_at_by_one_at_a_time(tmp_path: Path) -> None:
    """Once it is known to be away, no two workers wait for it together, and the looks become rare."""
    stores = ManyStores.made(tmp_path / "ledger.sqlite", labs=2, batches=4, files=1)
    dead = stores.stores[DEAD]
    dead.away = lambda: AWAY
    stores.work(workers=3, seconds=200, sweeps=True)
    assert dead.crowd <= pacing.START
    dead.crowd = dead.inside
    known = len(dead.entered)
    stores.work(workers=3, seconds=6000, sweeps=True)
    assert dead.crowd == 1
    assert 4 <= len(dead.entered) - known <= 10
    assert stores.recorded(until=6200) == {"store01": 4}
    stores.close()


# ---- one at a time, whoever asks


@on_both
def test_two_workers_never_look_or_begin_together(world: World) -> None:
    """Of eight that come at the same moment one begins: a look, or one piece of work."""
    batches = [world.planned(f"f{number}", number=number) for number in range(1, 5)]
    endpoints.ensure(world.ledger, [world.lab.store])
    endpoints.failed(world.ledger, world.lab.store, AWAY, retry_at=NOON)
    begun: list[str] = []
    gate = threading.Barrier(8)

    def come(number: int) -> None:
        gate.wait()
        if number % 2:
            if endpoints.begin_look(world.ledger, world.lab.store, seconds=AT_MOST):
                begun.append("look")
        elif world.ledger.claim_batch(60, only=batches) is not None:
            begun.append("work")

    comers = [threading.Thread(target=come, args=(number,)) for number in range(8)]
    for comer in comers:
        comer.start()
    for comer in comers:
        comer.join()
    assert len(begun) == 1, begun


def test_a_look_whose_worker_died_is_made_up(world: World) -> None:
    """It was given for five minutes at most; after them another may look."""
    endpoints.ensure(world.ledger, ["store"])
    endpoints.failed(world.ledger, "store", AWAY, retry_at=NOON)
    assert endpoints.due_for_a_look(world.ledger, ["store"]) == ["store"]
    assert endpoints.begin_look(world.ledger, "store", seconds=AT_MOST)
    assert endpoints.due_for_a_look(world.ledger, ["store"]) == []
    assert not endpoints.begin_look(world.ledger, "store", seconds=AT_MOST)
    world.clock.passes(seconds=AT_MOST)
    assert endpoints.begin_look(world.ledger, "store", seconds=AT_MOST)


def test_what_a_person_paused_is_not_looked_at(world: World) -> None:
    endpoints.ensure(world.ledger, ["store"])
    endpoints.failed(world.ledger, "store", AWAY, retry_at=NOON)
    endpoints.pause(world.ledger, "store", by="person:anne", reason="new disks")
    assert endpoints.due_for_a_look(world.ledger, ["store"]) == []
    assert not endpoints.begin_look(world.ledger, "store", seconds=AT_MOST)


def test_as_many_batches_at_once_as_the_pace_allows(world: World) -> None:
    """Four at the beginning; one that ends well while all places are taken makes room for a fifth."""
    batches = [world.planned(f"f{number}", number=number) for number in range(1, 8)]
    endpoints.ensure(world.ledger, [world.lab.store])
    leases = []
    while claimed := world.ledger.claim_batch(60, only=batches):
        leases.append(claimed[0])
    assert len(leases) == pacing.START
    endpoints.moved_well(world.ledger, world.lab.store, moved=1000, seconds=1)
    assert world.ledger.claim_batch(60, only=batches) is not None
    assert world.ledger.claim_batch(60, only=batches) is None
    assert world.ledger.due("batch") == []
    state = endpoints.state(world.ledger, world.lab.store)
    assert state is not None
    assert [(one.was, one.became) for one in state.pace.decisions] == [(4, 5)]
    world.ledger.release(leases[0])
    assert world.ledger.due("batch") == [batches[0], *batches[5:]]


class Story:
    """What happens to one store: failures, looks, work and time, in any order."""

    def __init__(self, ledger: Ledger, world: World) -> None:
        self.ledger, self.world = ledger, world
        self.store = world.lab.store
        self.under_way: list[Any] = []
        self.looking = False

    def play(self, step: str) -> None:
        match step:
            case "look" if endpoints.begin_look(self.ledger, self.store, seconds=AT_MOST):
                assert not self.looking, "two looks at once"
                assert not self.under_way, "a look while one piece of work tries"
                self.looking = True
            case "answered" if self.looking:
                endpoints.looked_well(self.ledger, self.store, wholly=False)
                self.looking = False
            case "silent" if self.looking:
                self._fail(AWAY)
                self.looking = False
            case "claim" if claimed := self.ledger.claim_batch(60):
                in_doubt = self._state().breaker is not Breaker.CLOSED
                assert not (in_doubt and self.under_way), "two pieces of work in doubt"
                assert not self.looking, "work while somebody looks"
                self.under_way.append(claimed[0])
            case "worked" if self.under_way:
                self.ledger.release(self.under_way.pop())
                endpoints.went_well(self.ledger, self.store)
                assert self._state().breaker is Breaker.CLOSED
                self.looking = False
            case "failed" if self.under_way:
                self.ledger.release(self.under_way.pop())
                self._fail(StoreFull("full", to=self.store))
                self.looking = False
            case "time":
                self.world.clock.passes(seconds=40)
                with suppress(TransferError):
                    for lease in self.under_way:
                        self.ledger.heartbeat(lease)

    def _fail(self, error: TransferError) -> None:
        endpoints.failed(
            self.ledger, self.store, error, retry_at=self.world.clock.now + timedelta(seconds=60)
        )

    def _state(self) -> endpoints.EndpointState:
        found = endpoints.state(self.ledger, self.store)
        assert found is not None
        return found


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.sampled_from(["look", "answered", "silent", "claim", "worked", "failed", "time"]), max_size=25
    )
)
def test_in_doubt_never_two_at_once_and_success_always_opens(
    world: World, prepared: list[int], story: list[str]
) -> None:
    endpoints.resume(world.ledger, world.lab.store)
    played = Story(world.ledger, world)
    for step in story:
        played.play(step)
    for lease in played.under_way:
        world.ledger.release(lease)
    endpoints.went_well(world.ledger, world.lab.store)
    claimed = world.ledger.claim_batch(60)
    assert claimed is not None
    world.ledger.release(claimed[0])


@pytest.fixture
def prepared(world: World) -> list[int]:
    endpoints.ensure(world.ledger, [world.lab.store, world.lab.repository, endpoints.ALYX])
    return [world.planned(f"f{number}", number=number) for number in range(1, 5)]
