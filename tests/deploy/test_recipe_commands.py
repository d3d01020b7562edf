"""What the recipes start can be started."""

import re
import shlex
from pathlib import Path

import pytest

from tests.deploy.recipes import ROOT, UNITS, command_lines, complaint, services

COMMANDS = list(command_lines())


@pytest.mark.parametrize(("where", "words"), COMMANDS, ids=[where for where, _ in COMMANDS])
def test_every_command_of_a_recipe_is_a_real_one(where: str, words: list[str]) -> None:
    assert complaint(words) is None


def test_every_kind_of_recipe_has_commands() -> None:
    """The readers do find something: workers, beats and dashboards, in containers, units and tasks."""
    told = {where.split(":")[0].rpartition(".")[2] for where, _ in COMMANDS}
    assert told == {"yml", "service", "ps1"}
    assert {words[0] for _, words in COMMANDS} >= {"worker", "beat", "dashboard"}


@pytest.mark.parametrize("words", [["wrker"], ["worker", "--central-only"], ["beat", "now"]])
def test_a_command_that_does_not_exist_is_noticed(words: list[str]) -> None:
    assert complaint(words)


PAGES = [ROOT / "docs" / name for name in ("getting-started-centre.md", "deploying.md")]


def in_containers(page: str) -> list[tuple[str, str, list[str]]]:
    """Profile, service and the words after `alyx-transfer` of each command that a page runs in a container."""
    found = re.findall(
        r"docker compose (?:-\S+ \S+ )*?--profile (\w+) (run|exec)((?: -\S+)*) ([\w-]+) ([^`\n|]+)", page
    )
    told = []
    for profile, how, _, service, words in found:
        program = shlex.split(words.partition(" > ")[0].partition(" < ")[0])
        if how == "exec" and program[0] != "alyx-transfer":
            continue
        told.append((profile, service, program if how == "run" else program[1:]))
    return told


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_that_a_page_runs_in_a_container_is_a_real_one(page: Path) -> None:
    """In a service that the profile has, with words that the command line takes."""
    for profile, service, words in in_containers(page.read_text("utf-8")):
        assert profile in services()[service]["profiles"]
        assert complaint(words) is None


def test_the_centres_page_runs_commands_in_containers() -> None:
    """The reader above does find something."""
    assert len(in_containers(PAGES[0].read_text("utf-8"))) >= 4


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_service_profile_and_unit_that_a_page_names_is_there(page: Path) -> None:
    text = page.read_text("utf-8")
    known = {profile for service in services().values() for profile in service["profiles"]}
    assert set(re.findall(r"--profile (\w+)", text)) <= known
    for names in re.findall(r"(?:stop|--force-recreate) ((?:[a-z]+ ?)+)\n", text):
        assert set(names.split()) <= set(services())
    units = {unit.name for unit in UNITS}
    for name in re.findall(r"deploy/systemd/([\w@.-]+\.service)", text):
        assert name in units
    for path in re.findall(r"(?<![\w/])(deploy/compose/[\w.-]+)", text):
        kept_out = ("secrets", "config.toml")
        assert (ROOT / path).exists() or path.rpartition("/")[2] in kept_out, path
