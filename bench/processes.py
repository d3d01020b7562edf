"""Run a command and say what it cost: wall time, CPU time and memory of it and everything it started.

Promises: the clock runs from before the fork until the last process that we started ourselves was waited for;
CPU seconds are those of every descendant that was waited for, or at least those that were seen; memory is the
largest sum of proportional set sizes (PSS: shared pages count once) over the tree, sampled.  What serves the
command (sshd, the delay line) is no descendant and does not count.

A command that is out of time is killed with all its descendants and marked `stopped`.
"""

import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SAMPLE_EVERY = 0.04  # seconds
_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One command.  `says_nothing`: any output on standard output is a difference that was found."""

    argv: Sequence[str]
    says_nothing: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    stopped: bool
    said: str


class CommandFailed(Exception):
    """A command that should have worked, or did not do what it said; the text says which and what."""


def run(
    steps: Sequence[Step], *, environment: Mapping[str, str], patience: float, folder: Path | None = None
) -> Cost:
    """Run `steps` one after the other.  Raises CommandFailed.  `patience` is in seconds, for all together."""
    seconds = cpu = 0.0
    peak = 0
    said = ""
    for step in steps:
        cost = _run(step, environment, patience - seconds, folder)
        seconds, cpu = seconds + cost.seconds, cpu + cost.cpu_seconds
        peak, said = max(peak, cost.peak_bytes), cost.said
        if cost.stopped:
            return Cost(seconds=seconds, cpu_seconds=cpu, peak_bytes=peak, stopped=True, said=said)
    return Cost(seconds=seconds, cpu_seconds=cpu, peak_bytes=peak, stopped=False, said=said)


def _run(step: Step, environment: Mapping[str, str], patience: float, folder: Path | None) -> Cost:
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        begun = time.perf_counter()
        process = subprocess.Popen(
            list(step.argv),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env=dict(environment),
            cwd=folder,
            start_new_session=True,
        )
        with Watch(process.pid, patience) as watch:
            _, status, used = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        said, complained = out.read().decode(errors="replace"), err.read().decode(errors="replace")
    if not watch.stopped and (process.returncode != 0 or (step.says_nothing and said.strip())):
        heard = (said + complained).strip()
        raise CommandFailed(f"{step.argv[0]} ended with {process.returncode} and said: {heard[-400:]}")
    cpu = max(used.ru_utime + used.ru_stime, watch.cpu_seconds)
    return Cost(
        seconds=seconds, cpu_seconds=cpu, peak_bytes=watch.peak_bytes, stopped=watch.stopped, said=said
    )


class Watch:
    """Samples a process tree in a thread of its own, and ends it when its time is over."""

    def __init__(self, root: int, patience: float) -> None:
        self._root = root
        self._until = time.monotonic() + patience
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, name="watch")
        self.peak_bytes = 0
        self.cpu_seconds = 0.0
        self.stopped = False

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_details: object) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        # The first looks come fast: a process that lives for 50 ms is to be seen too.
        pause = 0.005
        while True:
            tree = list(descendants(self._root))
            self.peak_bytes = max(self.peak_bytes, sum(map(memory, tree)))
            self.cpu_seconds = max(self.cpu_seconds, sum(map(cpu_seconds, tree)))
            if time.monotonic() > self._until and not self.stopped:
                self.stopped = True
                for pid in reversed(tree):
                    _kill(pid)
            if self._done.wait(pause):
                return
            pause = min(SAMPLE_EVERY, pause * 2)


def descendants(root: int) -> Iterator[int]:
    """`root` and everything below it that runs now."""
    waiting = [root]
    while waiting:
        pid = waiting.pop()
        yield pid
        for task in _listed(Path(f"/proc/{pid}/task")):
            waiting += [int(word) for word in _read(task / "children").split()]


def memory(pid: int) -> int:
    """PSS in bytes; 0 for a process that ended."""
    for line in _read(Path(f"/proc/{pid}/smaps_rollup")).splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def cpu_seconds(pid: int) -> float:
    """Of the process and of its children that were waited for; 0 for one that ended."""
    fields = _read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / _TICK if fields else 0.0


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
