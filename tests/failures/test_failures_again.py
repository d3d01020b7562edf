"""A file that was damaged on its way and is due again at once, while the same worker still holds the batch."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.world import World, world
from transfer.retries import Patience
from transfer.transports.local import LocalTransport


@pytest.fixture
def box(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


class Damaging(LocalTransport):
    """Flips a bit of the first file that arrives."""

    struck = 0
    later = staticmethod(lambda: None)

    def publish(self, renames):  # type: ignore[no-untyped-def]
        self.later()
        return super().publish(renames)

    def put(self, uploads, moved):  # type: ignore[no-untyped-def]
        sent = list(uploads)
        for outcome in super().put(sent, moved):
            if not self.struck:
                self.struck += 1
                place = self._disk.root / sent[0].partial
                place.write_bytes(bytes([place.read_bytes()[0] ^ 1]) + place.read_bytes()[1:])
            yield outcome


def test_what_was_damaged_goes_again_under_another_name_and_costs_one_try(box: World) -> None:
    opened = Damaging(box.store, connections=1)
    box.open_store = lambda: opened
    opened.later = lambda: box.clock.advance(2)  # type: ignore[method-assign]
    runner = box.runner(patience=Patience(first_wait=timedelta(seconds=1), jitter=0.0))
    session = box.session()
    box.write(session, "alf/spikes.amps.npy", b"the lab's bytes")
    box.write(session, "alf/spikes.times.npy", b"go on meanwhile")
    box.see(runner, session)
    box.settle(runner)
    assert opened.struck == 1
    assert [tuple(row) for row in box.rows("SELECT status, tries FROM items ORDER BY id")] == [
        ("recorded", 1),
        ("recorded", 0),
    ]
    assert box.rows("SELECT 1 FROM events WHERE why LIKE '%stands already%'") == []
