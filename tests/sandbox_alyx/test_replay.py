"""The sandbox answers as the real server was recorded to answer, and the replay notices when it does not."""

import copy
import json
from pathlib import Path

import pytest

from sandbox.alyx.replay import main, replay

RECORDING = Path(__file__).parents[1] / "data" / "alyx-exchanges.json"


@pytest.fixture(scope="module")
def recording():
    return json.loads(RECORDING.read_text("utf-8"))


def test_every_recorded_exchange_is_answered_as_recorded(recording):
    """With the known differences set aside, all of them; without, nearly all."""
    report = replay(recording)
    assert report.differing == {}
    assert report.exchanges == len(recording["exchanges"])


def test_nearly_all_agree_even_if_no_known_difference_is_granted(recording):
    report = replay(recording, strict=True)
    assert report.agree >= 0.97 * report.exchanges, report.differing


def test_a_recording_that_expects_something_else_fails(recording, tmp_path, capsys):
    """The replay can fail: another status, another value, another row, each is noticed."""
    # Given a recording with three expectations that are not true
    wrong = copy.deepcopy(recording)
    by_name = {exchange["name"]: exchange["response"] for exchange in wrong["exchanges"]}
    by_name["reg_new"]["status"] = 200
    by_name["file_patch_exists"]["json"]["exists"] = False
    by_name["files_dataset"]["json"]["results"][0]["data_repository"] = "elsewhere"
    file = tmp_path / "wrong.json"
    file.write_text(json.dumps(wrong), "utf-8")

    # When it is replayed from the command line
    code = main([str(file)])

    # Then it says so, counts them out and exits 1
    printed = capsys.readouterr().out
    total = len(wrong["exchanges"])
    assert code == 1
    assert printed.splitlines()[-1] == f"exchanges {total} agree {total - 3}"
    for name in ("reg_new:", "file_patch_exists:", "files_dataset:"):
        assert name in printed


def test_the_true_recording_passes_on_the_command_line(capsys):
    assert main([str(RECORDING)]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    total, agree = last.split()[1::2]
    assert total == agree


def test_groups_that_only_read_may_come_in_another_order(recording):
    """Nothing depends on the order in which lookups were recorded."""
    # Given the same recording with its lookups in reverse
    turned = dict(recording)
    reading = [
        e for e in recording["exchanges"] if e["group"] == "lookups" and e["request"]["method"] == "GET"
    ]
    rest = [e for e in recording["exchanges"] if e not in reading]
    turned["exchanges"] = [*reversed(reading), *rest]
    # When it is replayed, then everything still agrees
    assert replay(turned).differing == {}


def test_nothing_is_keyed_on_the_names_of_the_recording(recording):
    """The same recording about other subjects, labs and users is answered just as well."""
    # Given the recording with its people, animals, labs, days and ids renamed (in a way that keeps their order)
    text = json.dumps(recording)
    for old, new in (
        ("KS023", "KS923"),
        ("KS022", "KS922"),
        ("ZM_10", "ZN-77"),
        ("rig_user", "recorder"),
        ("transfer_bot", "uploader"),
        ("cortexlab", "cortexlib"),
        ("mainenlab", "mainenlib"),
        ("spikes.times", "spikes.tines"),
        ("2019-12-1", "2018-12-1"),
        ("2019-12-01,2019-12-31", "2018-12-01,2018-12-31"),
        ("abc0000", "def0000"),
        ("fcceb79a-e8f2", "fdceb79a-e8f2"),
    ):
        text = text.replace(old, new)
    # When it is replayed, then everything agrees
    assert replay(json.loads(text)).differing == {}
