"""What a lab's disk may do while its files are on their way: lose them, show them empty for a moment, share them."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.world import World, world
from transfer.runner import Runner

NAME, OTHER = "alf/spikes.times.npy", "alf/spikes.amps.npy"
SESSION = "KS023/2019-12-10/001"
FILE = f"{SESSION}/{NAME}"
CONTENT = b"what the rig recorded"


@pytest.fixture
def box(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


def planned(box: World, contents: dict[str, bytes]) -> Runner:
    session = box.session()
    for name, content in contents.items():
        box.write(session, name, content)
    runner = box.runner()
    box.see(runner, session)
    runner.advance_session()
    runner.plan()
    return runner


def looked_at_again(box: World, runner: Runner) -> None:
    box.clock.advance(3600)
    box.see(runner, box.lab.root / SESSION)
    box.settle(runner)


def test_a_file_that_is_gone_when_its_turn_comes_stops_no_other(box: World) -> None:
    """Planned, and removed before it is read: it is named and waits for a person, the other one arrives."""
    runner = planned(box, {NAME: CONTENT, OTHER: b"amplitudes"})
    (box.lab.root / FILE).unlink()
    box.settle(runner)
    assert box.ends() == [(OTHER, "recorded")]
    assert box.facts() == {NAME: "source-vanished"}
    assert not box.record(FILE)["exists"]
    assert NAME in box.reason(NAME)
    assert box.lies() == []


def test_a_share_that_shows_a_file_empty_for_a_moment_is_not_believed_for_long(box: World) -> None:
    """It was empty when it was hashed and registered: what is sent is what it holds, under its true hash."""
    runner = planned(box, {NAME: b""})
    file = box.lab.root / FILE
    assert box.dataset(FILE)["file_size"] == 0
    file.write_bytes(CONTENT)
    box.settle(runner)
    looked_at_again(box, runner)
    assert box.stored(FILE).read_bytes() == CONTENT
    assert box.dataset(FILE)["file_size"] == len(CONTENT)
    assert box.lies() == []
    assert box.facts() == {}


def test_a_file_that_turns_empty_before_it_is_sent_replaces_nothing(box: World) -> None:
    """The share shows the right file, then an empty one with the same time, then the right one again."""
    runner = planned(box, {NAME: CONTENT})
    file = box.lab.root / FILE
    seen = file.stat()
    file.write_bytes(b"")
    os.utime(file, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    assert runner.advance_batch()
    assert box.stored_files() == []
    file.write_bytes(CONTENT)
    os.utime(file, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    box.settle(runner)
    looked_at_again(box, runner)
    assert box.stored(FILE).read_bytes() == CONTENT
    assert [end for _, end in box.ends()].count("recorded") == 1
    assert box.lies() == []


def test_two_names_of_one_file_are_two_files_at_the_store(box: World) -> None:
    """Hard links are ordinary files; each name arrives with the bytes."""
    session = box.session()
    file = box.write(session, NAME, CONTENT)
    os.link(file, session / OTHER)
    runner = box.runner()
    box.see(runner, session)
    box.settle(runner)
    assert box.stored(FILE).read_bytes() == CONTENT
    assert box.stored(f"{SESSION}/{OTHER}").read_bytes() == CONTENT
    assert len(box.stored_files()) == 2
