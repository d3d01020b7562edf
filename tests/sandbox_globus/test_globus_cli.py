"""The real `globus` command works with the sandbox: an independent reader of every shape.

It has an environment of its own, made by scripts/globus-cli-env.
"""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rig_and_store import Lab

ROOT = Path(__file__).parents[2]
MAKE = ROOT / "scripts" / "globus-cli-env"

Run = Callable[..., Any]


@pytest.fixture(scope="session")
def command() -> str:
    named = os.environ.get("ALYX_TRANSFER_GLOBUS_CLI")
    if named:
        return named
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    known = cache / "alyx-transfer" / "globus-cli-venv" / "bin" / "globus"
    if known.exists():
        return str(known)
    if os.environ.get("CI") != "true":
        pytest.skip("globus-cli has no environment here. Run: scripts/globus-cli-env")
    made = subprocess.run([str(MAKE)], capture_output=True, text=True, timeout=600, check=False)
    if made.returncode:
        pytest.fail(f"{MAKE.name} failed:\n{made.stderr[-2000:]}")
    return made.stdout.strip()


@pytest.fixture
def run(lab: Lab, command: str, tmp_path: Path) -> Run:
    """Run a `globus` command; its JSON, or with `fails` what it says of its failure."""
    home = tmp_path / "home"
    home.mkdir()
    environment = {**lab.globus.cli_environment, "HOME": str(home), "PATH": os.environ["PATH"]}

    def run(*words: str, fails: bool = False, text: bool = False) -> Any:
        form = [] if text or fails else ["--format", "json"]
        done = subprocess.run(
            [command, *words, *form],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert bool(done.returncode) is fails, done.stdout + done.stderr
        if fails:
            return done.stderr
        return done.stdout if text else json.loads(done.stdout)

    return run


def test_transfers_a_folder_and_follows_the_task(lab: Lab, run: Run):
    """transfer, task wait, show, event-list, the list of what arrived; it gives its consent by itself."""
    lab.globus.withdraw_consent(lab.store)
    lab.write("s/001/a.npy", b"12345")
    lab.write("s/001/deep/b.npy")
    started = run(
        "transfer", "--recursive", "--notify", "off", f"{lab.source}:/s/001", f"{lab.store}:/copy/001"
    )
    task = started["task_id"]
    run("task", "wait", "--timeout", "20", "--polling-interval", "1", task)
    shown = run("task", "show", task)
    assert (shown["status"], shown["files_transferred"], shown["verify_checksum"]) == ("SUCCEEDED", 2, True)
    events = run("task", "event-list", task)["DATA"]
    assert [event["code"] for event in events] == ["SUCCEEDED", "PROGRESS", "STARTED"]
    rows = run("task", "show", "--successful-transfers", task)["DATA"]
    assert {(row["destination_path"], row["size"]) for row in rows} == {
        ("/copy/001/a.npy", 5),
        ("/copy/001/deep/b.npy", 6),
    }
    assert (lab.there / "copy/001/a.npy").read_bytes() == b"12345"
    assert [row["task_id"] for row in run("task", "list", "--filter-status", "SUCCEEDED")["DATA"]] == [task]


def test_looks_makes_and_renames(lab: Lab, run: Run):
    """ls, also recursive and filtered; stat, mkdir, rename."""
    lab.write("s/a.npy", b"12345")
    assert [row["name"] for row in run("ls", f"{lab.source}:/s")["DATA"]] == ["a.npy"]
    assert run("ls", "--recursive", f"{lab.source}:/", text=True).split() == ["s/", "s/a.npy"]
    assert run("stat", f"{lab.source}:/s/a.npy")["size"] == 5
    run("mkdir", f"{lab.store}:/new")
    run("rename", lab.store, "/new", "/newer")
    assert [path.name for path in lab.there.iterdir()] == ["newer"]
    said = run("mkdir", f"{lab.store}:/newer", fails=True)
    assert "ExternalError.MkdirFailed.Exists" in said
    assert "ClientError.NotFound" in run("ls", f"{lab.store}:/none", fails=True)


def test_finds_and_shows_collections(lab: Lab, run: Run):
    (found,) = run("endpoint", "search", "rig")["DATA"]
    assert found["id"] == lab.source
    shown = run("endpoint", "show", lab.source, text=True)
    assert "Display Name:" in shown
    assert "GCP Connected:" in shown


def test_cancels_a_task_and_shows_its_errors(lab: Lab, run: Run):
    task = lab.submit(("/none.npy", "/none.npy"))
    lab.globus.wait_for_faults(task)
    errors = run("task", "event-list", "--filter-errors", task)["DATA"]
    assert errors[0]["code"] == "FILE_NOT_FOUND"
    assert "FILE_NOT_FOUND" in run("task", "show", task, text=True)
    assert run("task", "cancel", task)["code"] == "Canceled"
    assert run("task", "show", task)["status"] == "FAILED"


def test_deletes_a_folder(lab: Lab, run: Run):
    (lab.there / "old").mkdir()
    task = run("delete", "--recursive", "--notify", "off", f"{lab.store}:/old")["task_id"]
    lab.globus.wait(task)
    assert not (lab.there / "old").exists()
