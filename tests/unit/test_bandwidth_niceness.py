"""The program steps back behind the acquisition program, with its threads and with what it starts."""

import subprocess
import sys
from pathlib import Path

import pytest

TREE = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has classes instead of numbers")

NICE = """
import os, subprocess, sys, threading
from transfer.niceness import step_back
before = os.nice(0)
assert step_back(before + int(sys.argv[1]))
seen = [os.nice(0) - before]
thread = threading.Thread(target=lambda: seen.append(os.nice(0) - before))
thread.start(); thread.join()
seen.append(int(subprocess.check_output([sys.executable, "-c", "import os; print(os.nice(0))"])) - before)
assert step_back(before)  # asked for less than it has: nothing changes
seen.append(os.nice(0) - before)
print(*seen)
"""


def test_threads_and_child_processes_step_back_too_and_nobody_comes_forward_again() -> None:
    """ssh is a child: its cryptography must not take the processor from the rig either."""
    told = subprocess.run(
        [sys.executable, "-c", NICE, "7"], cwd=TREE, capture_output=True, text=True, check=True, timeout=60
    )
    assert told.stdout.split() == ["7", "7", "7", "7"]


def test_a_niceness_of_zero_changes_nothing() -> None:
    told = subprocess.run(
        [sys.executable, "-c", NICE, "0"], cwd=TREE, capture_output=True, text=True, check=True, timeout=60
    )
    assert told.stdout.split() == ["0", "0", "0", "0"]
