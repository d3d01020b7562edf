"""Small files never wait behind large ones: of the hands of a worker and of the places at a store one stays free."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from tests.world import STORE, World, world
from transfer.ledger import endpoints
from transfer.planning import Limits
from transfer.runner import Runner
from transfer.transports.local import LocalTransport

LARGE = 10_000
LIMITS = Limits(large_bytes=LARGE, files=10)


@pytest.fixture
def box(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


class Slow(LocalTransport):
    """A store at which nothing ends before it may."""

    may_end: Event
    begun: list[Event]

    def put(self, uploads, moved):
        for begun in self.begun:
            if not begun.is_set():
                begun.set()
                break
        self.may_end.wait(60)
        return super().put(uploads, moved)


def registered(box: World, runner: Runner, number: int, sizes: list[int]) -> list[int]:
    """A session of files of these sizes, planned; answers its batches."""
    session = box.session(number)
    for index, size in enumerate(sizes):
        box.write(session, f"alf/probe{index:02d}/spikes.times.npy", bytes([number, index]) * (size // 2))
    known = box.see(runner, session)
    assert runner.advance_session()
    return runner.plan(only=[known])


def test_one_hand_of_a_worker_never_takes_a_large_file(box: World) -> None:
    """Three hands, three large files that take for ever, and then a small one: it goes at once."""
    may_end, begun = Event(), [Event() for _ in range(2)]

    def open_store() -> Slow:
        made = Slow(box.store, connections=1)
        made.may_end, made.begun = may_end, begun
        return made

    box.open_store = open_store
    runner = box.runner(limits=LIMITS, hands=3)
    registered(box, runner, 1, [LARGE] * 3)
    with ThreadPoolExecutor(3) as hands:
        large = [hands.submit(runner.advance_batch) for _ in range(2)]
        assert all(one.wait(30) for one in begun)
        assert not runner.advance_batch(), "the third large file has to wait"

        small = registered(box, runner, 2, [100, 100])
        box.open_store = None
        assert runner.advance_batch(only=small)
        assert sorted(box.ends()) == [
            ("alf/probe00/spikes.times.npy", "recorded"),
            ("alf/probe01/spikes.times.npy", "recorded"),
        ]
        may_end.set()
        assert all(one.result(60) for one in large)
    box.settle(runner)
    assert box.facts() == {}
    assert box.lies() == []


@pytest.mark.parametrize(("places", "large"), [(4, 3), (2, 1), (1, 1)])
def test_one_place_at_a_store_is_never_taken_by_a_large_file(box: World, places: int, large: int) -> None:
    """Whoever claims: large files take all places but one, or the one where there is no other."""
    runner = box.runner(limits=LIMITS)
    _at_once(runner, places)
    registered(box, runner, 1, [LARGE] * 5)
    claimed = [runner.ledger.claim_batch(60, large_bytes=LARGE) for _ in range(5)]
    assert sum(one is not None for one in claimed) == large

    small = registered(box, runner, 2, [100])
    found = runner.ledger.claim_batch(60, large_bytes=LARGE)
    if places > 1:
        assert found is not None
        assert [found[1].id] == small
    else:
        assert found is None, "a store that takes one thing at a time takes no second"


def test_a_worker_of_one_hand_takes_what_comes(box: World) -> None:
    runner = box.runner(limits=LIMITS, hands=1)
    registered(box, runner, 1, [LARGE, 100])
    box.settle(runner)

    assert len(box.ends()) == 2


def _at_once(runner: Runner, places: int) -> None:
    from sqlalchemy import update

    from transfer.ledger.tables import endpoints as table

    assert endpoints.state(runner.ledger, STORE)
    with runner.ledger.writing() as connection:
        connection.execute(update(table).where(table.c.name == STORE).values(pace={"at_once": places}))
