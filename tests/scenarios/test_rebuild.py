"""A lost ledger is made anew from Alyx and the store: everything is proved again, nothing is believed or sent twice."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.client import other_client
from tests.world import LAB_SERVER, World, world
from transfer import agent
from transfer.errors import ForeignLedger
from transfer.rebuilding import Rebuilt, rebuild
from transfer.rounds import Rounds
from transfer.runner import Runner
from transfer.transports.local import LocalTransport

SPIKES, AMPS, NEW = "alf/spikes.times.npy", "alf/#2026-01-01#/spikes.amps.npy", "alf/clusters.depths.npy"
CONTENT = {SPIKES: b"when" * 100, AMPS: b"how much" * 100, NEW: b"not sent yet" * 10}


@pytest.fixture
def box(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


class Counted(LocalTransport):
    """Counts what is sent."""

    sent: list[str]

    def put(self, uploads: Any, moved: Any) -> Any:
        for outcome in super().put(uploads, moved):
            self.sent.append(str(outcome.key))
            yield outcome


def arrived(box: World) -> Path:
    """Two files have arrived and a third is registered only; then the ledger is lost."""
    session = box.session()
    for name in (SPIKES, AMPS):
        box.write(session, name, CONTENT[name])
    runner = box.runner()
    box.see(runner, session)
    box.settle(runner)
    box.write(session, NEW, CONTENT[NEW])
    box.see(runner, session)
    runner.advance_session()
    agent.mirror(runner.ledger, runner.catalog, box.lab, version="1")
    box._ledgers.clear()
    runner.ledger.engine.dispose()
    (box.root / "ledger.sqlite").unlink()
    return session


def rebuilt(box: World) -> tuple[Runner, Rebuilt, list[str]]:
    """A worker with a new ledger, what the rebuild told, and where what it sends is counted."""
    sent: list[str] = []

    def open_store() -> Counted:
        made = Counted(box.store, connections=1)
        made.sent = sent
        return made

    box.open_store = open_store
    runner = box.runner()
    agent.take_over(runner.ledger, runner.catalog, box.lab, version="1")
    return runner, rebuild(runner.ledger, runner.catalog, box.lab), sent


def test_what_stands_at_the_store_is_proved_and_not_sent_and_the_rest_goes_on(box: World) -> None:
    session = arrived(box)
    before = {path: path.stat().st_ino for path in box.stored_files()}
    runner, told, sent = rebuilt(box)
    box.alyx.requests.reset()

    box.settle(runner)

    assert (told.files, told.known, dict(told.left_out)) == (3, 0, {})
    assert len(sent) == 1, "only the file that had not arrived"
    assert {path: path.stat().st_ino for path in box.stored_files() if path in before} == before
    assert sorted(box.ends()) == sorted((name, "recorded") for name in CONTENT)
    assert box.lies() == []
    assert box.alyx.requests.counter()["POST", "/register-file"] == 0
    proofs = box.rows("SELECT proof FROM receipts WHERE kind = 'arrival'")
    assert [row.proof for row in proofs] == ["read back"] * 3
    # And the lab is seen as before: nothing is to be done.
    box.see(runner, session)
    box.settle(runner)
    assert len(box.ends()) == 3


def test_the_lab_may_have_cleaned_up_what_had_arrived(box: World) -> None:
    """A visit that finds the lab's file gone leaves it: what stands at the store is proved all the same."""
    session = arrived(box)
    (session / SPIKES).unlink()
    runner, _, _ = rebuilt(box)
    box.see(runner, session)

    assert runner.advance_session()
    assert SPIKES in box.facts()
    box.settle(runner)

    assert (SPIKES, "recorded") in box.ends()
    assert box.record(f"KS023/2019-12-10/001/{SPIKES}")["exists"] is True


def test_a_copy_that_is_not_what_alyx_says_is_withdrawn_and_sent_again(box: World) -> None:
    """And where the lab has it no more either, a person is told; nothing wrong stays announced."""
    session = arrived(box)
    path = f"KS023/2019-12-10/001/{SPIKES}"
    box.stored(path).write_bytes(b"x" * len(CONTENT[SPIKES]))
    runner, _, sent = rebuilt(box)
    box.settle(runner)

    assert len(sent) == 2
    assert box.stored(path).read_bytes() == CONTENT[SPIKES]
    assert box.lies() == []

    box.stored(path).write_bytes(b"y" * len(CONTENT[SPIKES]))
    (session / SPIKES).unlink()
    box._ledgers.clear()
    runner.ledger.engine.dispose()
    (box.root / "ledger.sqlite").unlink()
    again, _, _ = rebuilt(box)
    box.settle(again)
    assert box.facts() == {SPIKES: "source-vanished"}
    assert box.record(path)["exists"] is False
    assert box.lies() == []


def test_it_may_be_killed_at_any_session_and_repeated(box: World) -> None:
    first, second = arrived(box), box.session(2)
    box.write(second, SPIKES, CONTENT[SPIKES])
    runner = box.runner()
    agent.take_over(runner.ledger, runner.catalog, box.lab, version="1")
    box.see(runner, second)
    box.settle(runner)
    box._ledgers.clear()
    runner.ledger.engine.dispose()
    (box.root / "ledger.sqlite").unlink()

    class Died(Exception):
        pass

    def die(_files: int) -> None:
        raise Died

    runner = box.runner()
    agent.take_over(runner.ledger, runner.catalog, box.lab, version="1")
    with pytest.raises(Died):
        rebuild(runner.ledger, runner.catalog, box.lab, on_session=die)
    told = rebuild(runner.ledger, runner.catalog, box.lab)
    again = rebuild(runner.ledger, runner.catalog, box.lab)

    assert (told.files, told.known) == (1, 3)
    assert (again.files, again.known) == (0, 4)
    box.settle(runner)
    assert first.is_dir()
    assert len(box.ends()) == 4
    assert box.lies() == []


def test_what_cannot_be_rebuilt_is_counted_and_stops_nothing(box: World) -> None:
    """A SHA-1 of old, a path that lies in no session."""
    arrived(box)
    sha1 = box.record(f"KS023/2019-12-10/001/{SPIKES}")["dataset"]
    away = box.record(f"KS023/2019-12-10/001/{AMPS}", LAB_SERVER)["id"]
    with other_client(box) as other:
        other.patch("datasets", sha1, hash="a" * 40)
        other.patch("files", away, relative_path=f"KS023/2019-12-10/away/{AMPS}")
    runner, told, _ = rebuilt(box)

    assert told.files == 1
    assert dict(told.left_out) == {
        "no md5 or no size in Alyx": 1,
        "a path in Alyx that lies in no session": 1,
    }
    box.settle(runner)
    assert box.ends() == [(NEW, "recorded")]


def test_the_ledger_that_was_believed_lost_may_not_go_on(box: World) -> None:
    arrived(box)
    runner, _, _ = rebuilt(box)
    other = box.root / "found-again.sqlite"
    box.ledger_url = f"sqlite:///{other}"
    found_again = box.runner()
    with pytest.raises(ForeignLedger):
        Rounds(runner=found_again, version="1").start()
    assert runner.ledger.identity() != found_again.ledger.identity()
