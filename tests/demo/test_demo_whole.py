"""`alyx-transfer demo`, run as a person runs it."""

import json
import os
import signal
import stat
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.demo.conftest import COMMAND, alyx_transfer, environment

FIELDS = {
    *("sessions", "files", "bytes", "recorded", "held", "abandoned", "unregistrable"),
    *("moved", "seconds", "files_per_second", "root"),
}


def told(run: subprocess.CompletedProcess[str]) -> dict[str, object]:
    """The object on the last line of standard output."""
    found: dict[str, object] = json.loads(run.stdout.splitlines()[-1])
    return found


def demo(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return alyx_transfer("demo", "--root", str(root), "--sessions", "1", *arguments)


def test_every_registrable_file_is_recorded(first: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    """Whatever the user's own variables say: they belong to another installation."""
    root, run = first
    assert run.returncode == 0, run.stderr
    found = told(run)
    assert found.keys() == FIELDS
    assert found["files"] == found["recorded"] == found["moved"] == 25
    assert (found["held"], found["abandoned"], found["unregistrable"]) == (0, 0, 6)
    assert len([path for path in (root / "store").rglob("*") if path.is_file()]) == 25


def test_files_that_globus_carries_arrive_as_well(tmp_path: Path) -> None:
    """A sandbox Globus, asked through the real SDK, moves them from folder to folder."""
    run = demo(tmp_path / "box", "--transport", "globus", "--json")
    assert run.returncode == 0, run.stderr
    assert told(run)["recorded"] == told(run)["moved"] == 25
    lines = [line for line in run.stderr.splitlines() if "files recorded, " not in line]
    assert [line.split()[0] for line in lines] == ["writing", "1", "comparing"]


def test_it_says_nothing_but_its_own_lines(first: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    """No warning, no stack trace, no log of a library."""
    lines = [line for line in first[1].stderr.splitlines() if "files recorded, " not in line]
    assert [line.split()[0] for line in lines] == ["writing", "1", "comparing"]
    assert len(first[1].stdout.splitlines()) == 1


def test_a_second_run_moves_nothing_and_says_so(finished: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (finished / "store").rglob("*")}
    run = demo(finished)
    assert run.returncode == 0, run.stderr
    assert "nothing moved: all 25 files had arrived" in run.stdout
    assert {path: path.stat().st_mtime_ns for path in (finished / "store").rglob("*")} == before


def test_the_config_serves_the_other_commands(
    first: tuple[Path, subprocess.CompletedProcess[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from cli.main import main

    for variable in [name for name in os.environ if name.startswith("ALYX_TRANSFER_")]:
        monkeypatch.delenv(variable)
    assert main(["--config", str(first[0] / "config.toml"), "status"]) == 0


def test_the_password_is_in_a_file_for_its_owner_only(
    first: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    config = (first[0] / "config.toml").read_text()
    secret = Path(tomllib.loads(config)["alyx"]["password_file"])
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert secret.read_text() not in config


def test_a_stored_byte_that_differs_fails_the_demo(finished: Path) -> None:
    """The ledger and Alyx still say that all is well; the inspector reads the bytes."""
    victim = next((finished / "store").rglob("spikes.times.*.npy"))
    content = bytearray(victim.read_bytes())
    content[-1] ^= 1
    victim.write_bytes(content)
    run = demo(finished, "--transport", "local")
    assert run.returncode == 1
    assert f"the copy {victim.name} has other bytes" in run.stderr
    assert "FAILED: 24 of 25 files" in run.stdout


def test_what_was_changed_at_the_lab_is_put_right_first(finished: Path) -> None:
    file = next((finished / "lab").rglob("licks.times.npy"))
    file.write_bytes(file.read_bytes() + b"more")
    run = demo(finished, "--transport", "local", "--json")
    assert run.returncode == 0, run.stderr
    assert told(run)["recorded"] == 25


def test_killed_in_the_middle_and_run_again_it_finishes_right(tmp_path: Path) -> None:
    """No goodbye, no cleaning up: the next run goes on from the facts."""
    root = tmp_path / "root"
    started = [*COMMAND, "-v", "demo", "--root", str(root), "--sessions", "1"]
    with subprocess.Popen(started, env=environment(), stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert any("session_visited" in line for line in process.stderr)
        process.kill()
    run = demo(root, "--json")
    assert run.returncode == 0, run.stderr
    assert told(run)["recorded"] == 25


def test_interrupted_it_leaves_nothing(tmp_path: Path) -> None:
    """Ctrl-C in the middle of the work: 130, no trace of a stack, no folder."""
    started = [*COMMAND, "-v", "demo", "--sessions", "1"]
    with subprocess.Popen(
        started,
        env=environment() | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        assert any("round_walked" in line for line in process.stderr)
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
    assert process.returncode == 130
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    run = demo(tmp_path)
    assert run.returncode == 2
    assert "holds other things" in run.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_missing_packages_are_named_with_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from cli import packages
    from cli.main import main

    monkeypatch.setattr(packages, "find_spec", lambda name: None if name == "pyarrow" else object())
    assert main(["demo"]) == 2
    assert (
        "not installed (pyarrow). In the clone of alyx-transfer, run: scripts/venv demo"
        in capsys.readouterr().err
    )
