"""The simulated day is what it says: all files arrive, lines are shared, queues take turns, and it can fail."""

from collections import deque
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bench import scale_day, scale_waits
from bench.scale_day import SCENES, simulate
from bench.scale_hands import Crew, Work
from bench.scale_load import LARGE, loads
from bench.scale_world import Clock, Line, Queues, Ring
from transfer.ledger import Ledger, schema
from transfer.ledger.engine import open_engine

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)


def test_a_day_is_drawn_once_for_all() -> None:
    """180 sessions, 12,000 files, one of 17 GB in each of twenty sessions; the same seed, the same day."""
    day = loads(1)
    assert (len(day), sum(len(load.sizes) for load in day)) == (180, 12_000)
    assert sum(LARGE in load.sizes for load in day) == 20
    assert {load.lab for load in day} == set(range(12))
    assert day == loads(1) != loads(2)


def test_a_line_is_shared_and_no_stream_is_faster_than_its_own_limit() -> None:
    """Two streams of 100 bytes on a line of 10 a second: each has 5, then the second has all that it may."""
    clock, arrived = Clock(NOON), list[tuple[str, float]]()
    line = Line(clock, rate=10, each=8)
    line.send(100, lambda: arrived.append(("first", clock.seconds)))
    line.send(180, lambda: arrived.append(("second", clock.seconds)))
    clock.run()
    assert arrived == [("first", 20.0), ("second", 30.0)]


def test_a_worker_takes_from_its_queues_in_turn() -> None:
    queues = Queues(["a", "b"])
    for one in range(3):
        queues.put("a", Ring("move", one, 0.0))
    queues.put("b", Ring("move", 9, 0.0))
    taken = iter(queues.take, None)
    assert [ring.id for ring in taken] == [0, 9, 1, 2]


@pytest.mark.parametrize("scene", SCENES)
def test_every_file_of_a_small_day_is_recorded_by_the_real_ledger(scene: str, tmp_path: Path) -> None:
    def open_for(clock: Clock) -> Ledger:
        engine = open_engine(f"sqlite:///{tmp_path}/ledger.db")
        schema.migrate(engine)
        return Ledger(engine, clock=clock.now, monotonic=lambda: clock.seconds)

    found = simulate(open_for, scene, seed=1, hands=2, scale=0.05)

    assert (found.sessions, found.files) == (9, 600)
    assert found.idle_worst <= scale_day._SWEEP


def work(rung: float, begun: float, *, size: int = 1, kind: str = "move") -> Work:
    return Work(kind=kind, id=0, lab=0, rung=rung, begun=begun, ended=begun + 1, files=1, bytes=size)


def test_waiting_behind_large_files_is_noticed() -> None:
    """Only the part of a wait in which all hands had a large file counts."""
    crew = Crew([0], 4)
    crew.only_large = [(0.0, 10.0), (20.0, 30.0)]
    assert scale_waits._within(work(5, 25), crew.only_large) == 10.0
    assert scale_waits._within(work(10, 20), crew.only_large) == 0.0


def test_overlapping_times_are_counted_once() -> None:
    assert list(scale_waits._merged([(5, 9), (0, 3), (2, 4), (9, 10)])) == [(0, 4), (5, 10)]


def test_a_batch_that_overtakes_another_of_its_kind_is_noticed() -> None:
    early, late, large = work(0, 50), work(10, 20), work(10, 20, size=LARGE)
    assert scale_waits._overtaken(early, [early, late, large], ["store"]) == 1
    assert scale_waits._overtaken(late, [early, late, large], ["store"]) == 0


def test_a_queue_keeps_what_is_not_taken() -> None:
    queues = Queues(["a"])
    queues.put("a", Ring("visit", 1, 0.0))
    assert (queues.waiting("a"), queues.rings["a"]) == (1, deque([Ring("visit", 1, 0.0)]))
