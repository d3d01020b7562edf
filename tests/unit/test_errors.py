"""Every way to fail has a name, a cure, a reach, a remedy, and a paragraph in the docs."""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

import transfer
from transfer import errors
from transfer.errors import CATALOGUE, ConfigProblems, Cure, Reach, TransferError

DOCS = Path(__file__).parents[2] / "docs" / "errors.md"
KINDS = sorted(CATALOGUE.values(), key=lambda kind: kind.code)
each = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


def every_kind(root: type[TransferError] = TransferError) -> Iterator[type[TransferError]]:
    for kind in root.__subclasses__():
        if kind.__module__.startswith("transfer."):
            yield kind
        yield from every_kind(kind)


def made(kind: type[TransferError]) -> TransferError:
    if issubclass(kind, ConfigProblems):
        return kind(["broker.url: no scheme"], to="config.toml")
    return kind("it failed", to="a.npy")


# ---- the catalogue


def test_the_catalogue_has_every_kind_wherever_it_is_written() -> None:
    for module in pkgutil.walk_packages(transfer.__path__, "transfer."):
        if ".migrations" not in module.name:
            importlib.import_module(module.name)
    assert set(every_kind()) == set(CATALOGUE.values())


def test_codes_names_and_classes_are_unique() -> None:
    for field in ("code", "name", "__name__"):
        values = [getattr(kind, field) for kind in every_kind()]
        assert len(values) == len(set(values)), field
    assert all(code == kind.code for code, kind in CATALOGUE.items())


@each
def test_a_kind_answers_everything_itself(kind: type[TransferError]) -> None:
    """Nothing is inherited by oversight: each class says its own code, name, cure, reach and remedy."""
    assert {"code", "name", "cure", "reach", "remedy"} <= vars(kind).keys()
    assert re.fullmatch(r"E-[1-5]\d{3}", kind.code)
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", kind.name)
    assert isinstance(kind.cure, Cure)
    assert isinstance(kind.reach, Reach)
    assert len(kind.name) <= 64, "the ledger's column for holds"
    assert len(kind.code) <= 16, "the ledger's column for errors"


@each
def test_a_remedy_is_a_sentence(kind: type[TransferError]) -> None:
    assert re.match(r"[A-Z`]", kind.remedy)
    assert kind.remedy.endswith(".")
    assert "  " not in kind.remedy
    assert len(kind.remedy) < 120


@each
def test_nobody_is_asked_to_act_where_time_helps_and_somebody_is_where_it_does_not(
    kind: type[TransferError],
) -> None:
    if kind.cure in (Cure.PERSON, Cure.NOTHING):
        assert not kind.remedy.startswith("Nothing")
    if kind.remedy.startswith("Nothing"):
        assert kind.cure in (Cure.TIME, Cure.FRESH_CONNECTION)


# ---- the sentence


@each
def test_a_sentence_says_what_happened_to_which_thing_and_what_to_do(kind: type[TransferError]) -> None:
    error = made(kind)
    assert str(error) == error.sentence
    assert error.sentence == f"{error.what}: {error.to}. {kind.remedy}"


def test_an_error_may_know_a_better_remedy_and_need_no_subject() -> None:
    error = TransferError("it failed", do="Wait.", after=timedelta(minutes=5))
    assert error.sentence == "it failed. Wait."
    assert error.after == timedelta(minutes=5)


def test_the_config_shows_all_its_problems_at_once() -> None:
    error = ConfigProblems(["alyx.url: missing", "ledger.url: no scheme"], to="config.toml")
    assert "alyx.url: missing; ledger.url: no scheme: config.toml. " in error.sentence
    assert error.problems == ["alyx.url: missing", "ledger.url: no scheme"]


def test_an_error_keeps_its_foreign_cause() -> None:
    def fail() -> None:
        try:
            raise OSError("EIO")
        except OSError as cause:
            raise errors.SourceUnreadable("cannot be read", to="a.npy") from cause

    with pytest.raises(errors.SourceUnreadable) as raised:
        fail()
    assert isinstance(raised.value.__cause__, OSError)


@each
def test_no_remedy_repeats_a_secret_or_an_address(kind: type[TransferError]) -> None:
    """Remedies are constant text: nothing of a URL, a user or a token is in them."""
    assert "://" not in kind.remedy
    assert "@" not in kind.remedy
    assert "{" not in kind.remedy


# ---- the docs


def sections() -> dict[str, str]:
    parts = re.split(r"^### (E-\d{4}) .*$", DOCS.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def rows() -> dict[str, list[str]]:
    lines = re.findall(r"^\| \[(E-\d{4})\]\((#[^)]+)\) \|(.*)\|$", DOCS.read_text(), flags=re.MULTILINE)
    return {code: [link, *(cell.strip() for cell in cells.split("|"))] for code, link, cells in lines}


def test_the_docs_have_exactly_the_errors_there_are() -> None:
    assert sections().keys() == rows().keys() == CATALOGUE.keys()
    assert list(rows()) == sorted(rows())


@each
def test_the_table_agrees_with_the_code(kind: type[TransferError]) -> None:
    link = f"#{kind.code.lower()}-{kind.name}"
    assert rows()[kind.code] == [link, kind.name, kind.cure, kind.reach, kind.remedy]
    assert f"### {kind.code} {kind.name}\n" in DOCS.read_text()


@each
def test_each_error_has_a_paragraph_of_its_own_and_its_remedy(kind: type[TransferError]) -> None:
    text = " ".join(sections()[kind.code].split("\n## ")[0].split())
    paragraph, _, remedy = text.partition(" What to do: ")
    assert len(paragraph.split()) >= 15
    assert remedy == kind.remedy
