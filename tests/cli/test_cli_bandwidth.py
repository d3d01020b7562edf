"""`bandwidth` shows what may leave each lab machine and changes it at once; `status` and `doctor` say it too."""

import os
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import typer

from cli.bandwidth import moment
from tests.cli.installed import Installed
from tests.cli.running import Running, environment
from tests.ledger.build import LAB

TIMETABLE = """
[labs.{lab}.guest]
timezone = "Europe/London"
bandwidth = ["daily 00:00-12:00 20 MB/s", "otherwise 50 MB/s"]
recording = "recording.flag"
"""


def told(installed: Installed, text: str) -> None:
    with (installed.folder / "config.toml").open("a") as config:
        config.write(text.format(lab=LAB.name))


def only(installed: Installed, *words: str) -> Any:
    (row,) = installed.json("bandwidth", *words)
    return row


def test_without_any_limit_it_says_so_and_status_says_nothing(installed: Installed) -> None:
    code, out, _ = installed.run("bandwidth")

    assert code == 0
    assert [line.split() for line in out.splitlines()][1][:2] == [LAB.name, "unlimited"]
    assert installed.run("status")[1] == "No sessions.\n"


def test_the_timetable_is_shown_with_its_next_change(installed: Installed) -> None:
    told(installed, TIMETABLE)

    row = only(installed)

    assert {row["bytes_per_second"], row["then_bytes_per_second"]} == {20_000_000, 50_000_000}
    assert row["origin"] == "timetable"
    change = datetime.fromisoformat(row["changes_at"])
    assert timedelta(0) < change - datetime.now(UTC) <= timedelta(hours=13)
    status = installed.run("status")[1]
    assert f"Bandwidth of {LAB.name}: {row['limit']} (the timetable of the config); {row['next']}." in status


def test_a_person_has_another_week_hold_and_takes_it_back(installed: Installed) -> None:
    told(installed, TIMETABLE)
    week = "sat,sun 50MB/s; otherwise 50MB/s"

    code, out, err = installed.run("bandwidth", LAB.name, "--timetable", week, "--why", "term begins")
    assert (code, err) == (0, "")
    assert "the timetable that anne set: term begins" in out
    assert only(installed)["bytes_per_second"] == 50_000_000

    assert installed.run("bandwidth", LAB.name, "--config-timetable")[0] == 0
    assert "the timetable of the config" in installed.run("bandwidth")[1]


@pytest.mark.parametrize(
    "words",
    [
        ("--timetable", "20MB/s"),
        (LAB.name, "5MB/s", "--timetable", "20MB/s"),
        (LAB.name, "--timetable", " ; "),
        (LAB.name, "--timetable", "mon 08:00-19:00 20MB/s"),
        (LAB.name, "--timetable", "20MB/s", "--config-timetable"),
        (LAB.name, "--config-timetable", "--clear"),
    ],
)
def test_a_week_that_means_nothing_is_refused(installed: Installed, words: tuple[str, ...]) -> None:
    assert installed.run("bandwidth", *words)[0] == 2


def test_a_person_sets_a_limit_for_a_while_and_clears_it(installed: Installed) -> None:
    told(installed, TIMETABLE)

    code, out, err = installed.run("bandwidth", LAB.name, "5MB/s", "--for", "2h", "--why", "a visitor's talk")
    assert (code, err) == (0, "")
    assert "5 MB/s" in out
    assert "set by anne: a visitor's talk" in out
    assert "within a few seconds" in out

    row = only(installed, LAB.repository)
    assert (row["bytes_per_second"], row["origin"]) == (5_000_000, "person")
    ends = datetime.fromisoformat(row["changes_at"])
    assert timedelta(minutes=119) < ends - datetime.now(UTC) <= timedelta(hours=2)
    assert "set by anne" in installed.run("status")[1]

    code, out, _ = installed.run("bandwidth", LAB.name, "--clear", "--why", "it is over")
    assert code == 0
    assert only(installed)["origin"] == "timetable"
    events = [(event["what"], event["actor"], event["why"]) for event in map(dict, _events(installed))]
    assert events == [
        ("limited", "person:anne", "a visitor's talk"),
        ("limit cleared", "person:anne", "it is over"),
    ]


def _events(installed: Installed) -> list[Any]:
    from sqlalchemy import text

    with installed.place.ledger.reading() as connection:
        return [
            row._mapping
            for row in connection.execute(
                text("SELECT what, actor, why FROM events WHERE subject = 'endpoint'")
            )
        ]


