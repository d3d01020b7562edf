"""One ledger speaks for a repository: strangers and restored backups stop before anything moves."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.world import LAB_SERVER, STORE, World, world
from transfer import agent
from transfer.errors import ForeignLedger, RestoredLedger
from transfer.ledger import endpoints
from transfer.rounds import Rounds
from transfer.runner import Runner
from transfer.secrecy import remember
from transfer.transports.local import LocalTransport

NAME, OTHER = "alf/spikes.times.npy", "alf/spikes.amps.npy"
SESSION = "KS023/2019-12-10/001"


@pytest.fixture
def box(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


def mirror(box: World, runner: Runner) -> str:
    return agent.mirror(runner.ledger, runner.catalog, box.lab, version="1.0")


def task(box: World) -> dict[str, Any]:
    (row,) = box.alyx.tables.rows("tasks")
    return row


def test_the_agents_row_says_that_it_lives_and_what_waits(box: World) -> None:
    """One row for ever, written again and again, with a short log."""
    session = box.session()
    box.write(session, NAME, b"12345")
    runner = box.runner()
    assert mirror(box, runner) == "all sent"
    box.see(runner, session)
    runner.advance_session()
    box.clock.advance(90)
    assert mirror(box, runner) == "1 files (5 bytes) wait, the oldest for 90 s"
    row = task(box)
    uuid, epoch = runner.ledger.identity()
    said = row["arguments"]
    assert (said["ledger"], said["epoch"], said["files_waiting"], said["bytes_waiting"]) == (
        str(uuid),
        epoch,
        1,
        5,
    )
    assert said["event"] == runner.ledger.last_event()
    box.settle(runner)
    assert mirror(box, runner) == "all sent"
    assert task(box)["id"] == row["id"]


def test_the_agents_row_says_what_is_wrong_and_forgets_it_when_it_is_well_again(box: World) -> None:
    """A place that is kept back comes before a file that is held; no password of ours is in it."""
    remember("sesame-of-the-store")
    session = box.session()
    box.write(session, NAME, b"12345")
    runner = box.runner()
    box.see(runner, session)
    runner.advance_session()
    (session / NAME).unlink()
    box.see(runner, session)
    runner.advance_session()
    mirror(box, runner)
    assert "gone" in task(box)["arguments"]["last_error"]

    endpoints.pause(
        runner.ledger, STORE, by="person:kate", reason="the disks are exchanged: sesame-of-the-store"
    )
    mirror(box, runner)
    said = task(box)["arguments"]["last_error"]
    assert said.startswith(f"{STORE}: the disks are exchanged")
    assert "sesame" not in said

    endpoints.resume(runner.ledger, STORE)
    box.write(session, NAME, b"12345")
    box.see(runner, session)
    box.settle(runner)
    mirror(box, runner)
    assert task(box)["arguments"]["last_error"] is None


def test_a_second_ledger_for_the_repository_is_refused(box: World) -> None:
    mirror(box, box.runner())
    box.ledger_url = f"sqlite:///{box.root / 'second.sqlite'}"
    second = box.runner()
    with pytest.raises(ForeignLedger, match=LAB_SERVER) as refused:
        Rounds(runner=second, version="1.0").start()
    assert "alyx-transfer recover" in refused.value.do
    before = task(box)
    with pytest.raises(ForeignLedger):
        mirror(box, second)
    assert task(box) == before


def copied(box: World, to: Path) -> None:
    """A backup as people make them, of the file and its log."""
    to.mkdir()
    for file in box.root.glob("ledger.sqlite*"):
        shutil.copy2(file, to)


def restored(box: World, of: Path) -> Runner:
    box.ledger_url = f"sqlite:///{of / 'ledger.sqlite'}"
    return box.runner()


def backed_up_and_gone_on(box: World, backup: Path) -> None:
    """A backup is made when one file is on its way; then it arrives, and another is discovered and arrives too."""
    session = box.session()
    box.write(session, NAME, b"the first")
    runner = box.runner()
    box.see(runner, session)
    runner.advance_session()
    runner.plan()
    mirror(box, runner)
    copied(box, backup)
    box.settle(runner)
    box.write(session, OTHER, b"the second")
    box.see(runner, session)
    box.settle(runner)
    mirror(box, runner)


def test_a_ledger_restored_from_an_old_backup_is_refused(box: World, tmp_path: Path) -> None:
    """Alyx has seen more of it than it remembers."""
    backed_up_and_gone_on(box, tmp_path / "backup")
    old = restored(box, tmp_path / "backup")
    with pytest.raises(RestoredLedger) as refused:
        Rounds(runner=old, version="1.0").start()
    assert "alyx-transfer recover" in refused.value.do


def test_the_ledger_itself_starts_again_and_again(box: World) -> None:
    runner = box.runner()
    for _ in range(3):
        Rounds(runner=runner, version="1.0").start()
        box.see(runner, box.session())
        box.settle(runner)
    Rounds(runner=box.runner(), version="1.1").start()


def test_recover_takes_over_and_nothing_is_sent_or_registered_twice(box: World, tmp_path: Path) -> None:
    """What arrived meanwhile is adopted by its hash, known to the old ledger or not."""
    backed_up_and_gone_on(box, tmp_path / "backup")
    before = {path: path.stat().st_ino for path in box.stored_files()}
    assert len(before) == 2
    old = restored(box, tmp_path / "backup")
    puts: list[Any] = []

    class Watched(LocalTransport):
        def put(self, uploads: Any, moved: Any) -> Any:
            for outcome in super().put(uploads, moved):
                puts.append(outcome)
                yield outcome

    box.open_store = lambda: Watched(box.store, connections=1)
    _, epoch = old.ledger.identity()
    assert agent.recover(old.ledger, why="the disk broke") == 1
    assert old.ledger.identity()[1] == epoch + 1
    agent.take_over(old.ledger, old.catalog, box.lab, version="1.0")
    Rounds(runner=old, version="1.0").start()
    box.alyx.requests.reset()
    box.settle(old)
    assert puts == []
    assert {path: path.stat().st_ino for path in box.stored_files()} == before
    asked = box.alyx.requests.counter()
    assert asked["POST", "/register-file"] == asked["PATCH", "/files/<id>"] == 0
    box._ledgers.insert(0, old.ledger)
    assert box.ends() == [(NAME, "recorded"), (OTHER, "recorded")]


def test_after_recover_the_ledger_that_was_left_is_the_stranger(box: World, tmp_path: Path) -> None:
    """It may not go on beside the restored one."""
    backed_up_and_gone_on(box, tmp_path / "backup")
    left = box.runner()
    old = restored(box, tmp_path / "backup")
    agent.recover(old.ledger, why="the disk broke")
    agent.take_over(old.ledger, old.catalog, box.lab, version="1.0")
    with pytest.raises(RestoredLedger):
        agent.check_owner(left.ledger, left.catalog, box.lab)


def test_recover_ends_leases_and_batches_but_keeps_holds(box: World) -> None:
    """A worker of the old epoch writes nothing any more."""
    from transfer.errors import LostRace

    session = box.session()
    box.write(session, NAME, b"the first")
    box.write(session, OTHER, b"the second")
    runner = box.runner()
    box.see(runner, session)
    runner.advance_session()
    (session / OTHER).unlink()
    box.see(runner, session)
    runner.advance_session()
    runner.plan()
    claimed = runner.ledger.claim_batch(60)
    assert claimed is not None
    agent.recover(runner.ledger, why="to be sure")
    with pytest.raises(LostRace), runner.ledger.guarded(claimed[0]):
        pass
    assert box.facts() == {NAME: "registered", OTHER: "source-vanished"}
    assert [row.open for row in box.rows("SELECT open FROM batches")] == [None]
    box.settle(runner)
    assert box.facts() == {OTHER: "source-vanished"}


def test_one_ledger_speaks_for_several_labs_at_the_same_moment(box: World) -> None:
    """Alyx takes no two rows of one name with equal arguments: each names its repository."""
    other = replace(box.lab, repository="hoferlab_SR")
    box.alyx.add_repository(other.repository, globus_path="/hofer/", personal=True)
    runner = box.runner()
    for _ in range(2):
        for lab in (box.lab, other):
            agent.mirror(runner.ledger, runner.catalog, lab, version="1.0")
    for lab in (box.lab, other):
        agent.take_over(runner.ledger, runner.catalog, lab, version="1.0")
    assert len(box.alyx.tables.rows("tasks")) == 2
