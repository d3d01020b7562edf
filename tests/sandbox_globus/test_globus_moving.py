"""Tasks really move files, and say what became of each."""

import hashlib
import os
import tempfile
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import globus_sdk
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rig_and_store import Lab, client_of

from sandbox.globus import Limits, SandboxGlobus

MD5 = hashlib.md5(b"spikes").hexdigest()


def test_files_and_folders_arrive(lab: Lab):
    """With checksum and size of each, and the counters of the real service."""
    lab.write("s/001/alf/spikes.times.npy", os.urandom(700_000))
    lab.write("s/001/raw/empty.flag", b"")
    document = lab.transfer()
    document.add_item("/s/001", "/deep/er/001", recursive=True)
    task = lab.client.submit_transfer(document)["task_id"]
    ended = lab.globus.wait(task)

    assert (ended["status"], ended["fatal_error"], ended["is_ok"]) == ("SUCCEEDED", None, None)
    assert (ended["files"], ended["directories"], ended["files_transferred"]) == (2, 3, 2)
    assert ended["subtasks_total"] == ended["subtasks_succeeded"] == 1 + 2 + 3
    assert ended["bytes_transferred"] == 700_000
    assert ended["completion_time"] is not None
    for name in ("alf/spikes.times.npy", "raw/empty.flag"):
        assert (lab.there / "deep/er/001" / name).read_bytes() == (lab.here / "s/001" / name).read_bytes()
    rows = {row["source_path"]: row for row in lab.client.task_successful_transfers(task)}
    content = (lab.here / "s/001/alf/spikes.times.npy").read_bytes()
    assert rows["/s/001/alf/spikes.times.npy"]["checksum"] == hashlib.md5(content).hexdigest()
    assert rows["/s/001/raw/empty.flag"]["size"] == 0
    assert lab.events(task) == ["STARTED", "PROGRESS", "SUCCEEDED"]


def test_successful_transfers_come_in_pages(lab: Lab):
    lab.globus.limits.page = 3
    names = [f"/{number}.npy" for number in range(8)]
    for name in names:
        lab.write(name[1:])
    task = lab.submit(*[(name, name) for name in names])
    lab.globus.wait(task)
    assert lab.arrived(task) == names
    assert lab.client.task_successful_transfers(task)["next_marker"] is not None


def test_a_running_task_shows_what_it_has_done(lab: Lab):
    lab.globus.hold(after_files=2)
    for number in range(4):
        lab.write(f"{number}.npy")
    task = lab.submit(*[(f"/{number}.npy", f"/{number}.npy") for number in range(4)])
    lab.globus.wait_until(lambda: lab.globus.task(task)["files_transferred"] == 2)
    shown = lab.client.get_task(task)
    assert (shown["status"], shown["nice_status"], shown["is_ok"]) == ("ACTIVE", "OK", True)
    assert (shown["bytes_transferred"], shown["subtasks_pending"]) == (12, 2)
    assert lab.arrived(task) == ["/0.npy", "/1.npy"]
    lab.globus.release()
    assert lab.globus.wait(task)["files_transferred"] == 4


def test_a_missing_source_keeps_the_task_active_until_the_deadline(lab: Lab):
    """The real service tries for a day; what arrived before counts."""
    lab.write("a.npy")
    task = lab.submit(("/none.npy", "/none.npy"), ("/a.npy", "/a.npy"))
    waiting = lab.globus.wait_for_faults(task, 2)
    assert (waiting["status"], waiting["nice_status"], waiting["is_ok"]) == (
        "ACTIVE",
        "FILE_NOT_FOUND",
        False,
    )
    assert waiting["faults"] >= 2

    lab.globus.advance(timedelta(hours=25).total_seconds())
    ended = lab.globus.wait(task)
    assert (ended["status"], ended["fatal_error"]["code"]) == ("FAILED", "EXPIRED")
    assert ended["subtasks_expired"] == 1
    assert lab.arrived(task) == ["/a.npy"]
    assert lab.events(task)[-1] == "EXPIRED"


def test_a_file_that_appears_is_taken(lab: Lab):
    task = lab.submit(("/late.npy", "/late.npy"))
    lab.globus.wait_for_faults(task)
    lab.write("late.npy")
    assert lab.globus.wait(task)["status"] == "SUCCEEDED"


