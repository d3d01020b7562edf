"""Take each protection out of a copy of the product and see its tests turn red.

    python tests/mutants.py [NAME...] [--json]

The tests of the chosen mutants run once in an untouched copy and must pass there; then each mutant is patched into the
copy, its tests run, and at least one must *fail*: a test that cannot begin is no proof.  Exits with 1 if a mutant
survives, a patch no longer applies, or a test cannot be run here.  Meant for a person and for the release; in CI
`tests/unit/test_mutants_apply.py` sees to it that every patch still applies.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.mutation.mutations import MUTATIONS, DoesNotApply, Mutation  # noqa: E402

_LEFT_OUT = shutil.ignore_patterns(
    ".git", "__pycache__", ".venv", "*.pyc", ".*_cache", "*.sqlite", "node_modules"
)
_TIMEOUT = 600  # seconds for one run of pytest


@dataclass(frozen=True, kw_only=True)
class Run:
    """What pytest said: names of tests that passed, failed, and those that were skipped or broke before they began."""

    passed: list[str]
    red: list[str]
    not_run: list[str]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One mutant's fate."""

    name: str
    without: str
    tests: int
    red: list[str]
    seconds: float
    trouble: str = ""

    @property
    def caught(self) -> bool:
        return bool(self.red) and not self.trouble


def run(copy: Path, tests: Sequence[str], *, first_red_is_enough: bool) -> Run:
    """Run tests in the copy, and only the copy's product."""
    report = copy.parent / "report.xml"
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider"]
    command += [f"--junitxml={report}", *(["-x"] if first_red_is_enough else []), *tests]
    environment = os.environ | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        command, cwd=copy, env=environment, capture_output=True, text=True, timeout=_TIMEOUT, check=False
    )
    if not report.exists():
        raise SystemExit(f"pytest could not run:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return read(report)


def read(report: Path) -> Run:
    """A JUnit report, told apart: a failure in the test itself is red, an error around it is not."""
    passed, red, not_run = [], [], []
    for case in ElementTree.parse(report).iter("testcase"):
        name = case.get("name", "?")
        kinds = {child.tag for child in case}
        if "failure" in kinds:
            red.append(name)
        elif kinds & {"error", "skipped"}:
            not_run.append(name)
        else:
            passed.append(name)
    return Run(passed=passed, red=red, not_run=not_run)


@contextmanager
def patched(copy: Path, mutation: Mutation) -> Iterator[None]:
    """The copy without the protection; as it was afterwards.  Raises `DoesNotApply`."""
    before: dict[Path, str] = {}
    try:
        for patch in mutation.patches:
            file = copy / patch.file
            text = patch.applied(copy)
            before.setdefault(file, file.read_text(encoding="utf-8"))
            file.write_text(text, encoding="utf-8")
        yield
    finally:
        for file, text in before.items():
            file.write_text(text, encoding="utf-8")


def judge(copy: Path, mutation: Mutation) -> Verdict:
    begun = time.monotonic()
    red: list[str] = []
    trouble = ""
    try:
        with patched(copy, mutation):
            seen = run(copy, mutation.tests, first_red_is_enough=True)
        red = seen.red
        if not red:
            trouble = f"could not begin: {', '.join(seen.not_run)}" if seen.not_run else "SURVIVED"
    except DoesNotApply as error:
        trouble = f"does not apply: {error}"
    return Verdict(
        name=mutation.name,
        without=mutation.without,
        tests=len(mutation.tests),
        red=red,
        seconds=round(time.monotonic() - begun, 1),
        trouble=trouble,
    )


def require_green(copy: Path, chosen: Sequence[Mutation]) -> None:
    """Without any patch every test passes, or a red one would prove nothing."""
    tests = list(dict.fromkeys(test for mutation in chosen for test in mutation.tests))
    seen = run(copy, tests, first_red_is_enough=False)
    bad = [*(f"{name} fails" for name in seen.red), *(f"{name} was not run" for name in seen.not_run)]
    if bad or not seen.passed:
        raise SystemExit("\n".join(["Without any patch these tests must pass:", *bad]))


def show(verdict: Verdict) -> None:
    told = ", ".join(verdict.red) if verdict.caught else verdict.trouble
    print(f"{verdict.name:24} {verdict.tests:5} {verdict.seconds:7.1f} s  {told}", flush=True)


def wanted(names: Sequence[str]) -> list[Mutation]:
    unknown = set(names) - {mutation.name for mutation in MUTATIONS}
    if unknown:
        there_are = ", ".join(mutation.name for mutation in MUTATIONS)
        raise SystemExit(f"no such mutant: {', '.join(sorted(unknown))}. There are: {there_are}.")
    return [mutation for mutation in MUTATIONS if not names or mutation.name in names]


def main() -> int:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    asked = parser.parse_args()
    chosen = wanted(asked.names)
    verdicts = []
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copy = Path(folder) / "copy"
        shutil.copytree(ROOT, copy, ignore=_LEFT_OUT, symlinks=True)
        require_green(copy, chosen)
        if not asked.json:
            print(f"{'mutant':24} {'tests':>5} {'time':>9}  red")
        for mutation in chosen:
            verdicts.append(judge(copy, mutation))
            if not asked.json:
                show(verdicts[-1])
    survived = [verdict.name for verdict in verdicts if not verdict.caught]
    if asked.json:
        rows = [asdict(verdict) | {"caught": verdict.caught} for verdict in verdicts]
        print(json.dumps({"mutants": rows, "survived": survived}, indent=2))
    else:
        print(f"{len(verdicts) - len(survived)} of {len(verdicts)} mutants were caught.")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
