"""The contest: everybody in turns on the same files, every result compared, every run written down."""

import contextlib
import fnmatch
import hashlib
import json
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from bench import lines, machine
from bench.contenders import OURS, Contender, Task
from bench.figures import Run
from bench.processes import CommandFailed, Cost, run
from bench.workloads import Workload
from transfer.paths import without_uuid

RUNS, DELAYED_RUNS = 5, 3
PATIENCE, QUICK_PATIENCE = 180.0, 30.0  # seconds for one run
TARGET = "target"  # the folder everybody fills


@dataclass(frozen=True, kw_only=True)
class Wishes:
    only: Sequence[str]
    peers: Sequence[str]
    runs: int | None
    quick: bool
    patience: float | None

    @property
    def seconds(self) -> float:
        """How long one run may take."""
        return self.patience or (QUICK_PATIENCE if self.quick else PATIENCE)

    def wants(self, case: str) -> bool:
        return not self.only or any(fnmatch.fnmatchcase(case, pattern) for pattern in self.only)

    def admits(self, contender: Contender) -> bool:
        return contender.name == OURS or not self.peers or contender.name in self.peers

    def runs_of(self, way: str) -> int:
        return self.runs or (1 if self.quick else DELAYED_RUNS if way.endswith("ms") else RUNS)


@dataclass
class Bench:
    """Everything that was found so far."""

    wishes: Wishes
    folder: Path
    runs: list[Run] = field(default_factory=list)
    commands: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    checks: dict[str, Any] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def measure(self, way: "Way", made: Sequence["Made"]) -> None:
        for work in made:
            if self.wishes.wants(f"{way.name}.{work.workload.name}"):
                self._case(way, work)

    def _case(self, way: "Way", work: "Made") -> None:
        who = [one for one in way.who if self.wishes.admits(one) and one.takes(work.workload.name)]
        present = [one for one in who if machine.installed(one.program)]
        for absent in (one for one in who if one not in present):
            say(f"{way.name}: {absent.name} is not installed ({absent.program})")
        out: set[str] = set()
        for number in range(self.wishes.runs_of(way.name)):
            # Another one begins each time, so that nobody always runs after the same neighbour.
            turn = number % len(present)
            for contender in present[turn:] + present[:turn]:
                if contender.name not in out and not self._ended(way, contender, work):
                    out.add(contender.name)

    def _ended(self, way: "Way", contender: Contender, work: "Made") -> bool:
        """False for one that was stopped or failed: it will not do better the next time."""
        try:
            return not self._run(way, contender, work).stopped
        except CommandFailed as failed:
            failure = f"{way.name}.{work.workload.name}: {contender.name} failed: {failed}"
            self.failures.append(way.hide(failure))
            say(self.failures[-1])
            return False

    def _run(self, way: "Way", contender: Contender, work: "Made") -> Run:
        case = f"{way.name}.{work.workload.name}"
        with _emptied(way.root / TARGET) as target, _scratch(self.folder) as scratch:
            task = Task(
                workload=work.workload,
                md5s=work.md5s,
                source=work.folder,
                target=target,
                remote=f"{way.remote_root}/{TARGET}",
                scratch=scratch,
            )
            steps = contender.steps(task)
            shown = [way.shown(shlex.join(step.argv), task) for step in steps]
            self.commands.setdefault(way.name, {})[contender.name] = shown
            cost = run(
                steps,
                environment=lines.clean_environment(scratch),
                patience=self.wishes.seconds,
                folder=lines.REPOSITORY,
            )
            if not cost.stopped:
                compare(work.md5s, target, who=contender.name)
        done = _as_run(case, contender, cost)
        self.runs.append(done)
        end = "stopped after" if cost.stopped else ""
        say(f"{case:24} {contender.name:18} {end} {cost.seconds:7.2f} s  {cost.peak_bytes / 1e6:5.0f} MB")
        return done


@dataclass(frozen=True, kw_only=True, slots=True)
class Way:
    """A server and the contenders that reach it.  `remote_root` is what its clients call the folder `root`."""

    name: str
    who: Sequence[Contender]
    root: Path
    remote_root: str
    hidden: Mapping[str, str] = field(default_factory=dict)
    """Secrets, and what is shown instead."""

    def shown(self, command: str, task: Task) -> str:
        """The command line with short names for the folders of this run."""
        names = {
            str(task.source): "SOURCE",
            str(task.target): "TARGET",
            task.remote: "TARGET",
            str(task.scratch): "SCRATCH",
            str(task.scratch.parent): "BENCH",
            str(Path(sys.executable).parent) + "/": "",
        }
        for text, name in names.items():
            command = command.replace(text, name)
        return self.hide(command)

    def hide(self, text: str) -> str:
        for secret, name in self.hidden.items():
            text = text.replace(secret, name)
        return text


@dataclass(frozen=True, slots=True)
class Made:
    """A workload on disk."""

    workload: Workload
    folder: Path
    md5s: dict[PurePosixPath, str]


def compare(expected: dict[PurePosixPath, str], target: Path, *, who: str) -> None:
    """Raises CommandFailed unless `target` holds exactly the expected files; a uuid in a name does not count."""
    found: dict[PurePosixPath, str] = {}
    for place in target.rglob("*"):
        if place.is_file():
            name = without_uuid(PurePosixPath(place.relative_to(target).as_posix()))
            with place.open("rb") as stored:
                found[name] = hashlib.file_digest(stored, "md5").hexdigest()
    if found != expected:
        wrong = sorted(str(p) for p in expected.keys() | found.keys() if expected.get(p) != found.get(p))
        raise CommandFailed(
            f"{who} left {len(wrong)} files wrong, missing or too many: {', '.join(wrong[:5])}."
        )


def _as_run(case: str, contender: Contender, cost: Cost) -> Run:
    inside: dict[str, float] = {}
    verifies = contender.verifies
    if contender.name == OURS and not cost.stopped:
        told = json.loads(cost.said)
        inside = {"start": cost.seconds - told["inside_seconds"], **told["spent"]}
        inside["inside"] = told["inside_seconds"]
        inside["prove (beside)"] = told["prove_seconds"]
        verifies = f"md5, {told['proof']}"
    return Run(
        case=case,
        contender=contender.name,
        verifies=verifies,
        seconds=cost.seconds,
        cpu_seconds=cost.cpu_seconds,
        peak_bytes=cost.peak_bytes,
        stopped=cost.stopped,
        inside=inside,
    )


@contextlib.contextmanager
def _emptied(target: Path) -> Iterator[Path]:
    target.mkdir()
    # A server that runs as another account must be able to write there.
    owner = target.parent.stat()
    os.chown(target, owner.st_uid, owner.st_gid)
    try:
        yield target
    finally:
        shutil.rmtree(target)


@contextlib.contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=folder, prefix="scratch-") as scratch:
        yield Path(scratch)


def say(text: str) -> None:
    """To whoever watches."""
    print(text, file=sys.stderr, flush=True)