def test_a_limit_may_end_at_a_time_of_the_lab(installed: Installed) -> None:
    told(installed, TIMETABLE)
    day = (datetime.now(UTC) + timedelta(days=3)).date()

    installed.run("bandwidth", LAB.name, "unlimited", "--until", f"{day}T12:00")

    row = only(installed)
    assert (row["bytes_per_second"], row["limit"]) == (None, "unlimited")
    assert datetime.fromisoformat(row["changes_at"]).date() == day


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["5MB/s"], "no such lab"),
        (["{lab}", "5Mb/s"], "Mbit/s"),
        (["{lab}", "fast"], '"fast" is no bandwidth'),
        (["{lab}", "1kB/s"], "at least 100 kB/s"),
        (["{lab}", "5MB/s", "--for", "2 weeks"], "no length of time"),
        (["{lab}", "5MB/s", "--until", "noon"], "no time"),
        (["{lab}", "5MB/s", "--until", "25:00"], "no time"),
        (["{lab}", "5MB/s", "--until", "2020-01-01T12:00"], "is over"),
        (["{lab}", "5MB/s", "--for", "2h", "--until", "18:00"], "keep one"),
        (["{lab}", "5MB/s", "--clear"], "--clear"),
        (["--clear"], "--clear"),
        (["{lab}", "--for", "2h"], "need a LAB and a limit"),
        (["{lab}", "--why", "because"], "--why"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error_and_changes_nothing(
    installed: Installed, words: list[str], said: str
) -> None:
    code, out, err = installed.run("bandwidth", *(word.format(lab=LAB.name) for word in words))

    assert (code, out) == (2, "")
    assert said in " ".join(err.replace("│", " ").split())
    assert _events(installed) == []


NOW = datetime(2026, 10, 24, 20, 30, tzinfo=UTC)  # 21:30 in London, the evening before the clocks go back


@pytest.mark.parametrize(
    ("words", "hours"),
    [
        ("22:00", 0.5),
        ("21:30", 25.0),
        ("06:00", 9.5),
        ("2026-10-25T06:00", 9.5),
        ("2026-10-25T06:00+02:00", 7.5),
    ],
)
def test_a_time_of_day_is_the_next_one_by_the_labs_clock(words: str, hours: float) -> None:
    assert moment(words, zone="Europe/London", now=NOW) == NOW + timedelta(hours=hours)


def test_a_moment_that_is_over_is_refused() -> None:
    with pytest.raises(typer.BadParameter, match="is over"):
        moment("2026-10-24T21:00", zone="Europe/London", now=NOW)


# ---- the recording flag


def test_a_recording_is_shown_by_bandwidth_status_and_doctor(installed: Installed) -> None:
    told(installed, TIMETABLE)
    flag = installed.root / "recording.flag"
    flag.touch()

    row = only(installed)
    assert (row["bytes_per_second"], row["origin"]) == (0, "recording")
    assert row["recording"]["flag"] == str(flag)
    assert f"nothing (the rig is recording: {flag}) until the flag is gone." in installed.run("status")[1]
    assert _doctor(installed)["outcome"] == "note"


def test_a_stale_flag_is_a_problem_for_the_doctor_and_named_by_status(installed: Installed) -> None:
    """A program that crashed left its flag: nothing moves, and whoever looks is told so."""
    told(installed, TIMETABLE)
    flag = installed.root / "recording.flag"
    flag.touch()
    os.utime(flag, (time.time() - 13 * 3600,) * 2)

    found = _doctor(installed)

    assert (found["outcome"], found["code"]) == ("problem", "E-1012")
    assert "If nothing records, remove it" in found["sentence"]
    assert "if nothing records, remove it" in installed.run("status")[1]
    assert "if nothing records, remove it" in only(installed)["remark"]


def _doctor(installed: Installed) -> Any:
    from contextlib import ExitStack

    from cli.bench import Bench, Note
    from cli.checks import lab_guest
    from config.settings import load
    from transfer.errors import TransferError

    settings = load(installed.folder / "config.toml", {})
    with ExitStack() as opened:
        try:
            said = lab_guest(Bench(settings, opened), LAB.name)
        except Note as note:
            return {"outcome": "note", "sentence": str(note), "code": None}
        except TransferError as error:
            return {"outcome": "problem", "sentence": error.sentence, "code": error.code}
    return {"outcome": "ok", "sentence": said, "code": None}


# ---- the config


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (
            'bandwidth = ["mon-fri 8-19 20 MB/s"]\ntimezone = "Europe/London"',
            '"8-19 20 MB/s" is no bandwidth',
        ),
        ('bandwidth = ["mon-fri 08:00-19:00 20 MB/s"]', "Set timezone"),
        ('timezone = "London"', 'there is no time zone "London"'),
        ('timezone = "../etc/passwd"', "there is no time zone"),
        ('while_recording = "some"', '"some" is no bandwidth'),
        ('recording = "**/recording.flag"', "every folder"),
        ('recording = "../recording.flag"', "below the lab's root"),
        ("nice = 20", "nice"),
        ('bandwith = "5 MB/s"', 'Did you mean "bandwidth"?'),
    ],
)
def test_a_wrong_key_is_one_clear_sentence(installed: Installed, keys: str, said: str) -> None:
    told(installed, f"\n[labs.{LAB.name}.guest]\n{keys}\n")

    code, _, err = installed.run("bandwidth")

    assert code == 3
    assert said in err
    assert f"labs.{LAB.name}.guest" in err


def test_the_environment_may_hold_a_whole_timetable(
    installed: Installed, monkeypatch: pytest.MonkeyPatch
) -> None:
    guest = f"ALYX_TRANSFER_LABS__{LAB.name.upper()}__GUEST__"
    monkeypatch.setenv(f"{guest}TIMEZONE", "Europe/London")
    monkeypatch.setenv(f"{guest}BANDWIDTH", "daily 00:00-12:00 20 MB/s; otherwise 50 MB/s")

    assert only(installed)["origin"] == "timetable"


# ---- niceness


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads another process's niceness")
def test_a_worker_steps_back_behind_the_rig_with_all_its_threads(lab: Running) -> None:
    """The acquisition program gets the processor first."""
    with lab.start("worker", "--embedded-beat", env=environment()) as worker:
        try:
            tasks = Path(f"/proc/{worker.pid}/task")
            ours = os.getpriority(os.PRIO_PROCESS, 0)
            want = max(ours, 10)
            until = time.monotonic() + 40
            while time.monotonic() < until:
                seen = {_niceness(task) for task in tasks.iterdir()}
                if seen == {want} and len(list(tasks.iterdir())) > 3:
                    break
                assert worker.poll() is None, worker.communicate()
                time.sleep(0.1)
            assert seen == {want}
        finally:
            worker.kill()


def _niceness(task: Path) -> int:
    return int((task / "stat").read_text().rpartition(")")[2].split()[16])
