"""`status` shows where sessions and files stand, for people, for programs and for a monitor."""

import json
from datetime import timedelta

import pytest

from cli.status import span
from tests.cli.installed import Installed
from tests.ledger.build import NOTES, SPIKES, VIDEO, dataset_uuid, md5_of
from transfer.errors import StoreDenied
from transfer.status import Status

DENIED = StoreDenied("the store refused to write", to="alf")


def test_a_session_lists_its_files_as_json(installed: Installed) -> None:
    installed.place.at(Status.RECORDED, files=[SPIKES])
    installed.place.discovered(files=[SPIKES], unregistrable={NOTES: "no dataset type fits"})

    arrived, notes = installed.json("status", "SW_012/2026-03-04/001")

    assert arrived["relative_path"] == SPIKES
    assert arrived["dataset"] == str(dataset_uuid(f"SW_012/2026-03-04/001/{SPIKES}"))
    assert arrived["status"] == "recorded"
    assert (arrived["hold"], arrived["proof"], arrived["tries"]) == (None, "read back", 0)
    assert arrived["target"] == f"SW_012/2026-03-04/001/alf/spikes.times.{arrived['dataset']}.npy"
    assert (arrived["size"], arrived["md5"]) == (4096, md5_of(SPIKES))
    assert arrived["not_before"].endswith("+00:00")
    assert (notes["relative_path"], notes["status"]) == (NOTES, "unregistrable")


def test_a_session_is_shown_to_people_with_the_reason_of_a_hold(installed: Installed) -> None:
    session = installed.place.at(Status.SENT, files=[SPIKES, VIDEO])
    installed.place.hold(session, DENIED)

    _, everything, _ = installed.run("status", "SW_012/2026-03-04/001")
    _, only_held, _ = installed.run("status", "SW_012/2026-03-04/001", "--held")

    assert len(everything.splitlines()) == 3
    assert len(only_held.splitlines()) == 2
    assert f"held (store-denied): {DENIED.sentence}" in only_held


def test_without_a_session_all_sessions_are_counted(installed: Installed) -> None:
    installed.place.at(Status.RECORDED, "KS001", [SPIKES, VIDEO])
    installed.place.hold(installed.place.at(Status.SENT, "KS002", [SPIKES, VIDEO]), DENIED)

    rows = {row["session"][:5]: row for row in installed.json("status")}
    assert (rows["KS001"]["files"], rows["KS001"]["recorded"]) == (2, 2)
    assert (rows["KS002"]["waiting"], rows["KS002"]["held"]) == (1, 1)
    assert [row["session"][:5] for row in installed.json("status", "--held")] == ["KS002"]
    assert len(installed.json("status", "--limit", "1")) == 1


def test_a_session_nobody_knows_is_a_usage_error(installed: Installed) -> None:
    code, out, err = installed.run("status", "KS999/2026-01-01/001")

    assert (code, out) == (2, "")
    assert "the ledger knows no such session" in err


def test_an_empty_ledger_has_no_sessions(installed: Installed) -> None:
    assert installed.run("status") == (0, "No sessions.\n", "")
    assert installed.json("status") == []


# ---- the monitor


def test_the_check_is_one_line_and_zero_when_all_is_well(installed: Installed) -> None:
    assert installed.run("status", "--check") == (0, "OK: nothing waits\n", "")

    installed.place.at(Status.PLANNED)
    code, out, _ = installed.run("status", "--check")

    assert code == 0
    assert out.startswith("OK: 1 file waits, the oldest for ")
    assert out.count("\n") == 1


def test_the_check_is_one_when_something_is_held(installed: Installed) -> None:
    installed.place.hold(installed.place.at(Status.SENT), DENIED)

    code, out, _ = installed.run("status", "--check")

    assert code == 1
    assert out.startswith("PROBLEM: 1 file held")
    assert out.count("\n") == 1


def test_the_check_is_one_when_the_oldest_file_is_too_old(installed: Installed) -> None:
    today = installed.place.clock.now
    installed.place.clock.now = today - timedelta(hours=25)
    session = installed.place.at(Status.SENT)
    installed.place.postpone(session, DENIED, at=today + timedelta(days=9))

    code, out, _ = installed.run("status", "--check")
    assert (code, "the oldest unsent file is 1 d 1 h old, 1 d are allowed" in out) == (1, True)
    assert installed.run("status", "--check", "--max-age", "2d")[0] == 0
    found = json.loads(installed.run("status", "--check", "--json")[1])
    assert (found["fine"], found["too_old"]) == (False, True)


@pytest.mark.parametrize(
    ("words", "length"),
    [
        ("90s", timedelta(seconds=90)),
        ("10min", timedelta(minutes=10)),
        ("24h", timedelta(hours=24)),
        (" 7 d ", timedelta(days=7)),
    ],
)
def test_lengths_of_time_are_typed_as_people_do(words: str, length: timedelta) -> None:
    assert span(words) == length


@pytest.mark.parametrize("words", ["24", "h", "-1h", "1.5h", "24 hours", ""])
def test_a_length_that_is_none_is_a_usage_error(installed: Installed, words: str) -> None:
    code, _, err = installed.run("status", "--check", "--max-age", words)

    assert code == 2
    assert "Write for example" in err


def test_a_check_of_one_session_is_a_usage_error(installed: Installed) -> None:
    assert installed.run("status", "--check", "KS001")[0] == 2
