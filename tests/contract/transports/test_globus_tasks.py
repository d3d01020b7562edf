"""A task at Globus, from the frozen document to what became of each file."""

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from globus_lab import Place, frozen, place

from transfer.errors import (
    ArrivedDamaged,
    MoverOffline,
    MoverOutOfTime,
    MoverPaused,
    MoverRefused,
    MoverUnavailable,
    QuotaExceeded,
    SourceUnreadable,
    SourceVanished,
)
from transfer.model import STAGING
from transfer.transports.delegated import Standing
from transfer.transports.globus.transport import GlobusTransport


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Place]:
    with place(tmp_path) as made:
        yield made
        made.globus.faults.assert_all_reached()


@pytest.fixture
def mover(box: Place) -> Iterator[GlobusTransport]:
    with box.transport() as opened:
        yield opened


def test_a_file_is_brought_into_the_staging_folder_and_reported_as_arrived(
    box: Place, mover: GlobusTransport
) -> None:
    key = mover.reserve()
    piece = box.piece(key, "KS055/2026-03-04/001/alf/#2026-01-01#/spikes.times.npy", b"1234567")
    document = frozen(mover, key, [piece])

    task = mover.submit(document)
    box.globus.wait(task)
    report = mover.poll(task, document)

    assert report.standing is Standing.SUCCEEDED
    assert report.arrived == {piece.staged}
    assert report.failed == {}
    assert report.bytes_moved == 7
    assert box.stored(piece.staged).read_bytes() == b"1234567"
    assert box.stored(piece.staged).stat().st_mtime == 1_700_000_000


def test_exactly_the_frozen_document_is_sent_and_nothing_is_left_to_a_default(
    box: Place, mover: GlobusTransport
) -> None:
    key = mover.reserve()
    pieces = [box.piece(key, name) for name in ("a.npy", "b.npy")]
    document = frozen(mover, key, pieces)

    kept = json.loads(json.dumps(document))  # as the ledger keeps it
    box.globus.wait(mover.submit(kept))

    (sent,) = box.globus.submitted[key]
    assert sent == document
    deadline = datetime.fromisoformat(sent.pop("deadline"))
    assert deadline.utcoffset() is not None
    assert sent.pop("DATA") == [
        {
            "DATA_TYPE": "transfer_item",
            "source_path": f"/Data/Subjects/{piece.source}",
            "destination_path": f"/central/Subjects/{piece.staged}",
            "recursive": False,
            "external_checksum": piece.md5,
            "checksum_algorithm": "MD5",
        }
        for piece in pieces
    ]
    assert sent == {
        "DATA_TYPE": "transfer",
        "source_endpoint": box.lab_id,
        "destination_endpoint": box.store_id,
        "label": "alyx-transfer cortexlab_SR 2 files",
        "submission_id": key,
        "verify_checksum": True,
        "preserve_timestamp": True,
        "encrypt_data": True,
        "skip_source_errors": True,
        "fail_on_quota_errors": True,
        "delete_destination_extra": False,
        "notify_on_succeeded": False,
        "notify_on_failed": False,
        "notify_on_inactive": False,
    }


def test_one_document_makes_one_task_however_often_and_by_whomever_it_is_submitted(box: Place) -> None:
    with box.transport() as first, box.transport() as second:
        key = first.reserve()
        document = frozen(first, key, [box.piece(key, "a.npy")])
        tasks = {
            first.submit(document),
            first.submit(document),
            second.submit(json.loads(json.dumps(document))),
        }

    assert len(tasks) == len(box.globus.tasks()) == 1
    assert box.globus.submits(key) == 3


def test_a_submit_whose_answer_was_lost_is_the_same_task_when_said_again(
    box: Place, mover: GlobusTransport
) -> None:
    """The worker dies, or the line does, between the service's work and its answer."""
    key = mover.reserve()
    document = frozen(mover, key, [box.piece(key, "a.npy")])
    box.globus.faults.request("POST", "/transfer$", times=3, drop=True, after_work=True)

    with pytest.raises(MoverUnavailable):
        mover.submit(document)
    task = mover.submit(document)

    assert [known["task_id"] for known in box.globus.tasks()] == [task]


