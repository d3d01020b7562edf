"""One demo that ran to its end, shared by the tests of this folder; each works on a copy."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandbox.box import Box

Run = Callable[..., subprocess.CompletedProcess[str]]
COMMAND = (sys.executable, "-c", "from cli.main import run; run()")
HERE = Path(__file__).resolve().parent.parent.parent


def environment() -> dict[str, str]:
    """A user's environment that points at an Alyx of their own, which the demo must not touch."""
    elsewhere = {
        "ALYX_TRANSFER_ALYX__URL": "http://127.0.0.1:9",
        "ALYX_TRANSFER_LEDGER__URL": "sqlite:////nowhere/x",
    }
    return {**os.environ, **elsewhere, "PYTHONPATH": str(HERE), "PYTHONWARNINGS": "default"}


def alyx_transfer(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], env=environment(), capture_output=True, text=True, timeout=110, check=False
    )


@pytest.fixture(scope="session")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A finished demo of one session: its folder, and what the run printed."""
    root = tmp_path_factory.mktemp("demo") / "root"
    return root, alyx_transfer("demo", "--root", str(root), "--sessions", "1", "--json")


@pytest.fixture
def finished(first: tuple[Path, object], tmp_path: Path) -> Path:
    """A copy of the finished demo's folder."""
    copy = tmp_path / "copy"
    shutil.copytree(first[0], copy, copy_function=shutil.copy2)
    return copy


@pytest.fixture
def box(finished: Path) -> Iterator[Box]:
    """The finished demo's box, open."""
    with Box(finished, sessions=1, seed=1, transport="local") as opened:
        opened.furnish()
        yield opened