def test_the_deadline_of_the_document_counts(lab: Lab):
    soon = datetime.now(UTC) + timedelta(minutes=5)
    task = lab.submit(("/none.npy", "/none.npy"), deadline=soon)
    lab.globus.wait_for_faults(task)
    assert lab.client.get_task(task)["deadline"] == soon.isoformat(timespec="seconds")
    lab.globus.advance(301)
    assert lab.globus.wait(task)["fatal_error"]["code"] == "EXPIRED"


def test_source_errors_are_skipped_where_asked(lab: Lab):
    lab.write("a.npy")
    lab.write("secret/b.npy")
    lab.globus.collection(lab.source).denied.add("/secret")
    items = [("/none.npy", "/none.npy"), ("/secret/b.npy", "/b.npy"), ("/a.npy", "/a.npy")]
    task = lab.submit(*items, skip_source_errors=True)
    ended = lab.globus.wait(task)
    assert (ended["status"], ended["subtasks_skipped_errors"]) == ("SUCCEEDED", 2)
    skipped = {row["source_path"]: row["error_code"] for row in lab.client.task_skipped_errors(task)}
    assert skipped == {"/none.npy": "FILE_NOT_FOUND", "/secret/b.npy": "PERMISSION_DENIED"}
    assert lab.arrived(task) == ["/a.npy"]
    assert "SKIPPED_ERRORS" in lab.events(task)


def test_a_wrong_external_checksum_fails_the_whole_task(lab: Lab):
    """Files after it are not carried; those before it have arrived."""
    for name in "abc":
        lab.write(f"{name}.npy")
    document = lab.transfer()
    for name, md5 in (("a", MD5), ("b", "0" * 32), ("c", MD5)):
        document.add_item(f"/{name}.npy", f"/{name}.npy", external_checksum=md5)
    task = lab.client.submit_transfer(document)["task_id"]
    ended = lab.globus.wait(task)
    assert (ended["status"], ended["fatal_error"]["code"]) == ("FAILED", "EXTERNAL_CHECKSUM_MISMATCH")
    assert lab.arrived(task) == ["/a.npy"]
    assert not (lab.there / "c.npy").exists()


def test_right_external_checksums_of_other_algorithms_pass(lab: Lab):
    lab.write("a.npy")
    document = lab.transfer()
    document.add_item(
        "/a.npy",
        "/a.npy",
        external_checksum=hashlib.sha256(b"spikes").hexdigest(),
        checksum_algorithm="SHA256",
    )
    task = lab.client.submit_transfer(document)["task_id"]
    assert lab.globus.wait(task)["status"] == "SUCCEEDED"
    assert lab.client.task_successful_transfers(task)["DATA"][0]["checksum_algorithm"] == "SHA256"


@pytest.mark.parametrize(
    ("level", "replaced"),
    [
        ("exists", []),
        ("size", ["size.npy"]),
        ("mtime", ["newer.npy"]),
        ("checksum", ["newer.npy", "same_size.npy", "size.npy"]),
    ],
)
def test_sync_levels_leave_alone_what_suffices(lab: Lab, level: str, replaced: list[str]):
    """Files left alone are counted as skipped, and are not among the successful transfers."""
    for name, content, age in (("size", b"x", 0), ("same_size", b"SPIKES", 0), ("newer", b"SPIKES", 100)):
        here = lab.write(f"{name}.npy")
        there = lab.there / f"{name}.npy"
        there.write_bytes(content)
        os.utime(there, (here.stat().st_mtime - age, here.stat().st_mtime - age))
    names = ["newer.npy", "same_size.npy", "size.npy"]
    task = lab.submit(*[(f"/{name}", f"/{name}") for name in names], sync_level=level)
    ended = lab.globus.wait(task)
    assert (ended["status"], ended["files_skipped"]) == ("SUCCEEDED", 3 - len(replaced))
    assert lab.arrived(task) == [f"/{name}" for name in replaced]


def test_times_are_kept_where_asked(lab: Lab):
    source = lab.write("a.npy")
    os.utime(source, (1_000_000_000, 1_000_000_000))
    lab.globus.wait(lab.submit(("/a.npy", "/kept.npy"), preserve_timestamp=True))
    lab.globus.wait(lab.submit(("/a.npy", "/new.npy")))
    assert (lab.there / "kept.npy").stat().st_mtime == 1_000_000_000
    assert (lab.there / "new.npy").stat().st_mtime > 1_500_000_000