def test_a_short_failure_is_repeated_without_anybody_noticing(box: Place, mover: GlobusTransport) -> None:
    key = mover.reserve()
    document = frozen(mover, key, [box.piece(key, "a.npy")])
    box.globus.faults.request("POST", "/transfer$", status=504, after_work=True)

    mover.submit(document)

    assert len(box.globus.tasks()) == 1


def test_a_file_that_vanished_is_named_and_the_others_arrive(box: Place, mover: GlobusTransport) -> None:
    key = mover.reserve()
    there, gone = box.piece(key, "a.npy"), box.piece(key, "b.npy")
    (box.lab / "b.npy").unlink()
    document = frozen(mover, key, [there, gone])

    task = mover.submit(document)
    box.globus.wait(task)
    report = mover.poll(task, document)

    assert report.standing is Standing.SUCCEEDED
    assert report.arrived == {there.staged}
    assert isinstance(report.failed[gone.staged], SourceVanished)
    assert "/Data/Subjects/b.npy" in report.failed[gone.staged].sentence


def test_a_file_that_may_not_be_read_is_named_with_its_own_remedy(box: Place, mover: GlobusTransport) -> None:
    key = mover.reserve()
    piece = box.piece(key, "a.npy")
    box.globus.collection(box.lab_id).denied.add("/Data/Subjects/a.npy")
    document = frozen(mover, key, [piece])

    task = mover.submit(document)
    box.globus.wait(task)

    error = mover.poll(task, document).failed[piece.staged]
    assert isinstance(error, SourceUnreadable)
    assert "account that Globus uses" in error.do


def test_a_changed_file_fails_the_task_and_what_came_before_it_has_arrived(
    box: Place, mover: GlobusTransport
) -> None:
    key = mover.reserve()
    good, changed, later = (box.piece(key, name) for name in ("a.npy", "b.npy", "c.npy"))
    (box.lab / "b.npy").write_bytes(b"other!")
    document = frozen(mover, key, [good, changed, later])

    task = mover.submit(document)
    box.globus.wait(task)
    report = mover.poll(task, document)

    assert report.standing is Standing.FAILED
    assert report.arrived == {good.staged}
    assert isinstance(report.error, ArrivedDamaged)
    assert isinstance(report.failed[changed.staged], ArrivedDamaged)
    assert later.staged not in report.failed


def test_damage_on_the_way_is_mended_by_the_mover_and_is_no_failure(
    box: Place, mover: GlobusTransport
) -> None:
    key = mover.reserve()
    piece = box.piece(key, "a.npy", b"x" * 1000)
    box.globus.faults.flip("*/a.npy", times=2)
    document = frozen(mover, key, [piece])

    task = mover.submit(document)
    box.globus.wait(task)
    report = mover.poll(task, document)

    assert report.standing is Standing.SUCCEEDED
    assert report.arrived == {piece.staged}
    assert report.note == "2 faults"


def test_faults_are_told_while_the_task_goes_on_and_at_its_deadline_the_file_is_named(
    box: Place, mover: GlobusTransport
) -> None:
    key = mover.reserve()
    good, bad = box.piece(key, "a.npy"), box.piece(key, "b.npy")
    box.globus.faults.moving("*/b.npy", "ENDPOINT_ERROR", times=None)
    document = frozen(mover, key, [good, bad])
    task = mover.submit(document)
    box.globus.wait_for_faults(task, 2)

    report = mover.poll(task, document)
    assert report.standing is Standing.ACTIVE
    assert "last: ENDPOINT_ERROR /Data/Subjects/b.npy" in report.note

    box.globus.advance(25 * 3600)
    box.globus.wait(task)
    report = mover.poll(task, document)
    assert report.standing is Standing.FAILED
    assert report.arrived == {good.staged}
    assert isinstance(report.error, MoverOutOfTime)
    assert isinstance(report.failed[bad.staged], MoverRefused)


