"""From the documents of a task to its report: what arrived, what failed and why."""

from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer import errors
from transfer.errors import Reach, TransferError
from transfer.model import staged_path
from transfer.transports.delegated import Piece, Report, Standing
from transfer.transports.globus import document, reports
from transfer.transports.globus.events import error_of
from transfer.transports.globus.options import GlobusOptions

P = PurePosixPath
KEY = "0c9a5a0e-6a3f-4e0a-9d0b-0d9b1f2c7a11"
OPTIONS = GlobusOptions.model_validate(
    {
        "client_id": UUID(int=1),
        "client_secret": "s",
        "collection": UUID(int=2),
        "root": "/central",
        "sources": {"lab": {"collection": UUID(int=3), "root": "/Data"}},
    }
)
MD5 = "9e107d9d372bb6826bd81d3542a419d6"
CODES = [
    "ABEND",
    "ACL_CHANGED",
    "AMBIGUOUS_PATH",
    "AUTH",
    "CANCELED",
    "CLOCK",
    "CONNECT_FAILED",
    "CONNECTION_BROKEN",
    "CONNECTION_RESET",
    "ENDPOINT_ERROR",
    "ENDPOINT_TOO_BUSY",
    "EXPIRED",
    "EXTERNAL_CHECKSUM_MISMATCH",
    "FILE_ACCESS",
    "FILE_NOT_FOUND",
    "FILE_SIZE_CHANGED",
    "GC_NOT_CONNECTED",
    "GC_PAUSED",
    "GSI_DN_MISMATCH",
    "INTERNAL_ERROR",
    "INVALID_PATH_NAME",
    "INVALID_SERVICE_CREDENTIAL",
    "INVALID_SYMLINK",
    "IS_A_DIRECTORY",
    "IS_A_FILE",
    "LIMIT_EXCEEDED",
    "MPU_NOT_FOUND",
    "NO_APPEND_FILESYSTEM",
    "NO_CREDENTIALS",
    "NO_PHYSICALS",
    "NO_SPACE_LEFT",
    "NOT_A_DIRECTORY",
    "NOT_A_FILE",
    "NOT_A_SYMLINK",
    "PAUSED",
    "PERMISSION_DENIED",
    "PROGRESS",
    "QUOTA_EXCEEDED",
    "STARTED",
    "SUCCEEDED",
    "TIMEOUT",
    "UNKNOWN",
    "UNPAUSED",
    "VERIFY_CHECKSUM",
]
"""Every code the developers of the service named."""


def pieces(count: int) -> list[Piece]:
    return [
        Piece(source=P(f"{n}.npy"), staged=staged_path(KEY, UUID(int=100 + n)), size=1, md5=MD5)
        for n in range(count)
    ]


def submitted(count: int, **more: Any) -> dict[str, Any]:
    import datetime

    at = datetime.datetime(2026, 3, 4, tzinfo=datetime.UTC)
    return {**document.transfer(OPTIONS, KEY, "lab", pieces(count), deadline=at), **more}


def task(status: str, fatal: str | None = None, **more: Any) -> dict[str, Any]:
    error = {"code": fatal, "description": f"{fatal} happened"} if fatal else None
    return {
        "task_id": "t1",
        "status": status,
        "fatal_error": error,
        "bytes_transferred": 5,
        "faults": 0,
        **more,
    }


def success(n: int, **more: Any) -> dict[str, Any]:
    return {
        "source_path": f"/Data/{n}.npy",
        "destination_path": f"/central/{pieces(n + 1)[n].staged}",
        **more,
    }


def event(code: str, path: str | None = None) -> dict[str, Any]:
    details = (
        f"Error (transfer)\nEndpoint: lab (1)\nServer: 127.0.0.1:443\nFile: {path}\nCommand: RETR\n---\n"
    )
    return {"code": code, "details": details if path else "no file", "description": "words", "is_error": True}


def skip(n: int, code: str) -> dict[str, Any]:
    return {**success(n), "error_code": code, "error_details": "550 No such file"}


def ended(
    what: dict[str, Any], asked: dict[str, Any], good: Any = (), skipped: Any = (), trouble: Any = ()
) -> Report:
    return reports.ended(what, asked, successful=good, skipped=skipped, errors=trouble)


