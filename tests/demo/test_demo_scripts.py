"""`scripts/demo` and `scripts/venv`: as much as can be said without a package registry."""

import importlib.util
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
SCRIPTS = ROOT / "scripts"


@pytest.fixture
def install() -> ModuleType:
    spec = importlib.util.spec_from_file_location("install", SCRIPTS / "install.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("script", ["demo", "venv"])
def test_plain_shells_understand_it(script: str) -> None:
    assert (SCRIPTS / script).stat().st_mode & 0o111
    assert subprocess.run(["/bin/sh", "-n", str(SCRIPTS / script)], check=False).returncode == 0


def test_without_a_new_enough_python_it_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    shutil.copy(SCRIPTS / "venv", tmp_path / "scripts")
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("dirname", "id"):
        (tools / name).symlink_to(shutil.which(name) or "")
    done = subprocess.run(
        ["/bin/sh", str(tmp_path / "scripts" / "venv"), "demo"],
        env={"PATH": str(tools)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Python 3.11 or newer is needed" in done.stderr
    assert "sudo apt-get install python3 python3-venv" in done.stderr


def test_every_requirement_is_pinned_with_a_hash(install: ModuleType) -> None:
    known = install.blocks((ROOT / "constraints.txt").read_text())
    for requirement in install.wanted({"test"}):
        name = install.plain(requirement.split(">")[0].split("[")[0].strip())
        assert all("--hash=sha256:" in block for block in known[name]), requirement


def test_the_demo_extra_is_what_the_demo_looks_for(install: ModuleType) -> None:
    from cli.demo import _PACKAGES

    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["demo"]
    assert {install.plain(name.split(">")[0]) for name in extra} == {
        install.plain(name) for name in _PACKAGES
    }


def test_an_unknown_extra_is_refused_by_name(install: ModuleType) -> None:
    with pytest.raises(SystemExit, match="no extra tset"):
        install.wanted({"tset"})


def test_the_same_wish_again_asks_no_registry(
    install: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[str, ...]] = []
    monkeypatch.setattr(install, "STAMP", tmp_path / "stamp")
    monkeypatch.setattr(install, "pip", lambda *words: calls.append(words))
    monkeypatch.setattr(install, "install", lambda *words: calls.append(words))
    for extras, asked in ((["demo"], 2), (["demo"], 0), ([], 0), (["redis"], 2), (["demo", "redis"], 0)):
        calls.clear()
        monkeypatch.setattr(sys, "argv", ["install.py", *extras])
        install.main()
        assert len(calls) == asked, extras
