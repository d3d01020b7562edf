"""Rules of accessibility and layout, as a browser computes them: what is wrong with a page, a line each.

Names, roles and headings come from Chromium's own accessibility tree: what a screen reader is told.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

Tree = Sequence[Mapping[str, Any]]

_RULES = Path(__file__).with_name("rules.js").read_text(encoding="utf-8")
_NAMED = {
    "button",
    "link",
    "textbox",
    "searchbox",
    "combobox",
    "listbox",
    "checkbox",
    "radio",
    "spinbutton",
    "progressbar",
    "dialog",
    "navigation",
    "region",
    "image",
    "DisclosureTriangle",
}


def wrong(page: Page) -> list[str]:
    """Everything that breaks a rule on the page as it is shown now."""
    return [*heard(page), *seen(page)]


def seen(page: Page) -> list[str]:
    """What is wrong with how it looks: width, contrast, and what a layout must have."""
    found: list[str] = page.evaluate(_RULES)
    return found


def heard(page: Page) -> list[str]:
    """What is wrong for somebody who hears the page: names and headings."""
    tree = _tree(page)
    return [*_unnamed(tree), *_headings(tree)]


def _unnamed(tree: Tree) -> Iterator[str]:
    for node in tree:
        role, name = node["role"]["value"], node.get("name", {}).get("value", "")
        if role in _NAMED and not str(name).strip():
            yield f"a {role} has no name"


def _headings(tree: Tree) -> Iterator[str]:
    levels = [_level(node) for node in tree if node["role"]["value"] == "heading"]
    if levels.count(1) != 1:
        yield f"{levels.count(1)} headings of the first level"
    for before, after in zip([0, *levels], levels, strict=False):
        if after > before + 1:
            yield f"a heading of level {after} follows one of level {before}"


def _tree(page: Page) -> Tree:
    session = page.context.new_cdp_session(page)
    try:
        nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    finally:
        session.detach()
    return [node for node in nodes if not node.get("ignored")]


def _level(node: Mapping[str, Any]) -> int:
    return next(int(one["value"]["value"]) for one in node["properties"] if one["name"] == "level")
