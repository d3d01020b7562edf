"""The table of failures is whole, and every test that it names exists."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reliability.md"
NAMED = re.compile(r"`([\w/]+\.py)::(test_\w+)`")


def part(heading: str) -> str:
    """The page from this heading to the next of its level."""
    found = re.search(
        rf"^## {heading}$(.*?)(?=^## |\Z)", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    assert found, f"the page has no part {heading!r}"
    return found[1]


def rows(heading: str) -> list[list[str]]:
    """The cells of the rows that begin with a number."""
    lines = re.findall(r"^\| \d+ \|.*\|$", part(heading), re.MULTILINE)
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


@cache
def functions_of(file: str) -> set[str]:
    tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize(("heading", "count"), [("Failure scenarios", 64), ("Traps", 18)])
def test_every_row_is_there_once_in_order(heading: str, count: int) -> None:
    assert [int(cells[0]) for cells in rows(heading)] == list(range(1, count + 1))


def test_every_test_it_names_exists() -> None:
    named = NAMED.findall(part("Failure scenarios") + part("Traps"))
    assert len(named) > 100
    missing = [f"{file}::{name}" for file, name in named if name not in functions_of(file)]
    assert missing == []


@pytest.mark.parametrize("heading", ["Failure scenarios", "Traps"])
def test_a_row_without_a_test_leads_to_the_limits(heading: str) -> None:
    """Handled with a test that stages it, or said to be a limit: nothing in between."""
    for cells in rows(heading):
        number, _what, outcome, tests = cells
        assert NAMED.search(tests) or ("limits.md#" in outcome and tests == "none"), number
