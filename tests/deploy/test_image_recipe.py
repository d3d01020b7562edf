"""The Dockerfile: exact bases, hashed packages, no root, and nothing let in that was not named."""

import re
import shlex
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.deploy.recipes import ROOT, compose

TEXT = (ROOT / "Dockerfile").read_text("utf-8")
LINES = [line for line in re.sub(r"\\\n\s*", " ", TEXT).splitlines() if line and not line.startswith("#")]


def arguments(word: str) -> list[str]:
    """What follows each instruction of this name, in order."""
    return [line.partition(" ")[2] for line in LINES if line.split(" ")[0] == word]


def last_stage() -> list[str]:
    start = max(number for number, line in enumerate(LINES) if line.startswith("FROM "))
    return LINES[start:]


def test_it_has_two_stages_on_the_same_exact_base() -> None:
    bases = [words.split()[0] for words in arguments("FROM")]
    assert len(bases) == 2
    assert len(set(bases)) == 1
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+(@sha256:[0-9a-f]{64})?", bases[0])


def test_packages_come_from_constraints_with_their_hashes() -> None:
    """By the script that scripts/venv uses too; and never something that the network hands to a shell."""
    assert [line for line in arguments("RUN") if "scripts/install.py" in line]
    assert "--require-hashes" in (ROOT / "scripts" / "install.py").read_text("utf-8")
    assert not re.search(r"\b(curl|wget|ADD)\b", TEXT)
    assert "pip install" not in TEXT


def test_the_image_runs_as_an_account_of_its_own() -> None:
    assert last_stage()[-3:-2] == ["USER 10001:10001"]
    assert "--uid 10001" in TEXT
    assert arguments("USER") == ["10001:10001"]


def test_the_last_stage_has_ssh_and_no_compiler() -> None:
    [run] = [line for line in last_stage() if line.startswith("RUN ")]
    installed = shlex.split(run.partition("--no-install-recommends")[2].partition("&&")[0])
    assert installed == ["openssh-client"]
    assert "rm -rf /var/lib/apt/lists/*" in run
    assert not re.search(r"\b(gcc|build-essential|python3-dev)\b", TEXT)


def test_no_secret_is_an_argument_or_a_variable_of_the_image() -> None:
    for line in (*arguments("ARG"), *arguments("ENV")):
        assert not re.search(r"(?i)password|secret|token|key", line)


def test_it_starts_the_program() -> None:
    assert arguments("ENTRYPOINT") == ['["alyx-transfer"]']
    assert not arguments("HEALTHCHECK"), "each service has its own, in docker-compose.yml"


# ---- what is let in


def let_in(path: str) -> bool:
    """Whether .dockerignore lets a path of the repository into the build; the last pattern that fits decides."""
    inside = False
    for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines():
        pattern = line.removeprefix("!")
        if line and not line.startswith("#") and fits(path, pattern):
            inside = line.startswith("!")
    return inside


def fits(path: str, pattern: str) -> bool:
    if pattern.startswith("**/"):
        return any(fnmatch(part, pattern[3:]) for part in path.split("/"))
    deep = pattern.count("/") + 1
    return fnmatch("/".join(path.split("/")[:deep]), pattern)


@pytest.mark.parametrize(
    "path",
    [
        "cli/main.py",
        "transfer/ledger/migrations/env.py",
        "dashboard/templates/base.html",
        "pyproject.toml",
        "constraints.txt",
        "scripts/install.py",
        "deploy/compose/health.py",
        "README.md",
        "LICENSE",
    ],
)
def test_what_the_program_needs_is_let_in(path: str) -> None:
    assert let_in(path)


@pytest.mark.parametrize(
    "path",
    [
        ".env",
        ".git/config",
        "deploy/compose/secrets/ledger-password",
        "deploy/compose/config.toml",
        "ledger.sqlite",
        "tests/servers.py",
        ".venv/bin/python",
        "cli/__pycache__/main.cpython-311.pyc",
    ],
)
def test_nothing_else_is_let_in(path: str) -> None:
    assert not let_in(path)


def test_every_script_that_a_service_runs_is_in_the_image() -> None:
    """Entry points and health checks name files below the folder where the repository is copied to."""
    told = (ROOT / "docker-compose.yml").read_text("utf-8")
    found = set(re.findall(r"/opt/alyx-transfer/(deploy/[\w/.]+\.py)", told))
    assert len(found) == 3
    for path in found:
        assert (ROOT / path).is_file()
        assert let_in(path)
    assert arguments("WORKDIR")[0] == "/opt/alyx-transfer"


def test_each_image_is_built_with_the_extras_that_its_services_need() -> None:
    """A demo needs the sandbox's packages, the real one those of the notices; the names are real ones."""
    extras: dict[str, set[str]] = {}
    for service in compose()["services"].values():
        if "build" in service:
            extras.setdefault(service["image"].partition(":")[0], set()).add(
                service["build"]["args"]["EXTRAS"]
            )
    assert {name: len(told) for name, told in extras.items()} == {"alyx-transfer": 1, "alyx-transfer-demo": 1}
    [real], [demo] = extras["alyx-transfer"], extras["alyx-transfer-demo"]
    assert set(real.split()) == {"dashboard", "notices", "postgres", "redis"}
    assert set(demo.split()) == {"dashboard", "demo", "postgres", "redis"}


def test_what_is_copied_is_copied_to_where_it_was_made() -> None:
    """An environment of Python cannot be moved."""
    assert "--from=build /opt/alyx-transfer /opt/alyx-transfer" in arguments("COPY")
    assert Path("/opt/alyx-transfer/.venv/bin").as_posix() in TEXT
