"""docs/commands.md has every command, every option and every exit code, and no other; docs/errors.md every error."""

import re
from pathlib import Path

import pytest
import typer

from cli.failures import Exit
from cli.main import application
from transfer.errors import CATALOGUE

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "commands.md").read_text(encoding="utf-8")
PROGRAM = typer.main.get_command(application())
COMMANDS = PROGRAM.commands  # type: ignore[attr-defined]


def section(heading: str) -> str:
    _, found, after = PAGE.partition(f"\n{heading}\n")
    assert found, f"docs/commands.md has no heading {heading}"
    return re.split(r"\n##+ ", after)[0]


def rows(heading: str) -> list[str]:
    """The options in the first column of the table below `heading`, in order."""
    return re.findall(r"^\| `(--[\w-]+)", section(heading), re.MULTILINE)


def options(command: object) -> list[str]:
    return [one.opts[0] for one in command.params if one.param_type_name == "option"]  # type: ignore[attr-defined]


def test_the_page_has_exactly_the_commands_there_are() -> None:
    assert sorted(re.findall(r"^### `(\w+)`$", PAGE, re.MULTILINE)) == sorted(COMMANDS)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_command_has_exactly_its_options_in_their_order(name: str) -> None:
    assert rows(f"### `{name}`") == options(COMMANDS[name])


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_the_page_says_which_options_are_required(name: str) -> None:
    for option in COMMANDS[name].params:
        if option.param_type_name == "option" and option.required:
            row = next(
                line for line in section(f"### `{name}`").splitlines() if f"| `{option.opts[0]}" in line
            )
            assert "required" in row


def test_the_options_of_every_command_are_there() -> None:
    assert rows("## Options of every command") == [*options(PROGRAM), "--help"]


def test_exactly_the_exit_codes_there_are() -> None:
    assert re.findall(r"^\| (\d+) \|", section("## Exit codes"), re.MULTILINE) == [
        str(int(code)) for code in Exit
    ]


def test_every_error_has_its_paragraph() -> None:
    documented = re.findall(
        r"^### (E-\d{4}) ", (DOCS / "errors.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert sorted(documented) == sorted(CATALOGUE)


def test_every_link_leads_somewhere() -> None:
    headings = {
        re.sub(r"[^\w -]", "", line.lstrip("# ")).lower().replace(" ", "-")
        for line in PAGE.splitlines()
        if line.startswith("#")
    }
    for target in re.findall(r"\]\(([^)]+)\)", PAGE):
        page, _, anchor = target.partition("#")
        assert (DOCS / page).exists()
        assert page or anchor in headings