def test_a_full_quota_ends_the_task_and_concerns_the_whole_store(box: Place, mover: GlobusTransport) -> None:
    key = mover.reserve()
    box.globus.collection(box.store_id).quota = 3
    document = frozen(mover, key, [box.piece(key, "a.npy")])

    task = mover.submit(document)
    box.globus.wait(task)
    report = mover.poll(task, document)

    assert report.standing is Standing.FAILED
    assert isinstance(report.error, QuotaExceeded)
    assert report.failed == {}


def test_a_canceled_task_keeps_what_arrived(box: Place, mover: GlobusTransport) -> None:
    key = mover.reserve()
    first, second = box.piece(key, "a.npy"), box.piece(key, "b.npy")
    document = frozen(mover, key, [first, second])
    box.globus.hold(after_files=1)
    task = mover.submit(document)
    box.globus.wait_until(lambda: box.stored(first.staged).exists() and _moved(box, task) == 1)

    mover.cancel(task)
    box.globus.release()
    box.globus.wait(task)
    report = mover.poll(task, document)

    assert report.standing is Standing.FAILED
    assert report.arrived == {first.staged}
    assert isinstance(report.error, MoverRefused)
    assert report.failed == {}


def _moved(box: Place, task: str) -> int:
    return int(box.globus.task(task)["files_transferred"])


def test_to_cancel_what_has_ended_or_is_not_known_is_no_failure(box: Place, mover: GlobusTransport) -> None:
    key = mover.reserve()
    task = mover.submit(frozen(mover, key, [box.piece(key, "a.npy")]))
    box.globus.wait(task)

    mover.cancel(task)
    box.globus.lose_task(task)
    mover.cancel(task)


def test_a_task_that_globus_forgot_is_gone_and_says_nothing_about_its_files(
    box: Place, mover: GlobusTransport
) -> None:
    key = mover.reserve()
    document = frozen(mover, key, [box.piece(key, "a.npy")])
    task = mover.submit(document)
    box.globus.wait(task)
    box.globus.lose_task(task)

    report = mover.poll(task, document)

    assert report.standing is Standing.GONE
    assert (report.arrived, report.failed, report.error) == (frozenset(), {}, None)


def test_a_404_that_is_not_about_the_task_raises(box: Place, mover: GlobusTransport) -> None:
    """A proxy's page, or a wrong address: the question was not answered."""
    key = mover.reserve()
    document = frozen(mover, key, [box.piece(key, "a.npy")])
    task = mover.submit(document)
    box.globus.faults.request("GET", f"/task/{task}$", status=404, code="NoRoute")

    with pytest.raises(MoverRefused):
        mover.poll(task, document)


def test_looking_changes_nothing_and_says_the_same_for_ever(box: Place, mover: GlobusTransport) -> None:
    key = mover.reserve()
    document = frozen(mover, key, [box.piece(key, "a.npy")])
    task = mover.submit(document)
    box.globus.wait(task)
    before = box.globus.task(task)

    assert mover.poll(task, document) == mover.poll(task, document)
    assert box.globus.task(task) == before


def test_a_paused_task_is_under_way_and_the_reason_is_told(box: Place, mover: GlobusTransport) -> None:
    key = mover.reserve()
    document = frozen(mover, key, [box.piece(key, "a.npy")])
    box.globus.hold()
    task = mover.submit(document)
    box.globus.pause(box.store_id, "disks are being replaced")

    report = mover.poll(task, document)

    assert report.standing is Standing.ACTIVE
    assert "paused: disks are being replaced" in report.note


def test_a_suspended_task_says_that_somebody_must_log_in(box: Place, mover: GlobusTransport) -> None:
    key = mover.reserve()
    document = frozen(mover, key, [box.piece(key, "a.npy")])
    box.globus.hold()
    task = mover.submit(document)
    box.globus.suspend(task)

    report = mover.poll(task, document)

    assert report.standing is Standing.ACTIVE
    assert "log in to Globus again" in report.note


