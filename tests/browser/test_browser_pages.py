"""Every page as a person sees it: narrow and wide, light and dark, with the keyboard and with a screen reader."""

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from sandbox.box import Box
from sandbox.mishaps import Mishaps, link_away, register_elsewhere
from tests.browser.conftest import Visitor
from tests.browser.lab import ADMIN, Lab, lab
from tests.browser.looking import heard, seen, wrong
from tests.integration.lab import until
from transfer.ledger import reports

Visiting = Callable[[Lab], Visitor]
_LINKED = "alf/licks.times.npy"
_REGISTERED = "alf/_ibl_trials.table.pqt"


def trouble(box: Box, mishaps: Mishaps) -> None:
    """A link in a file's place, and a version that another tool registered."""
    del mishaps
    link_away(box, box.sessions[0], _LINKED)
    register_elsewhere(box, box.sessions[-1], _REGISTERED)


@pytest.fixture(scope="module")
def troubled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab that has sent what it could, and holds the rest for a person."""
    with lab(tmp_path_factory.mktemp("troubled") / "box", sessions=2, plant=trouble) as opened:
        until(lambda: settled(opened), "everything arrived but what is held")
        yield opened


def settled(opened: Lab) -> bool:
    held = reports.held(opened.ledger)
    rows = reports.summary(opened.ledger)
    return bool(held.troubles and (held.files or held.sessions) and rows and not rows[0].waiting_files)


def addresses(page: Page) -> list[str]:
    """Every page there is: those of the navigation, and one of each kind behind them."""
    found = [link.get_attribute("href") for link in page.get_by_role("navigation").get_by_role("link").all()]
    for listed, kind in (("/sessions", "sessions"), ("/transfers", "transfers"), ("/errors", "errors")):
        page.goto(listed)
        found.append(page.locator(f"main a[href^='/{kind}/']").first.get_attribute("href"))
    page.goto("/held")
    found.append(page.locator("main a[href^='/files/']").first.get_attribute("href"))
    return [*filter(None, found), "/act?action=pause&target=lab:demolab"]


def name_of(address: str) -> str:
    """The name of a page's picture."""
    kind = re.sub(r"[?].*|/$", "", address).strip("/").split("/")
    return {1: kind[0] or "overview", 2: f"{kind[0]}-one"}[len(kind)]


LOOKS = {"narrow": (400, "light"), "dark": (1280, "dark"), "wide": (1600, "light")}


def test_every_page_can_be_read_by_everybody(troubled: Lab, visiting: Visiting) -> None:
    """Named controls, one first heading, enough contrast, and nothing that must be scrolled to sideways."""
    visitor = visiting(troubled)
    page = visitor.logged_in(ADMIN)
    found = {}
    for address in addresses(page):
        page.goto(address)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        found[address] = heard(page)
        for look, (width, scheme) in LOOKS.items():
            page.set_viewport_size({"width": width, "height": 900})
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            visitor.keep(page, f"{name_of(address)}-{look}")
            found[f"{address} {look}"] = seen(page)
    assert {place: complaints for place, complaints in found.items() if complaints} == {}


def test_the_rules_notice_a_bad_page(troubled: Lab, visiting: Visiting) -> None:
    """What is looked for is found, so that a page without complaints is one without faults."""
    page = visiting(troubled).page(width=400)
    page.set_content(
        "<title>bad</title><h1>One</h1><h1>Two</h1><h3>Three</h3><button></button><input>"
        "<p id='a' style='color: #999'>faint</p><p id='a' style='width: 900px'>wide</p><table><th>x</th></table>"
    )

    complaints = " ".join(wrong(page))
    for said in (
        "2 headings",
        "level 3 follows",
        "a button has no",
        "a textbox has no",
        "contrast 2.8",
        "id a twice",
    ):
        assert said in complaints
    for said in ("sideways", "no language", "not one main", "th without scope"):
        assert said in complaints


def test_no_link_of_any_page_leads_to_nothing(troubled: Lab, visiting: Visiting) -> None:
    page = visiting(troubled).logged_in(ADMIN)
    links: set[str] = set()
    for address in addresses(page):
        page.goto(address)
        found = page.eval_on_selector_all("a[href^='/']", "all => all.map(one => one.getAttribute('href'))")
        links |= {link for link in found if "#" not in link}

    answers = {link: page.request.get(link).status for link in links}
    assert {link: status for link, status in answers.items() if status != 200} == {}
    assert len(links) > 20


def test_the_theme_is_chosen_and_kept(troubled: Lab, visiting: Visiting) -> None:
    page = visiting(troubled).logged_in(ADMIN)

    def ground() -> str:
        return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))

    page.goto("/held")
    light = ground()
    page.get_by_role("button", name="Dark").click()
    dark = ground()
    page.goto("/sessions")
    assert ground() == dark != light
    page.get_by_role("button", name="Light").click()
    assert ground() == light


def test_an_action_needs_no_mouse(troubled: Lab, visiting: Visiting) -> None:
    """Tab to the button, Enter, the dialog has the focus; Escape closes it and gives the focus back."""
    page = visiting(troubled).logged_in(ADMIN)
    page.goto("/held")
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.hasAttribute('data-action')"):
            break
    else:
        pytest.fail("no button can be reached with the keyboard")
    button = page.evaluate_handle("document.activeElement")

    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    assert page.evaluate("document.activeElement.closest('dialog') !== null")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    assert page.evaluate("button => document.activeElement === button", button)


def test_the_first_stop_of_the_keyboard_skips_the_navigation(troubled: Lab, visiting: Visiting) -> None:
    page = visiting(troubled).logged_in(ADMIN)
    page.goto("/sessions")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="To the content")).to_be_focused()
    page.keyboard.press("Enter")

    assert page.evaluate("document.activeElement.id") == "main"


def test_sessions_are_filtered_and_the_address_keeps_the_filter(troubled: Lab, visiting: Visiting) -> None:
    page = visiting(troubled).logged_in(ADMIN)
    page.goto("/sessions")
    rows = page.locator("main tbody tr")
    expect(rows).to_have_count(2)

    page.get_by_label("From").fill("2026-03-03")
    page.get_by_role("button", name="Search").click()
    expect(rows).to_have_count(1)
    assert "since=2026-03-03" in page.url
    page.reload()
    expect(rows).to_have_count(1)

    page.get_by_role("link", name=re.compile("Search without")).click()
    expect(rows).to_have_count(2)
    page.goto("/sessions?subject=nobody")
    expect(rows).to_have_count(0)


def test_without_javascript_everything_can_be_read_and_done(troubled: Lab, visiting: Visiting) -> None:
    """A button is a link to the same question on a page of its own."""
    page = visiting(troubled).logged_in(ADMIN, java_script_enabled=False)
    page.goto("/held")
    page.locator("main a[data-action=release]").first.click()

    expect(page.get_by_role("heading", level=1)).to_be_visible()
    assert "/act?" in page.url
    page.locator("main").get_by_label(re.compile("^Why")).fill("without JavaScript")
    page.locator("main").get_by_role("button", name="Release").click()
    page.goto("/audit")
    expect(page.locator("main")).to_contain_text("without JavaScript")
