"""An installation with one extra only: what that extra is for can be imported without anything it does not bring.

The tests' own environment has everything.  So whatever is not asked for by the project, its extra, and what these ask
for themselves, is hidden from a process of its own.
"""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
OURS = {"cli", "config", "dashboard", "pipeline", "rehearsal", "sandbox", "transfer", "workers"}

_HIDING = """
import importlib, sys
hidden = set(sys.argv[1].split(","))
class Hides:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in hidden:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Hides())
for name in sys.argv[2:]:
    importlib.import_module(name)
"""


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def brought(wanted: Iterable[str]) -> set[str]:
    """The distributions that these requirements bring, each with what it asks for itself."""
    found: set[tuple[str, str]] = set()
    waiting = [Requirement(one) for one in wanted]
    while waiting:
        one = waiting.pop()
        for extra in ("", *one.extras):
            if (plain(one.name), extra) in found:
                continue
            found.add((plain(one.name), extra))
            told = [Requirement(words) for words in metadata.requires(one.name) or ()]
            waiting += [
                more for more in told if more.marker is None or more.marker.evaluate({"extra": extra})
            ]
    return {name for name, _ in found}


def hidden(extras: Iterable[str]) -> set[str]:
    """The modules that an installation with these extras does not have."""
    optional = PROJECT["optional-dependencies"]
    has = brought([*PROJECT["dependencies"], *(one for extra in extras for one in optional[extra])])
    return {
        module
        for module, owners in metadata.packages_distributions().items()
        if module not in OURS and not has & {plain(owner) for owner in owners}
    }


@pytest.mark.parametrize(
    ("extras", "modules"),
    [
        ([], ["cli.main", "workers.assembly", "kombu.transport.memory", "kombu.transport.pyamqp"]),
        (["redis"], ["kombu.transport.redis"]),
        (["postgres"], ["psycopg", "sqlalchemy.dialects.postgresql.psycopg"]),
        (["dashboard"], ["dashboard.app", "dashboard.serving"]),
        (["notices"], ["config.messenger", "apprise"]),
        (["datajoint"], ["pipeline", "datajoint"]),
        (["demo", "dashboard"], ["sandbox.box", "sandbox.alyx", "dashboard.app"]),
    ],
    ids=str,
)
def test_an_extra_brings_what_it_is_for(extras: list[str], modules: list[str]) -> None:
    command = [sys.executable, "-c", _HIDING, ",".join(sorted(hidden(extras))), *modules]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_what_is_hidden_is_not_found() -> None:
    """Or the others would prove nothing."""
    assert {"redis", "fastapi", "pytest"} <= hidden([])
    command = [sys.executable, "-c", _HIDING, ",".join(sorted(hidden([]))), "kombu.transport.redis", "redis"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert "No module named 'packaging'" in done.stderr, "Redis's part of kombu asks for it first"
