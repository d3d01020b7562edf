"""One long-lived process that asks the real ONE-api, in an environment made by scripts/parity-env."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
MAKE = ROOT / "scripts" / "parity-env"


class One:
    """The real ONE-api.  Each method of `one_child.py` is called by name; None stands for its errors."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def ask(self, function: str, argument: object) -> Any:
        """One question, one answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([function, argument]) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the process with ONE-api has ended"
        return json.loads(line)


def _python() -> str:
    named = os.environ.get("ALYX_TRANSFER_ONE_PYTHON")
    if named:
        return named
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    known = cache / "alyx-transfer" / "one-venv" / "bin" / "python"
    if known.exists():
        return str(known)
    if os.environ.get("CI") != "true":
        pytest.skip("ONE-api has no environment here. Run: scripts/parity-env")
    made = subprocess.run([str(MAKE)], capture_output=True, text=True, timeout=600, check=False)
    if made.returncode:
        pytest.fail(f"{MAKE.name} failed:\n{made.stderr[-2000:]}")
    return made.stdout.strip()


@pytest.fixture(scope="session")
def one() -> Iterator[One]:
    command = [_python(), "-I", str(Path(__file__).with_name("one_child.py"))]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with process:
        yield One(process)
        assert process.stdin is not None
        process.stdin.close()
        process.wait(timeout=10)


@pytest.fixture(scope="session")
def reference_types() -> list[tuple[str, str]]:
    """The dataset types of the recorded server, as (name, pattern)."""
    return [(row["name"], row["filename_pattern"]) for row in _seed()["dataset-types"]]


@pytest.fixture(scope="session")
def reference_formats() -> frozenset[str]:
    """The file extensions of the recorded server."""
    return frozenset(row["file_extension"] for row in _seed()["data-formats"])


def _seed() -> dict[str, Any]:
    recording = ROOT / "tests" / "data" / "alyx-exchanges.json"
    return dict(json.loads(recording.read_text("utf-8"))["seed"])