def test_what_the_list_names_has_arrived_and_nothing_else() -> None:
    report = ended(task("SUCCEEDED"), submitted(3), [success(0), success(2)])

    assert report.standing is Standing.SUCCEEDED
    assert report.arrived == {pieces(3)[0].staged, pieces(3)[2].staged}
    assert report.bytes_moved == 5
    assert report.error is None


def test_a_row_whose_md5_is_not_the_registered_one_has_not_arrived() -> None:
    wrong = success(0, checksum="0" * 32, checksum_algorithm="md5")
    right = success(1, checksum=MD5.upper(), checksum_algorithm="MD5")

    report = ended(task("SUCCEEDED"), submitted(2), [wrong, right])

    assert report.arrived == {pieces(2)[1].staged}
    assert isinstance(report.failed[pieces(2)[0].staged], errors.ArrivedDamaged)


def test_a_checksum_of_another_kind_says_nothing() -> None:
    report = ended(
        task("SUCCEEDED"), submitted(1), [success(0, checksum="0" * 64, checksum_algorithm="SHA256")]
    )

    assert report.arrived == {pieces(1)[0].staged}


def test_what_was_left_out_counts_as_arrived_only_where_checksums_were_compared_first() -> None:
    with_checksums = ended(task("SUCCEEDED"), submitted(2, sync_level=3), [success(0)], [])
    without = ended(task("SUCCEEDED"), submitted(2), [success(0)], [])
    by_size = ended(task("SUCCEEDED"), submitted(2, sync_level=1), [success(0)], [])
    failed = ended(task("FAILED", "EXPIRED"), submitted(2, sync_level=3), [success(0)], [])

    assert len(with_checksums.arrived) == 2
    assert len(without.arrived) == len(by_size.arrived) == len(failed.arrived) == 1


def test_a_file_that_was_skipped_is_named_and_not_arrived() -> None:
    report = ended(task("SUCCEEDED"), submitted(2, sync_level=3), [success(0)], [skip(1, "FILE_NOT_FOUND")])

    assert report.arrived == {pieces(2)[0].staged}
    assert isinstance(report.failed[pieces(2)[1].staged], errors.SourceVanished)


def test_a_stranger_in_the_lists_is_passed_over() -> None:
    row = {"source_path": "/x", "destination_path": "/central/KS055/x.npy"}
    report = ended(task("SUCCEEDED"), submitted(1), [row], [{**row, "error_code": "FILE_NOT_FOUND"}])

    assert (report.arrived, report.failed) == (frozenset(), {})


def test_the_file_a_failed_task_stumbled_over_is_named_by_its_latest_event() -> None:
    trouble = [event("FILE_SIZE_CHANGED", "/Data/1.npy"), event("ENDPOINT_ERROR", "/Data/1.npy")]

    report = ended(task("FAILED", "EXPIRED"), submitted(3), [success(0)], trouble=trouble)

    assert {path: type(error) for path, error in report.failed.items()} == {
        pieces(3)[1].staged: errors.SourceChanged
    }
    assert isinstance(report.error, errors.MoverOutOfTime)
    assert "FILE_SIZE_CHANGED /Data/1.npy" in report.error.sentence


def test_an_event_at_the_store_names_the_file_too_and_blames_the_store() -> None:
    staged = pieces(1)[0].staged
    trouble = [event("PERMISSION_DENIED", f"/central/{staged}")]

    report = ended(task("FAILED", "EXPIRED"), submitted(1), trouble=trouble)

    assert isinstance(report.failed[staged], errors.StoreDenied)


def test_trouble_of_a_whole_collection_is_no_files_fault() -> None:
    trouble = [event("CONNECT_FAILED", "/Data/0.npy")]

    report = ended(task("FAILED", "EXPIRED"), submitted(1), trouble=trouble)

    assert report.failed == {}
    assert report.error is not None
    assert report.error.reach is Reach.ENDPOINT


def test_a_file_that_arrived_in_the_end_is_not_blamed_for_its_faults() -> None:
    report = ended(
        task("FAILED", "CANCELED"),
        submitted(2),
        [success(0)],
        trouble=[event("ENDPOINT_ERROR", "/Data/0.npy")],
    )

    assert report.failed == {}
    assert isinstance(report.error, errors.MoverRefused)