def test_filters_and_extra_files_at_the_destination(lab: Lab):
    lab.write("s/a.npy")
    lab.write("s/b.log")
    (lab.there / "s/old").mkdir(parents=True)
    (lab.there / "s/old/c.npy").write_bytes(b"old")
    document = lab.transfer(delete_destination_extra=True)
    document.add_item("/s", "/s", recursive=True)
    document.add_filter_rule("*.log", method="exclude")
    lab.globus.wait(lab.client.submit_transfer(document)["task_id"])
    assert sorted(path.name for path in (lab.there / "s").rglob("*")) == ["a.npy"]


def test_a_canceled_task_stops(lab: Lab):
    lab.globus.hold(after_files=1)
    for name in "ab":
        lab.write(f"{name}.npy")
    task = lab.submit(("/a.npy", "/a.npy"), ("/b.npy", "/b.npy"))
    lab.globus.wait_until(lambda: lab.globus.task(task)["files_transferred"] == 1)
    assert lab.client.cancel_task(task)["code"] == "Canceled"
    ended = lab.client.get_task(task)
    assert (ended["status"], ended["subtasks_canceled"]) == ("FAILED", 1)
    assert ended["fatal_error"] == {"code": "CANCELED", "description": "canceled"}
    assert lab.arrived(task) == ["/a.npy"]
    lab.globus.release()
    assert not (lab.there / "b.npy").exists()
    assert lab.client.cancel_task(task)["code"] == "TaskComplete"


def test_label_and_deadline_may_be_changed(lab: Lab):
    lab.globus.hold()
    lab.write("a.npy")
    task = lab.submit(("/a.npy", "/a.npy"))
    lab.client.update_task(task, {"label": "urgent", "deadline": "2999-01-01T00:00:00+00:00"})
    shown = lab.client.get_task(task)
    assert (shown["label"], shown["deadline"]) == ("urgent", "2999-01-01T00:00:00+00:00")


def test_folders_are_deleted_by_a_task_of_their_own(lab: Lab):
    (lab.there / "staged/deep").mkdir(parents=True)
    (lab.there / "staged/deep/a.npy").write_bytes(b"a")
    wanted = globus_sdk.DeleteData(lab.store, recursive=True, ignore_missing=True)
    wanted.add_item("/staged")
    wanted.add_item("/never was")
    task = lab.client.submit_delete(wanted)["task_id"]
    ended = lab.globus.wait(task)
    assert (ended["type"], ended["status"]) == ("DELETE", "SUCCEEDED")
    assert list(lab.there.iterdir()) == []


def test_a_folder_is_not_deleted_unasked(lab: Lab):
    (lab.there / "folder").mkdir()
    wanted = globus_sdk.DeleteData(lab.store)
    wanted.add_item("/folder")
    task = lab.client.submit_delete(wanted)["task_id"]
    lab.globus.wait_for_faults(task)
    lab.client.cancel_task(task)
    assert (lab.there / "folder").exists()


@settings(max_examples=12, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 300_000), min_size=1, max_size=4),
    flips=st.lists(st.integers(0, 3), max_size=4),
    errors=st.lists(st.integers(0, 3), max_size=4),
)
def test_what_succeeded_with_checksums_is_always_intact(
    sizes: list[int], flips: list[int], errors: list[int]
):
    """However many files are damaged or refused on the way: SUCCEEDED means equal bytes."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        here, there = Path(folder, "here"), Path(folder, "there")
        here.mkdir()
        there.mkdir()
        with SandboxGlobus(limits=Limits(retry_pause=0.001)) as globus:
            for name, value in globus.environment.items():
                patch.setenv(name, value)
            source, store = (
                globus.add_collection("a", here, "guest"),
                globus.add_collection("b", there, "guest"),
            )
            app, client = client_of(globus)
            with closing(app), closing(client):
                lab = Lab(globus, app, client, here, there, source, store)
                for number, size in enumerate(sizes):
                    lab.write(f"{number}", os.urandom(size))
                for number in flips:
                    globus.faults.flip(f"/{number}")
                for number in errors:
                    globus.faults.moving(f"/{number}", "CONNECTION_RESET")
                task = lab.submit(*[(f"/{number}", f"/{number}") for number in range(len(sizes))])
                ended = globus.wait(task)
        assert ended["status"] == "SUCCEEDED"
        for number in range(len(sizes)):
            assert (here / f"{number}").read_bytes() == (there / f"{number}").read_bytes()
