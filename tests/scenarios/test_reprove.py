"""A store that cannot flush is asked once more after a day."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.world import World, world
from transfer.rounds import Rounds
from transfer.transports.local import LocalTransport

FILE = "KS023/2019-12-10/001/alf/probe00/spikes.times.npy"
DAY_AND_A_BIT = 25 * 3600


class Forgetful(LocalTransport):
    """A disk that does not flush."""

    @property
    def capabilities(self):
        return replace(super().capabilities, syncs=False)


@pytest.fixture
def box(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        session = made.session()
        made.write(session, "alf/probe00/spikes.times.npy", b"spikes" * 100)
        yield made


def arrived(box: World) -> Rounds:
    runner = box.runner()
    box.see(runner, box.lab.root / "KS023/2019-12-10/001")
    box.settle(runner)
    return Rounds(runner=runner, version="test")


def test_a_copy_that_the_store_lost_is_withdrawn_and_sent_again(box: World) -> None:
    box.open_store = lambda: Forgetful(box.store, connections=1)
    rounds = arrived(box)
    box.stored(FILE).write_bytes(b"")  # the power cut
    box.clock.advance(DAY_AND_A_BIT)

    assert "lost by the store: 1" in str(rounds.reconcile(box.lab))
    assert not box.record(FILE)["exists"]

    box.settle(rounds.runner)
    assert box.lies() == []
    assert box.record(FILE)["exists"]
    assert box.stored(FILE).read_bytes() == b"spikes" * 100


def test_a_copy_that_is_still_right_is_proved_once_more_and_no_oftener(box: World) -> None:
    box.open_store = lambda: Forgetful(box.store, connections=1)
    rounds = arrived(box)
    box.clock.advance(DAY_AND_A_BIT)

    assert "proved again: 1" in str(rounds.reconcile(box.lab))
    assert "proved again" not in str(rounds.reconcile(box.lab))


def test_a_store_that_flushes_is_believed(box: World) -> None:
    rounds = arrived(box)
    box.clock.advance(DAY_AND_A_BIT)

    assert "proved again" not in str(rounds.reconcile(box.lab))
