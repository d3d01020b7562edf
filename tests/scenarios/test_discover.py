"""What may lie in a session's folder, and what a visit makes of it."""

import os
import socket
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.world import LAB_SERVER, World, md5, world
from transfer import digests
from transfer.ledger import actions, endpoints
from transfer.runner import Runner
from transfer.steps import discover as discovering

NAME = "alf/spikes.times.npy"
OTHER = "alf/spikes.amps.npy"
FILE = f"KS023/2019-12-10/001/{NAME}"
OURS = b"the lab's bytes"


@pytest.fixture
def box(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


@pytest.fixture
def session(box: World) -> Path:
    """A session of two good files."""
    folder = box.session()
    box.write(folder, NAME, OURS)
    box.write(folder, OTHER, OURS + b"2")
    return folder


def visit(box: World, runner: Runner, session: Path) -> None:
    box.see(runner, session)
    assert runner.advance_session()


def push(box: World, session: Path) -> Runner:
    """Everything to its end."""
    runner = box.runner()
    box.see(runner, session)
    box.settle(runner)
    return runner


def reads(monkeypatch: pytest.MonkeyPatch, *, after: Callable[[Path], None] | None = None) -> list[str]:
    """The names of the files that are hashed from now on; `after` is called once each was."""
    seen: list[str] = []
    real = digests.digest_file

    def watched(path: Path, **options: Any) -> digests.FileDigest:
        seen.append(path.name)
        found = real(path, **options)
        if after:
            after(path)
        return found

    monkeypatch.setattr(discovering, "digest_file", watched)
    return seen


# ---- what is no file


def fifo(path: Path, _outside: Path) -> None:
    os.mkfifo(path)


def unix_socket(path: Path, _outside: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's address is short
    try:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(path.name)
    finally:
        os.chdir(here)


def device(path: Path, _outside: Path) -> None:
    try:
        os.mknod(path, 0o600 | 0o020000, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("only root makes devices")


def link_inside(path: Path, _outside: Path) -> None:
    path.symlink_to(path.with_name("spikes.times.npy"))


def link_outside(path: Path, outside: Path) -> None:
    path.symlink_to(outside / "secret.npy")


def link_to_nothing(path: Path, _outside: Path) -> None:
    path.symlink_to("nowhere")


def link_to_a_folder(path: Path, outside: Path) -> None:
    path.symlink_to(outside, target_is_directory=True)


@pytest.mark.parametrize(
    "make", [fifo, unix_socket, device, link_inside, link_outside, link_to_nothing, link_to_a_folder]
)
def test_what_is_no_regular_file_is_shown_and_never_read(
    box: World, session: Path, tmp_path: Path, make: Callable[[Path, Path], None]
) -> None:
    """The others arrive; of this one nothing is registered and a person reads why."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.npy").write_bytes(b"not of this session")
    make(session / "alf/spikes.depths.npy", outside)
    runner = push(box, session)
    assert box.facts() == {}
    assert len(box.stored_files()) == 2
    reason = box.reason("alf/spikes.depths.npy")
    assert "[E-1007]" in reason
    assert ("symbolic link" in reason) == make.__name__.startswith("link")
    assert len(box.alyx.datasets()) == 2
    assert not runner.work()


def test_a_folder_behind_a_link_is_not_walked(box: World, session: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "spikes.times.npy").write_bytes(b"not of this session")
    (session / "alf/probe00").symlink_to(outside)
    push(box, session)
    assert len(box.alyx.datasets()) == 2


def test_flags_and_leftover_partials_are_never_data(box: World, session: Path) -> None:
    """Of anybody: they are neither registered nor shown."""
    box.write(session, "raw_session.flag", b"")
    box.write(session, "alf/transfer_me.flag", b"x")
    box.write(session, f"alf/.{uuid4()}.0123abcd.part", b"half")
    push(box, session)
    assert sorted(row.path for row in box.rows("SELECT path FROM datasets")) == sorted([NAME, OTHER])


def test_the_labs_disk_is_never_written(box: World, session: Path) -> None:
    box.write(session, "raw_session.flag", b"")

    def snapshot() -> dict[str, tuple[int, int]]:
        return {str(path): (path.stat().st_mtime_ns, path.stat().st_ino) for path in box.lab.root.rglob("*")}

    before = snapshot()
    push(box, session)
    assert snapshot() == before


# ---- names


ODD = [
    "alf/bad dir/spikes.times.npy",
    "alf/probe+1/spikes.times.npy",
    "x#y/spikes.times.npy",
    "#2020-01-01#/alf/spikes.times.npy",
    "alf/spikes.\ntimes.npy",
    "alf/spikes:times.npy",
    "alf/back\\slash.npy",
    "notes without extension",
    "alf/no.such.type.npy",
    "alf/.hidden.npy",
]


@pytest.mark.parametrize("name", ODD)
def test_a_name_alyx_could_not_hold_is_shown_with_its_reason(box: World, session: Path, name: str) -> None:
    """Alyx would cut the path silently, or refuse the others along with it."""
    box.write(session, name, OURS)
    push(box, session)
    assert len(box.stored_files()) == 2
    assert len(box.alyx.datasets()) == 2
    rows = box.rows("SELECT path, unregistrable FROM datasets WHERE unregistrable IS NOT NULL")
    assert [row.path for row in rows] == [name]
    assert len(rows[0].unregistrable) > 20


def test_a_name_that_is_no_utf8_is_shown_escaped(box: World, session: Path) -> None:
    folder = os.fsencode(session / "alf")
    for name in (b"spikes.times.\xff.npy", b"spikes.times.\xfe.npy"):
        with open(os.path.join(folder, name), "wb") as file:
            file.write(OURS)
    push(box, session)
    assert len(box.stored_files()) == 2
    assert "no UTF-8" in box.reason("alf/spikes.times.\\xff.npy")
    assert "no UTF-8" in box.reason("alf/spikes.times.\\xfe.npy")
    assert box.session_hold() == (None, None)


def test_a_path_longer_than_alyx_takes_is_shown(box: World, session: Path) -> None:
    deep = "/".join(["d" * 200] * 6)
    box.write(session, f"{deep}/spikes.times.npy", OURS)
    box.write(session, f"{deep}/spikes.amps.npy", OURS)
    push(box, session)
    assert len(box.stored_files()) == 2
    rows = box.rows("SELECT path, unregistrable FROM datasets WHERE unregistrable IS NOT NULL")
    assert len(rows) == 2
    assert all(len(row.path) <= 1000 and "more than 1000 characters" in row.unregistrable for row in rows)


def test_a_name_too_long_for_any_store_is_shown_before_it_is_registered(box: World, session: Path) -> None:
    """With the dataset's uuid in it the name would not fit; one that just fits arrives."""
    name = f"spikes.times.{'x' * 220}.npy"
    box.write(session, f"alf/{name}", OURS)
    box.write(session, f"alf/spikes.times.{'y' * (218 - 17)}.npy", OURS)
    push(box, session)
    assert box.facts() == {}
    assert "more than 255 bytes" in box.reason(f"alf/{name}")
    assert len(box.stored_files()) == 3


def test_an_empty_file_is_a_file(box: World, session: Path) -> None:
    (session / NAME).write_bytes(b"")
    push(box, session)
    assert box.record(FILE)["exists"]
    assert box.dataset(FILE)["file_size"] == 0
    assert box.stored(FILE).read_bytes() == b""


# ---- reading


def test_a_file_that_cannot_be_read_stops_no_other_and_is_tried_again(
    box: World, session: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A permission that is mended leaves no trace, so the visit is repeated."""
    real = os.open

    def denied(path: Any, *args: Any, **options: Any) -> int:
        if str(path).endswith("spikes.times.npy"):
            raise PermissionError(13, "Permission denied")
        return real(path, *args, **options)

    monkeypatch.setattr(digests.os, "open", denied)
    runner = push(box, session)
    assert "[E-1001]" in box.reason(NAME)
    assert len(box.stored_files()) == 1

    monkeypatch.setattr(digests.os, "open", real)
    box.settle(runner)
    assert len(box.stored_files()) == 1  # not at once
    box.clock.advance(16 * 60)
    box.settle(runner)
    assert box.record(FILE)["exists"]
    assert box.reason(NAME) == ""


def test_a_hash_is_computed_once(box: World, session: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While path, size and time stay, a second visit reads nothing."""
    seen = reads(monkeypatch)
    runner = push(box, session)
    assert sorted(seen) == ["spikes.amps.npy", "spikes.times.npy"]
    visit(box, runner, session)
    assert len(seen) == 2

    (session / NAME).write_bytes(b"x" * len(OURS))  # same size, another time
    visit(box, runner, session)
    assert seen[2:] == ["spikes.times.npy"]


def test_a_changed_file_supersedes_the_item_that_was_on_its_way(box: World, session: Path) -> None:
    """Also while it is in a batch; the copy never lacks an open item."""
    runner = box.runner()
    visit(box, runner, session)
    runner.plan()
    (session / NAME).write_bytes(b"a better version")
    visit(box, runner, session)
    assert box.ends() == [(NAME, "superseded")]
    assert box.facts() == {NAME: "registered", OTHER: "planned"}
    box.settle(runner)
    assert box.stored(FILE).read_bytes() == b"a better version"
    assert box.dataset(FILE)["hash"] == md5(b"a better version")


# ---- what is not quiet


def test_a_file_that_grows_is_visited_every_minute_and_held_after_a_day(
    box: World, session: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is never registered; the quiet one beside it arrives at once."""

    def grow(path: Path) -> None:
        if path.name == "spikes.times.npy":
            with path.open("ab") as file:
                file.write(b"more")

    seen = reads(monkeypatch, after=grow)
    runner = push(box, session)
    assert len(box.stored_files()) == 1
    assert seen.count("spikes.times.npy") == 1
    assert not runner.work()
    box.clock.advance(61)
    box.settle(runner)
    assert seen.count("spikes.times.npy") == 2
    assert box.session_hold() == (None, None)

    box.clock.advance(timedelta(hours=24).total_seconds())
    box.settle(runner)
    hold, text = box.session_hold()
    assert hold == "source-still-changing"
    assert NAME in str(text)
    assert "Stop the program that still writes" in str(text)
    assert len(box.alyx.datasets()) == 1

    # And once it is quiet and released, it goes
    monkeypatch.undo()
    actions.release_all(runner.ledger)
    box.settle(runner)
    assert box.record(FILE)["exists"]
    assert box.lies() == []


def test_a_file_replaced_while_it_is_hashed_is_not_registered(
    box: World, session: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second look sees another time under the same name."""
    first = []

    def replaced(path: Path) -> None:
        if path.name == "spikes.times.npy" and not first:
            first.append(path)
            new = path.with_name("new.flag")
            new.write_bytes(OURS[::-1])
            new.replace(path)

    reads(monkeypatch, after=replaced)
    runner = box.runner()
    visit(box, runner, session)
    assert box.facts() == {OTHER: "registered"}
    box.clock.advance(61)
    box.settle(runner)
    assert box.dataset(FILE)["hash"] == md5(OURS[::-1])
    assert box.record(FILE)["exists"]


def test_a_file_written_while_it_is_read_is_no_hash(
    box: World, session: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = digests.Source._read
    written = []

    def slow(self: digests.Source, into: memoryview) -> int:
        if self.path.name == "spikes.times.npy" and not written:
            written.append(self.path)
            with self.path.open("ab") as file:
                file.write(b"more")
        return real(self, into)

    monkeypatch.setattr(digests.Source, "_read", slow)
    runner = box.runner()
    visit(box, runner, session)
    assert box.facts() == {OTHER: "registered"}
    box.clock.advance(61)
    box.settle(runner)
    assert box.record(FILE)["exists"]
    assert box.lies() == []


# ---- what is gone


def test_a_file_that_is_gone_is_held_after_its_central_record_was_read(box: World, session: Path) -> None:
    """And goes on by itself when it is there again, unchanged."""
    runner = box.runner()
    visit(box, runner, session)
    content = (session / NAME).read_bytes()
    kept = (session / NAME).stat()
    (session / NAME).unlink()
    box.alyx.requests.reset()
    visit(box, runner, session)
    assert box.facts() == {NAME: "source-vanished", OTHER: "registered"}
    assert "put it back and release it, or abandon it" in box.reason(NAME)
    assert box.alyx.requests.count("GET", "/datasets") >= 1

    box.write(session, NAME, content)
    os.utime(session / NAME, ns=(kept.st_atime_ns, kept.st_mtime_ns))
    visit(box, runner, session)
    box.settle(runner)
    assert box.record(FILE)["exists"]


def test_a_file_that_is_gone_is_not_registered_by_the_hash_it_had(box: World, session: Path) -> None:
    """Alyx was away at the first visit; by the second the file is gone.  Releasing it changes nothing of that."""
    runner = box.runner()
    box.alyx.faults.add("POST", "/register-file", drop=True)
    visit(box, runner, session)
    (session / NAME).unlink()
    box.clock.advance(61)
    box.settle(runner)
    assert box.facts() == {NAME: "source-vanished"}
    assert [row["name"] for row in box.alyx.datasets()] == ["spikes.amps.npy"]
    actions.release_all(runner.ledger)
    box.settle(runner)
    assert box.facts() == {NAME: "source-vanished"}
    assert len(box.alyx.datasets()) == 1


def test_a_file_whose_bytes_arrived_needs_its_source_no_more(box: World, session: Path) -> None:
    """Only the announcement was missing."""
    runner = box.runner()
    visit(box, runner, session)
    runner.plan()
    box.alyx.faults.add("PATCH", "/files", times=8, status=500, detail="away")
    assert runner.advance_batch()
    assert box.facts() == {NAME: "published", OTHER: "published"}
    (session / NAME).unlink()
    visit(box, runner, session)
    assert box.facts()[NAME] == "published"
    box.clock.advance(3600)
    box.settle(runner)
    assert box.record(FILE)["exists"]


def test_a_file_that_comes_back_changed_is_a_new_version(box: World, session: Path) -> None:
    runner = box.runner()
    visit(box, runner, session)
    (session / NAME).unlink()
    visit(box, runner, session)
    box.write(session, NAME, b"a better version")
    visit(box, runner, session)
    box.settle(runner)
    assert (NAME, "superseded") in box.ends()
    assert box.stored(FILE).read_bytes() == b"a better version"


def test_a_recorded_file_that_is_gone_is_nobodys_case(box: World, session: Path) -> None:
    """Labs clean up what is at the store; that is their right."""
    runner = push(box, session)
    (session / NAME).unlink()
    visit(box, runner, session)
    assert box.facts() == {}
    assert box.record(FILE)["exists"]


def test_a_missing_root_keeps_the_endpoint_back_and_holds_nothing(box: World, session: Path) -> None:
    """A share that is not mounted looks like a lab without files: nothing may be concluded from it."""
    runner = box.runner()
    visit(box, runner, session)
    away = box.lab.root.with_name("unmounted")
    box.lab.root.rename(away)
    box.see(runner, session)
    box.settle(runner)
    state = endpoints.state(runner.ledger, LAB_SERVER)
    assert state is not None
    assert state.retry_at is not None
    assert state.paused_by is None
    assert box.session_hold() == (None, None)
    assert set(box.facts().values()) <= {"registered", "planned"}

    away.rename(box.lab.root)
    for _ in range(4):
        box.clock.advance(3600)
        box.settle(runner)
    assert box.record(FILE)["exists"]


def test_a_session_folder_that_is_gone_is_a_persons_case(box: World, session: Path) -> None:
    runner = box.runner()
    visit(box, runner, session)
    away = session.with_name("002")
    session.rename(away)
    visit(box, runner, session)
    hold, text = box.session_hold()
    assert hold == "not-a-session"
    assert "Put the session's folder back" in str(text)

    away.rename(session)
    actions.release_all(runner.ledger)
    box.settle(runner)
    assert box.record(FILE)["exists"]
