"""The one catalogue: what each kind of failure says of itself, and that the pages say the same."""

import re
from pathlib import Path

import pytest

from transfer.errors import BY_NAME, CATALOGUE, Cure, Reach, TransferError

DOCS = Path(__file__).parents[2] / "docs"
KINDS = sorted(CATALOGUE.values(), key=lambda kind: kind.code)
each = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


def paragraph(kind: type[TransferError]) -> str:
    text = (DOCS / "errors.md").read_text(encoding="utf-8")
    return text.partition(f"### {kind.code} {kind.name}\n")[2].split("\n### ")[0].split("\n## ")[0]


@each
def test_a_kind_says_why_it_happens(kind: type[TransferError]) -> None:
    """In a sentence of its own: the cause is not inherited by oversight."""
    assert "cause" in vars(kind), f"{kind.__name__} has no cause"
    assert re.match(r"[A-Z]", kind.cause)
    assert kind.cause.endswith(".")
    assert "  " not in kind.cause
    assert kind.cause != kind.remedy
    assert len(kind.cause) < 115


@each
def test_the_page_has_cause_and_remedy_word_for_word(kind: type[TransferError]) -> None:
    said = paragraph(kind)
    assert f"\nWhy: {kind.cause}\n\nWhat to do: {kind.remedy}\n" in f"{said}\n"


@each
def test_a_page_is_a_place_that_exists(kind: type[TransferError]) -> None:
    file, anchor = kind.page().removeprefix("docs/").split("#")
    headings = re.findall(r"^### (.+)$", (DOCS / file).read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert anchor in [heading.lower().replace(" ", "-") for heading in headings]


def test_every_name_leads_back_to_its_kind() -> None:
    """A hold is written down as a name, an item's error as a code: both find the page."""
    assert BY_NAME.keys() == {kind.name for kind in KINDS}
    assert all(CATALOGUE[kind.code] is BY_NAME[kind.name] for kind in KINDS)


def test_causes_tell_kinds_apart() -> None:
    causes = [kind.cause for kind in KINDS]
    assert len(causes) == len(set(causes))


@each
def test_only_time_or_a_connection_cures_without_anybody(kind: type[TransferError]) -> None:
    """What is the whole endpoint's is kept back or paused, never given up: its cure says which."""
    assert kind.cure in Cure
    if kind.cure is Cure.NOTHING:
        assert kind.reach is Reach.FILE, "no endpoint is beyond help"
