"""`alyx-transfer rehearse`, as a person runs it: green with everything on, red with anything off."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cli import packages
from cli import rehearse as command
from cli.main import main
from rehearsal.catalogue import DRILLS, GROUPS, PROFILES, QUICK, drills_of
from rehearsal.protections import PROTECTIONS

TREE = Path(__file__).parents[2]

SAYS: dict[str, str] = {
    "verification": "has other bytes",
    "hash-distrust": "has other bytes",
    "audit": "has other bytes",
    "host-key": "requests were made of a server whose key nobody had confirmed",
    "read-back": "has arrived, but Alyx has another hash or size",
    "look-first": "twice, and refuses every registration of it",
    "lease-guard": "over the head of the one that had taken over",
}
"""What the drill finds without the protection: the harm itself, and not only that something was late."""


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


@pytest.mark.timeout(300)
def test_the_quick_profile_passes_and_every_fault_struck(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the user's own variables say: they belong to another installation."""
    monkeypatch.setenv("ALYX_TRANSFER_ALYX__URL", "http://127.0.0.1:1")
    code = main(["rehearse", "--json"])
    sheet = told(capsys)
    assert [(one["drill"], one["wrong"]) for one in sheet["drills"] if not one["passed"]] == []
    assert [one["drill"] for one in sheet["drills"]] == [drill.name for drill in drills_of(QUICK)]
    assert all(one["struck"] > 0 for one in sheet["drills"])
    assert (code, sheet["passed"], sheet["exit_code"]) == (0, True, 0)


@pytest.mark.parametrize("protection", PROTECTIONS, ids=lambda one: one.name)
def test_without_a_protection_its_drill_fails_and_says_what_would_have_gone_wrong(
    protection: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["rehearse", "--unprotected", protection.name, "--json"])
    sheet = told(capsys)
    assert (code, sheet["passed"]) == (1, False)
    (drill,) = sheet["drills"]
    assert drill["drill"] == protection.drill
    assert any(SAYS[protection.name] in sentence for sentence in drill["wrong"]), drill["wrong"]
    assert not any("proves nothing" in sentence for sentence in drill["wrong"])
    assert sheet["harm"] == protection.harm


def test_people_read_a_line_for_each_drill(capsys: pytest.CaptureFixture[str]) -> None:
    """No log, no stack trace; what is staged is told before, on standard error."""
    assert main(["rehearse", "--unprotected", "audit"]) == 1
    said = capsys.readouterr()
    verdict, *wrong, closing = said.out.splitlines()
    assert verdict.startswith("FAILED  rot ")
    assert "struck 2 x" in verdict
    assert wrong
    assert all(line.startswith("        wrong: ") for line in wrong)
    assert closing.startswith('RED, as it must be: "audit" was switched off')
    assert said.err.splitlines() == [f"staging: {drill.staged}" for drill in DRILLS if drill.name == "rot"]


def test_a_drill_that_cannot_fail_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    audit = next(one for one in PROTECTIONS if one.name == "audit")
    assert "proves nothing" in command._sum([], audit)


# ---- what there is


def test_the_list_names_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rehearse", "--list"]) == 0
    said = capsys.readouterr().out
    for name in [*(one.name for one in DRILLS), *PROFILES, *(one.name for one in PROTECTIONS)]:
        assert name in said


def test_the_list_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rehearse", "--list", "--json"]) == 0
    found = told(capsys)
    assert [one["name"] for one in found["drills"]] == [one.name for one in DRILLS]
    assert {one["name"]: one["drills"] for one in found["profiles"]}["full"] == [one.name for one in DRILLS]
    assert all(one["harm"] for one in found["protections"])


def test_every_group_is_a_profile_and_the_quick_one_visits_each() -> None:
    assert set(PROFILES) == {QUICK, "full", *GROUPS}
    assert {drill.group for drill in drills_of(QUICK)} == set(GROUPS)


def test_names_are_used_once_and_every_protection_has_its_drill() -> None:
    names = [drill.name for drill in DRILLS]
    assert len(set(names)) == len(names)
    assert {one.drill for one in PROTECTIONS} <= set(names)
    assert {one.name for one in PROTECTIONS} == set(SAYS)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--profile", "hurricane"], "there is no such profile: hurricane. There are: quick, full, "),
        (["--unprotected", "seatbelt"], "there is no such protection: seatbelt. There are: verification, "),
        (
            ["--profile", "alyx", "--unprotected", "audit"],
            'the profile alyx has no drill that this protection is for: audit. Leave --profile out: the drill is "rot"',
        ),
    ],
)
def test_a_name_that_does_not_exist_is_told_with_those_that_do(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rehearse", *words]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert sentence in said.err


def test_missing_packages_are_named_with_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(packages, "find_spec", lambda name: None if name == "uvicorn" else object())
    assert main(["rehearse"]) == 2
    assert (
        "not installed (uvicorn). In the clone of alyx-transfer, run: scripts/venv demo"
        in capsys.readouterr().err
    )


# ---- leaving nothing


def test_interrupted_it_leaves_nothing(tmp_path: Path) -> None:
    """Ctrl-C in the middle of a drill: 130, no trace of a stack, no folder, no server."""
    started = [sys.executable, "-c", "from cli.main import run; run()", "-v", "rehearse"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ALYX_TRANSFER_")}
    with subprocess.Popen(
        started,
        cwd=TREE,
        env=environment | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stderr is not None
        assert any("round_walked" in line for line in process.stderr)
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []
