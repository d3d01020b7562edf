"""What a command cost is counted over everything it started."""

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.processes import CommandFailed, Step, descendants, run

if not Path(f"/proc/{os.getpid()}/smaps_rollup").exists():
    pytest.skip("the bench reads Linux's /proc", allow_module_level=True)

ENVIRONMENT = {"PATH": os.environ["PATH"]}
HOLD = "held = bytearray(60_000_000); import time; time.sleep(0.5)"


def wait_for_the_end(pid: int) -> None:
    """A killed process takes a moment to die; one that was spared never does (pytest's own timeout then ends us)."""
    state = Path(f"/proc/{pid}/stat")
    with contextlib.suppress(FileNotFoundError):
        while ") Z " not in state.read_text():
            time.sleep(0.01)


def python(code: str) -> Step:
    return Step(argv=[sys.executable, "-c", code])


def test_memory_of_a_grandchild_counts():
    """ssh started by the client belongs to the client."""
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {HOLD!r}])"
    assert run([python(code)], environment=ENVIRONMENT, patience=60).peak_bytes > 60_000_000


def test_cpu_of_a_grandchild_counts():
    burn = "import time\nwhile time.process_time() < 0.3: pass"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}])"
    assert run([python(code)], environment=ENVIRONMENT, patience=60).cpu_seconds >= 0.3


def test_a_command_out_of_patience_is_ended_with_all_it_started(tmp_path: Path):
    """Also one that left its process group, as lftp's ssh does."""
    place = tmp_path / "pid"
    code = (
        "import subprocess, time\n"
        "child = subprocess.Popen(['sleep', '600'], start_new_session=True)\n"
        f"open({str(place)!r}, 'w').write(str(child.pid))\n"
        "time.sleep(600)"
    )
    cost = run([python(code)], environment=ENVIRONMENT, patience=1.0)
    assert cost.stopped
    wait_for_the_end(int(place.read_text()))


def test_a_second_command_is_not_begun_when_the_first_was_stopped(tmp_path: Path):
    steps = [Step(argv=["sleep", "600"]), Step(argv=["touch", str(tmp_path / "begun")])]
    assert run(steps, environment=ENVIRONMENT, patience=0.1).stopped
    assert not (tmp_path / "begun").exists()


def test_a_command_that_fails_says_what_it_said():
    with pytest.raises(CommandFailed, match="no such thing"):
        run([python("raise SystemExit('no such thing')")], environment=ENVIRONMENT, patience=60)


def test_a_check_that_lists_a_difference_has_failed():
    """`rsync -anci` ends with 0 whatever it found."""
    step = Step(argv=["echo", "<fcsT......  a.npy"], says_nothing=True)
    with pytest.raises(CommandFailed, match="fcsT"):
        run([step], environment=ENVIRONMENT, patience=60)


def test_several_commands_cost_their_sum_and_only_the_last_one_is_heard():
    both = run([python("print(1)"), python("print(2)")], environment=ENVIRONMENT, patience=60)
    assert both.said == "2\n"


def test_nobody_elses_processes_are_ours():
    with subprocess.Popen(["sleep", "600"]) as child:
        assert child.pid in set(descendants(os.getpid()))
        assert os.getppid() not in set(descendants(os.getpid()))
        child.kill()