def test_an_administrators_words_are_passed_on() -> None:
    what = task("FAILED", "CANCELED", canceled_by_admin="SOURCE", canceled_by_admin_message="disk is\ndying")

    error = ended(what, submitted(1)).error

    assert error is not None
    assert "disk is dying" in error.sentence


def test_a_task_whose_history_was_deleted_is_gone() -> None:
    assert reports.standing_of(task("SUCCEEDED", history_deleted=True)) is Standing.GONE
    assert reports.standing_of(task("FAILED", history_deleted=True)) is Standing.GONE
    assert reports.standing_of(task("ACTIVE", history_deleted=True)) is Standing.ACTIVE


@pytest.mark.parametrize(
    ("what", "note"),
    [
        (task("ACTIVE", nice_status="OK"), ""),
        (task("ACTIVE", nice_status="Queued"), "queued"),
        (task("ACTIVE", nice_status=None), ""),
        (
            task("ACTIVE", nice_status="VERIFY_CHECKSUM", nice_status_short_description="verify checksum"),
            "VERIFY_CHECKSUM",
        ),
        (
            task("ACTIVE", nice_status="GC_NOT_CONNECTED", nice_status_short_description="lab is off"),
            "GC_NOT_CONNECTED (lab is off)",
        ),
        (task("ACTIVE", faults=1), "1 fault"),
    ],
    ids=["well", "queued", "silent", "verifying", "off", "fault"],
)
def test_a_task_under_way_has_a_note_for_people(what: dict[str, Any], note: str) -> None:
    assert reports.under_way(what).note == note


def test_every_reason_of_a_pause_is_told_once() -> None:
    pauses = {
        "pause_rules": [{"message": "disks are being\nreplaced."}, {"message": None}],
        "source_pause_message": "disks are being replaced.",
        "destination_pause_message": "ask Anne",
    }

    note = reports.under_way(task("ACTIVE", nice_status="PAUSED"), pauses=pauses).note

    assert note == "PAUSED; paused: disks are being replaced; paused: ask Anne"


def test_faults_are_told_with_the_last_one() -> None:
    report = reports.under_way(task("ACTIVE", faults=3), errors=[event("TIMEOUT", "/Data/0.npy")])

    assert report == Report(
        standing=Standing.ACTIVE, note="3 faults, last: TIMEOUT /Data/0.npy", bytes_moved=5
    )


@given(
    good=st.sets(st.integers(0, 5)),
    skipped=st.sets(st.integers(0, 5)),
    trouble=st.lists(st.tuples(st.sampled_from(CODES), st.integers(0, 7))),
    status=st.sampled_from(["SUCCEEDED", "FAILED"]),
    fatal=st.sampled_from(CODES),
    level=st.sampled_from([None, 3]),
)
def test_no_file_is_ever_both_arrived_and_failed_and_no_skipped_one_arrives(
    good: set[int],
    skipped: set[int],
    trouble: list[tuple[str, int]],
    status: str,
    fatal: str,
    level: int | None,
) -> None:
    more = {} if level is None else {"sync_level": level}
    report = ended(
        task(status, fatal if status == "FAILED" else None),
        submitted(6, **more),
        [success(n) for n in good],
        [skip(n, "FILE_NOT_FOUND") for n in skipped],
        [event(code, f"/Data/{n}.npy") for code, n in trouble],
    )

    paths = [piece.staged for piece in pieces(6)]
    assert not report.arrived & report.failed.keys()
    assert {paths[n] for n in good} <= report.arrived
    assert not {paths[n] for n in skipped - good} & report.arrived
    assert report.arrived | report.failed.keys() <= set(paths)
    assert (report.error is None) == (status == "SUCCEEDED")
    if level is None:
        assert report.arrived == {paths[n] for n in good}


@pytest.mark.parametrize("code", [*CODES, "SOMETHING_NEW"])
@pytest.mark.parametrize("at_source", [True, False], ids=["source", "store"])
def test_every_code_has_an_error_with_a_remedy(code: str, at_source: bool) -> None:
    error = error_of(code, to="/Data/0.npy", at_source=at_source, said="what the service says.")

    assert isinstance(error, TransferError)
    assert code in error.sentence
    assert error.do


def test_a_long_text_of_the_service_is_shortened_to_one_line() -> None:
    error = error_of("UNKNOWN", to="x", said="550 " * 400 + "\r\n")

    assert "\n" not in error.sentence
    assert len(error.sentence) < 500
