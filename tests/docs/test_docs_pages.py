"""The pages tell the truth where a machine can see it: links, commands, holds, paths."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from cli.main import application
from transfer.errors import CATALOGUE, Cure, TransferError
from transfer.transports.registry import KINDS

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PLACES = (
    "/errors/",  # pages of the dashboard
    "/etc/",
    "/run/",
    "/var/",
    "/mnt/",
    "/opt/alyx-transfer",
    "/usr/",
    "/dev/null",
    "/home/",
    "/rigs/",
    "/srv/",
    "/api/v1",
)
HOLDS = sorted(
    (kind for kind in CATALOGUE.values() if kind.cure in (Cure.PERSON, Cure.NOTHING)), key=lambda k: k.code
)
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


# ---- reading a page


def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def fences(page: Path, *languages: str) -> Iterator[str]:
    """The blocks between ``` of these languages; '' is a block without one."""
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```$", text(page), re.MULTILINE | re.DOTALL):
        if language in languages:
            yield block


def prose(page: Path) -> str:
    """The page without its blocks."""
    return re.sub(r"^```.*?^```$", "", text(page), flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The headings as GitHub links to them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page: Path) -> list[str]:
    found = re.findall(r"\[[^\]]+\]\(([^)\s]+)\)", prose(page))
    return [link for link in found if "://" not in link]


# ---- links


def broken(page: Path, link: str) -> str | None:
    """Why a relative link leads nowhere, None if it does not."""
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    if not target.exists():
        return f"{link}: there is no {path}"
    if not target.is_relative_to(ROOT):
        return f"{link}: outside of the repository"
    if anchor and anchor not in anchors(target):
        return f"{link}: {target.name} has no such heading"
    return None


@each_page
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    assert [why for link in links(page) if (why := broken(page, link))] == []


def test_the_readme_leads_to_every_page() -> None:
    linked = {(ROOT / link.partition("#")[0]).resolve() for link in links(ROOT / "README.md")}
    changes = ROOT / "docs" / "changes"
    assert {page for page in PAGES if page.parent != changes and page.name != "README.md"} <= linked
    assert {path for path in linked if path.parent == changes}


# ---- commands


def shown_in_blocks(page: Path) -> Iterator[list[str]]:
    """The words after `alyx-transfer` of each command line in the page's blocks."""
    for block in fences(page, "", "sh", "bash", "console", "ini"):
        for line in block.replace("\\\n", " ").splitlines():
            found = re.match(r"\s*(?:\$ |ExecStart=\S*/|sudo .*/)?alyx-transfer (.+)", line)
            if found:
                yield shlex.split(found[1], comments=True)


def shown_in_prose(page: Path) -> Iterator[list[str]]:
    """The same for `alyx-transfer ...` in running text; such a line may leave arguments out."""
    for words in re.findall(r"`alyx-transfer ([^`]+)`", prose(page)):
        yield shlex.split(words.replace("\n", " "))


def complaint(words: list[str], *, whole: bool) -> str | None:
    """What the command line says against these words, None if nothing; nothing is run."""
    group: Any = typer.main.get_command(application())
    try:
        context = group.make_context("alyx-transfer", list(words))
        name, command, rest = group.resolve_command(context, [*context._protected_args, *context.args])
        command.make_context(name, rest, parent=context)
    except typer.Exit:
        return None  # --help and --version
    except Exception as refused:
        if not whole and type(refused).__name__ == "MissingParameter":
            return None
        return f"alyx-transfer {shlex.join(words)}: {getattr(refused, 'message', refused)}"
    return None


@each_page
def test_every_command_in_a_block_can_be_typed(page: Path) -> None:
    assert [said for words in shown_in_blocks(page) if (said := complaint(words, whole=True))] == []


@each_page
def test_every_command_in_a_sentence_exists_with_its_options(page: Path) -> None:
    assert [said for words in shown_in_prose(page) if (said := complaint(words, whole=False))] == []


@pytest.mark.parametrize(
    "words", ["psh folder", "push --dry folder", "push", "pause alyx", "status --max-age", "report extra"]
)
def test_a_command_that_cannot_be_typed_is_noticed(words: str) -> None:
    assert complaint(words.split(), whole=True)


def test_the_pages_show_commands() -> None:
    """The two readers above do find something."""
    assert len([words for page in PAGES for words in shown_in_blocks(page)]) >= 15
    assert len([words for page in PAGES for words in shown_in_prose(page)]) >= 15


@each_page
def test_every_script_a_page_names_is_there_and_runs(page: Path) -> None:
    for name in set(re.findall(r"(?<![\w/.-])scripts/([a-z-]+)(?![\w./-])", text(page))):
        script = ROOT / "scripts" / name
        assert script.is_file(), name
        assert script.stat().st_mode & 0o111, f"{name} is not executable"


def test_the_readme_is_short_and_begins_with_two_commands() -> None:
    readme = ROOT / "README.md"
    assert len(text(readme).splitlines()) < 120
    first = next(fences(readme, "sh")).splitlines()
    assert [line.split()[0] for line in first] == ["scripts/demo", "scripts/test"]


# ---- holds


def rows(page: Path) -> dict[str, tuple[str, str, str]]:
    """By name: link, meaning and what to do, of each row of a table of holds."""
    found = re.findall(
        r"^\| \[([a-z-]+)\]\((errors\.md#[^)]+)\) \| (.+?) \| (.+) \|$", text(page), re.MULTILINE
    )
    assert len(found) == len({name for name, *_ in found}), "a hold stands in two tables"
    return {name: (link, means, do) for name, link, means, do in found}


def test_operating_has_every_hold_and_no_other() -> None:
    assert rows(ROOT / "docs" / "operating.md").keys() == {kind.name for kind in HOLDS}


@pytest.mark.parametrize("kind", HOLDS, ids=lambda kind: kind.name)
def test_operating_says_what_a_hold_means_and_what_to_do(kind: type[TransferError]) -> None:
    link, means, do = rows(ROOT / "docs" / "operating.md")[kind.name]
    assert link == f"errors.md#{kind.code.lower()}-{kind.name}"
    assert len(means.split()) >= 3
    assert do == kind.remedy


def test_limits_names_the_transports_there_are() -> None:
    line = re.search(r"\*\*Transports: (.+) only\.\*\*", text(ROOT / "docs" / "limits.md"))
    assert line is not None
    assert set(re.findall(r"`(\w+)`", line[1])) == set(KINDS)


# ---- what must not be said


@each_page
def test_no_page_names_a_folder_of_somebodys_machine(page: Path) -> None:
    """Absolute paths are those of a server or of an example, never of where a page was written."""
    found = re.findall(r"(?<![\w./:<>~)…*-])/[a-z][\w.-]*/[\w./-]+", text(page))
    assert [path for path in found if not path.startswith(PLACES)] == []


@each_page
def test_no_page_names_a_package_registry(page: Path) -> None:
    assert not re.search(r"\b(pypi|pythonhosted|npmjs|conda|crates)\.(org|com|io)\b", text(page))