def test_nothing_is_submitted_for_a_lab_that_is_off(box: Place, mover: GlobusTransport) -> None:
    key = mover.reserve()
    document = frozen(mover, key, [box.piece(key, "a.npy")])
    box.globus.disconnect(box.lab_id)

    with pytest.raises(MoverOffline, match="cortexlab_SR"):
        mover.submit(document)

    assert box.globus.tasks() == []
    box.globus.connect(box.lab_id)
    mover.submit(document)


def test_a_lab_that_goes_off_meanwhile_is_a_note_and_at_the_deadline_the_reason(
    box: Place, mover: GlobusTransport
) -> None:
    key = mover.reserve()
    first, *_, last = pieces = [box.piece(key, name) for name in ("a.npy", "b.npy", "c.npy")]
    document = frozen(mover, key, pieces)
    box.globus.hold(after_files=1)
    task = mover.submit(document)
    box.globus.wait_until(lambda: _moved(box, task) == 1)
    box.globus.disconnect(box.lab_id)
    box.globus.release()
    box.globus.wait_for_faults(task)

    report = mover.poll(task, document)
    assert report.standing is Standing.ACTIVE
    assert "last: GC_NOT_CONNECTED" in report.note

    box.globus.advance(25 * 3600)
    box.globus.wait(task)
    report = mover.poll(task, document)
    assert report.standing is Standing.FAILED
    assert isinstance(report.error, MoverOffline)
    assert first.staged in report.arrived
    assert last.staged not in report.arrived | report.failed.keys()


def test_many_files_are_read_page_by_page(box: Place, mover: GlobusTransport) -> None:
    box.globus.limits.page = 7
    key = mover.reserve()
    pieces = [box.piece(key, f"s/{n:03}.npy", bytes([n])) for n in range(40)]
    for piece in pieces[30:]:
        (box.lab / piece.source).unlink()
    document = frozen(mover, key, pieces)

    task = mover.submit(document)
    box.globus.wait(task)
    report = mover.poll(task, document)

    assert report.arrived == {piece.staged for piece in pieces[:30]}
    assert report.failed.keys() == {piece.staged for piece in pieces[30:]}


def test_what_another_submission_staged_is_asked_for_by_checksum_and_counts_as_arrived(
    box: Place, mover: GlobusTransport
) -> None:
    first, second = mover.reserve(), mover.reserve()
    piece = box.piece(first, "a.npy")
    box.globus.wait(mover.submit(frozen(mover, first, [piece])))

    document = frozen(mover, second, [piece])
    task = mover.submit(document)
    box.globus.wait(task)

    assert document["sync_level"] == 3
    assert box.globus.task(task)["files_skipped"] == 1
    assert mover.poll(task, document).arrived == {piece.staged}


def test_at_most_as_much_is_asked_as_the_config_allows(box: Place) -> None:
    allowed = box.transport(pending=7, poll_seconds=5, task_hours=48).allowance

    assert (allowed.pending, allowed.patience, allowed.hours) == (7, 5, 48)


def test_a_pause_of_personal_software_is_told_before_submitting(
    box: Place, mover: GlobusTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    from globus_sdk import TransferClient

    key = mover.reserve()
    document = frozen(mover, key, [box.piece(key, "a.npy")])
    monkeypatch.setattr(
        TransferClient, "get_endpoint", lambda *_: {"gcp_connected": True, "gcp_paused": True}
    )

    with pytest.raises(MoverPaused, match="lab's machine"):
        mover.submit(document)


def test_clean_removes_staging_folders_and_nothing_else(box: Place, mover: GlobusTransport) -> None:
    mine, other = mover.reserve(), mover.reserve()
    for key in (mine, other):
        box.stored(STAGING / key).mkdir(parents=True)
        box.stored(STAGING / key / "left").write_bytes(b"half")
    box.stored(STAGING).parent.joinpath("KS055").mkdir()

    mover.clean([mine])
    box.globus.settle()
    mover.clean([mine])
    box.globus.settle()

    assert list(mover.staged()) == [other]
    assert box.stored(STAGING / other / "left").exists()
    assert [task["status"] for task in box.globus.tasks()] == ["SUCCEEDED", "SUCCEEDED"]
    mover.clean([])
    assert len(box.globus.tasks()) == 2
