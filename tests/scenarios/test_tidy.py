"""Tidying a store: only old leftovers of ours, in folders where something moved."""

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from tests.scripted import Faulty
from tests.world import STORE, World, world
from transfer.errors import StoreRefused
from transfer.rounds import Rounds
from transfer.runner import Runner
from transfer.steps.tidy import tidy
from transfer.transports.local import LocalTransport

NAME = "alf/spikes.times.npy"
FILE = f"KS023/2019-12-10/001/{NAME}"
DAY = timedelta(days=1)
SOMEBODY = "6f1c2b1e-6f0c-4b5c-9f0e-0d6d0f7f5a11"
ATTEMPT, MD5 = "0123abcd", "0" * 32


@pytest.fixture
def box(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


@pytest.fixture
def runner(box: World) -> Runner:
    """One file has arrived."""
    session = box.session()
    box.write(session, NAME, b"the lab's bytes")
    made = box.runner()
    box.see(made, session)
    box.settle(made)
    return made


def leave(box: World, name: str, *, age: timedelta, folder: Path | None = None) -> Path:
    """A file at the store, last written so long ago."""
    path = (folder or box.stored(FILE).parent) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"left behind")
    when = (box.clock.now - age).timestamp()
    os.utime(path, (when, when))
    return path


def swept(box: World, runner: Runner) -> int:
    with LocalTransport(box.store, connections=1) as transport:
        return len(tidy(runner.ledger, STORE, transport, now=box.clock.now, older_than=DAY))


def test_old_partials_and_old_copies_are_removed(box: World, runner: Runner) -> None:
    part = leave(box, f".{uuid4()}.{ATTEMPT}.part", age=2 * DAY)
    old = leave(box, f".{uuid4()}.{MD5}.old", age=2 * DAY)
    assert swept(box, runner) == 2
    assert not part.exists()
    assert not old.exists()
    assert box.stored(FILE).exists()


def test_what_a_killed_trial_of_the_store_left_in_its_root_is_removed(box: World, runner: Runner) -> None:
    """Where a hash command or a rename is tried out, no item ever stands."""
    probe = leave(box, f".{uuid4()}.00000001.part", age=2 * DAY, folder=box.store)
    assert swept(box, runner) == 1
    assert not probe.exists()


def test_young_leftovers_stay(box: World, runner: Runner) -> None:
    """A worker may be writing it."""
    part = leave(box, f".{uuid4()}.{ATTEMPT}.part", age=DAY - timedelta(minutes=1))
    assert swept(box, runner) == 0
    assert part.exists()


@pytest.mark.parametrize(
    "name",
    [
        "notes.txt",
        "spikes.times.npy",
        ".hidden",
        "upload.part",
        ".backup.old",
        f".{SOMEBODY}.part",
        f".{SOMEBODY}.{ATTEMPT}.part.bak",
        f".{SOMEBODY}.XYZ3abcd.part",
        f"{SOMEBODY}.{ATTEMPT}.part",
        f"spikes.times.{SOMEBODY}.npy",
    ],
)
def test_files_that_are_not_ours_are_never_removed(box: World, runner: Runner, name: str) -> None:
    path = leave(box, name, age=400 * DAY)
    assert swept(box, runner) == 0
    assert path.exists()


def test_a_folder_with_such_a_name_and_what_a_link_points_at_are_left_alone(
    box: World, runner: Runner
) -> None:
    folder = box.stored(FILE).parent / f".{uuid4()}.{ATTEMPT}.part"
    folder.mkdir()
    target = leave(box, "precious.npy", age=9 * DAY)
    link = folder.with_name(f".{uuid4()}.{ATTEMPT}.part")
    link.symlink_to(target)
    os.utime(link, (0, 0), follow_symlinks=False)
    swept(box, runner)
    assert target.read_bytes() == b"left behind"
    assert folder.is_dir()


def test_folders_where_nothing_moved_are_not_looked_at(box: World, runner: Runner) -> None:
    part = leave(box, f".{uuid4()}.{ATTEMPT}.part", age=2 * DAY, folder=box.store / "elsewhere")
    assert swept(box, runner) == 0
    assert part.exists()


def test_the_partial_an_open_item_stands_on_is_never_removed(box: World, runner: Runner) -> None:
    """However old: it holds the bytes that were verified, and its item waits for a person."""
    box.write(box.lab.root / "KS023/2019-12-10/001", "alf/spikes.amps.npy", b"more bytes")

    def faulty() -> Faulty:
        transport = Faulty(LocalTransport(box.store, connections=1))
        transport.script("get", StoreRefused("the store is moody", to=NAME))
        return transport

    box.open_store = faulty
    box.see(runner, box.lab.root / "KS023/2019-12-10/001")
    runner.advance_session()
    runner.plan()
    assert runner.advance_batch()
    assert box.facts() == {"alf/spikes.amps.npy": "sent"}
    (partial,) = [path for path in box.stored_files() if path.suffix == ".part"]
    os.utime(partial, (0, 0))
    assert swept(box, runner) == 0
    assert partial.exists()

    box.open_store = None
    box.clock.advance(3600)
    box.settle(runner)
    assert box.record("KS023/2019-12-10/001/alf/spikes.amps.npy")["exists"]


def test_the_round_takes_the_configured_age(box: World, runner: Runner) -> None:
    leave(box, f".{uuid4()}.{ATTEMPT}.part", age=timedelta(hours=3))
    assert Rounds(runner=runner, version="0").tidy(STORE) == "0 leftovers removed"
    assert (
        Rounds(runner=runner, version="0", tidy_age=timedelta(hours=2)).tidy(STORE) == "1 leftovers removed"
    )
