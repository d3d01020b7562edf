"""One file's journey, told as the table in docs/architecture.md."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.stage import OtherTool
from tests.world import LAB_SERVER, World, md5, world
from transfer.errors import SourceVanished
from transfer.model import Item
from transfer.runner import Runner
from transfer.status import Status
from transfer.steps import push
from transfer.steps.work import Failure

FILE = "KS023/2019-12-10/001/alf/probe00/spikes.times.npy"
CONTENT = b"spikes" * 1000


@pytest.fixture
def box(tmp_path: Path):
    with world(tmp_path) as made:
        yield made


def only_item(runner: Runner, session: int) -> Item:
    (item,) = runner.ledger.session_items(session, *Status)
    return item


def test_a_file_makes_its_journey_fact_by_fact(box: World) -> None:
    """Each step leaves exactly its own fact, and nothing is announced before it is proved and in place."""
    # Given one file of a session that Alyx knows
    session = box.session()
    box.write(session, "alf/probe00/spikes.times.npy", CONTENT)
    runner = box.runner()
    number = box.see(runner, session)

    # When the session is visited, the file is discovered and registered
    assert runner.advance_session()
    item = only_item(runner, number)
    assert item.status is Status.REGISTERED
    assert item.md5 == md5(CONTENT)
    assert box.dataset(FILE)["hash"] == md5(CONTENT)
    assert box.record(FILE, LAB_SERVER)["exists"]
    assert not box.record(FILE)["exists"]

    # planned: the target carries the dataset's uuid
    runner.plan()
    item = only_item(runner, number)
    assert item.status is Status.PLANNED
    assert box.store / item.store_path == box.stored(FILE)

    # pushed, verified, published, recorded
    assert runner.advance_batch()
    assert runner.ledger.session_items(number, *Status) == []
    assert box.stored(FILE).read_bytes() == CONTENT
    assert box.record(FILE)["exists"]
    assert box.stored_files() == [box.stored(FILE)]

    # and then there is nothing left to do
    assert not runner.work()


def test_a_patched_file_replaces_the_copy_only_after_it_was_verified(box: World) -> None:
    """The old copy stands, unannounced, until the new bytes are proved."""
    session = box.session()
    file = box.write(session, "alf/probe00/spikes.times.npy", CONTENT)
    runner = box.runner()
    box.see(runner, session)
    box.settle(runner)
    before = box.stored(FILE)

    file.write_bytes(b"patched" * 1000)
    box.see(runner, session)
    assert runner.advance_session()
    assert not box.record(FILE)["exists"]
    assert before.read_bytes() == CONTENT

    box.settle(runner)
    assert box.stored(FILE) == before
    assert before.read_bytes() == b"patched" * 1000
    assert box.record(FILE)["exists"]
    assert box.lies() == []


def test_what_stands_at_the_store_already_is_adopted(box: World) -> None:
    """The right bytes under the final name are proved and announced; nothing is sent again."""
    session = box.session()
    box.write(session, "alf/probe00/spikes.times.npy", CONTENT)
    runner = box.runner()
    number = box.see(runner, session)
    runner.advance_session()
    runner.plan()
    target = box.store / only_item(runner, number).store_path
    target.parent.mkdir(parents=True)
    target.write_bytes(CONTENT)
    inode = target.stat().st_ino

    box.settle(runner)

    assert box.record(FILE)["exists"]
    assert target.stat().st_ino == inode


def test_a_second_visit_of_an_unchanged_session_does_nothing(box: World) -> None:
    """Safe to repeat: no request that writes, no byte moved."""
    session = box.session()
    box.write(session, "alf/probe00/spikes.times.npy", CONTENT)
    runner = box.runner()
    box.see(runner, session)
    box.settle(runner)
    box.alyx.requests.reset()

    box.see(runner, session)
    box.settle(runner)

    assert not {method for method, _ in box.alyx.requests.all()} & {"POST", "PATCH", "PUT", "DELETE"}


def test_a_session_alyx_does_not_know_waits_for_a_person(box: World) -> None:
    session = box.session(known=False)
    box.write(session, "alf/probe00/spikes.times.npy", CONTENT)
    runner = box.runner()
    box.see(runner, session)
    box.settle(runner)

    with runner.ledger.reading() as connection:
        from transfer.ledger.rows import SESSIONS

        row = connection.execute(SESSIONS).one()
    assert row.hold == "session-unknown-to-alyx"
    assert "Create the session in Alyx" in row.hold_text


def test_alyx_away_is_a_matter_of_time(box: World) -> None:
    """Work that meets a dead Alyx is postponed, not held, and goes on by itself."""
    session = box.session()
    box.write(session, "alf/probe00/spikes.times.npy", CONTENT)
    runner = box.runner()
    number = box.see(runner, session)
    runner.advance_session()
    runner.plan()
    box.alyx.faults.add("*", ".*", times=1_000_000, drop=True)
    box.settle(runner)
    assert only_item(runner, number).hold is None

    box.alyx.faults.clear()
    for _ in range(20):
        box.clock.advance(timedelta(minutes=30).total_seconds())
        box.settle(runner)
    assert box.record(FILE)["exists"]


def test_a_version_registered_by_others_while_we_sent_is_discovered_again_not_held(box: World) -> None:
    """The hash in Alyx moved before we published: the hashes decide anew, no person is asked."""
    session = box.session()
    file = box.write(session, "alf/probe00/spikes.times.npy", CONTENT)
    runner = box.runner()
    number = box.see(runner, session)
    runner.advance_session()
    runner.plan()
    tool = OtherTool(box)
    tool.replace(FILE, b"patched" * 1000)
    tool.register(FILE)

    runner.advance_batch()
    assert only_item(runner, number).hold is None

    box.settle(runner)
    assert box.lies() == []
    assert box.record(FILE)["exists"]
    assert box.stored(FILE).read_bytes() == file.read_bytes()


def test_an_unmounted_share_that_leaves_an_empty_folder_holds_no_file(box: World, tmp_path: Path) -> None:
    """The endpoint waits until the share is back; no file counts as vanished."""
    session = box.session()
    box.write(session, "alf/probe00/spikes.times.npy", CONTENT)
    runner = box.runner()
    number = box.see(runner, session)
    runner.advance_session()
    runner.plan()
    mounted = tmp_path / "elsewhere"
    box.lab.root.rename(mounted)
    box.lab.root.mkdir()

    box.settle(runner)
    assert only_item(runner, number).hold is None

    box.lab.root.rmdir()
    mounted.rename(box.lab.root)
    box.clock.advance(3600)
    box.settle(runner)
    assert box.record(FILE)["exists"]


def test_a_share_that_is_away_for_a_moment_holds_no_file(
    box: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is back between the look at the file and the look at the root."""
    session = box.session()
    box.write(session, "alf/probe00/spikes.times.npy", CONTENT)
    runner = box.runner()
    number = box.see(runner, session)
    runner.advance_session()
    runner.plan()
    away, send = tmp_path / "elsewhere", push._send
    told: list[Failure] = []

    def while_away(work: Any, items: Any) -> list[Failure]:
        box.lab.root.rename(away)
        told.extend(send(work, items))
        away.rename(box.lab.root)
        return told

    with monkeypatch.context() as patched:
        patched.setattr(push, "_send", while_away)
        runner.advance_batch()
    assert [type(failure.error) for failure in told] == [SourceVanished]
    assert only_item(runner, number).hold is None

    box.clock.advance(3600)
    box.settle(runner)
    assert box.record(FILE)["exists"]


def test_a_file_that_changed_unseen_is_hashed_again_and_arrives(box: World) -> None:
    """Same size and time, other bytes: the hash that was kept for them is not believed a second time."""
    session = box.session()
    file = box.write(session, "alf/probe00/spikes.times.npy", CONTENT)
    runner = box.runner()
    box.see(runner, session)
    assert runner.advance_session()
    before = file.stat()
    file.write_bytes(bytes(before.st_size))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    for _ in range(10):
        box.settle(runner)
        box.clock.advance(61)
    assert box.facts() == {}
    assert box.stored(FILE).read_bytes() == bytes(before.st_size)
    assert box.lies() == []
