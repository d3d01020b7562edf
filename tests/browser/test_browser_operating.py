"""An operator's evening: what moves, what is held, a lab that stops and goes on; each with a name in the audit log."""

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from sandbox.box import LAB, LAB_SERVER, Box
from sandbox.mishaps import Mishaps
from tests.browser.conftest import Visitor
from tests.browser.lab import ADMIN, VISITOR, Lab, lab
from tests.integration.lab import until
from transfer.ledger import endpoints, reports

Visiting = Callable[[Lab], Visitor]
_LOCKED = "DEMO_001/2026-03-02/001/raw_video_data/"

_BAR = "() => { const bar = document.querySelector('main progress'); return bar ? [bar.value, bar.max] : [0, 0]; }"


def locked(box: Box, mishaps: Mishaps) -> None:
    """A folder of the store in which nobody may write."""
    del box
    mishaps.locked.append(_LOCKED)


@pytest.fixture(scope="module")
def working(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab of one session, part of which the store refuses."""
    root = tmp_path_factory.mktemp("working") / "box"
    with lab(root, sessions=1, plant=locked) as opened:
        until(lambda: reports.held(opened.ledger), "something is held")
        yield opened


def act(page: Page, *, why: str) -> None:
    """Say why and confirm what the open dialog asks."""
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    dialog.get_by_label(re.compile("^Why")).fill(why)
    dialog.locator("#act-go").click()
    expect(dialog).to_be_hidden()
    expect(page.get_by_role("status").filter(has_text="Done")).to_be_visible()


def test_a_held_file_is_released_with_a_reason_that_the_audit_log_has(
    working: Lab, visiting: Visiting
) -> None:
    """And it goes on by itself: the file arrives."""
    visitor = visiting(working)
    page = visitor.logged_in(ADMIN)
    page.goto("/held")
    expect(page.locator("main")).to_contain_text("raw_video_data")
    visitor.keep(page, "held-before")
    working.mishaps.locked.clear()

    page.locator(
        "main [data-action=release], main [data-action=resume], main [data-action=retry]"
    ).first.click()
    act(page, why="the folder is unlocked")

    page.goto("/audit")
    row = page.get_by_role("row").filter(has_text="the folder is unlocked").first
    expect(row).to_contain_text(ADMIN)
    visitor.keep(page, "audit-after")
    until(lambda: not reports.held(working.ledger), "nothing is held any more")


def test_the_progress_of_a_transfer_is_seen_live(working: Lab, visiting: Visiting) -> None:
    """The bar grows, at the end nothing moves and all of it has arrived, while nobody loads the page again."""
    visitor = visiting(working)
    page = visitor.logged_in(ADMIN)
    page.evaluate("window.loadedOnce = true")
    arrived = page.locator("[sse-swap=routes] [data-label='24 hours']").first
    before = arrived.inner_text()
    working.mishaps.slow = 0.25
    working.box.grow()

    bar = page.locator("main progress").first
    expect(bar).to_be_visible()
    seen: set[float] = set()

    def grows() -> bool:
        page.wait_for_timeout(200)
        done, of = page.evaluate(_BAR)
        seen.update({done} if 0 < done < of else ())
        return len(seen) > 1

    until(grows, "the bar stands at two places on the way")
    visitor.keep(page, "overview-moving")
    working.mishaps.slow = 0
    expect(page.get_by_text("Nothing moves at this moment.")).to_be_visible()
    expect(arrived).not_to_have_text(before)
    expect(page.locator(".curve canvas")).to_have_count(1)
    assert page.evaluate("window.loadedOnce")


def test_a_paused_lab_stops_and_goes_on_when_it_is_resumed(working: Lab, visiting: Visiting) -> None:
    visitor = visiting(working)
    page = visitor.logged_in(ADMIN)
    page.goto("/endpoints")
    page.locator(
        f"[data-action=pause][data-target$='{LAB_SERVER}'], [data-action=pause][data-target$='{LAB}']"
    ).first.click()
    act(page, why="the rig is moved")
    expect(page.locator("main")).to_contain_text("the rig is moved")
    visitor.keep(page, "endpoints-paused")
    state = endpoints.state(working.ledger, LAB_SERVER)
    assert state is not None
    assert state.paused_by == f"person:{ADMIN}"

    grown = working.box.grow()
    key = f"{grown.subject}/{grown.date.isoformat()}"
    page.goto("/")
    expect(page.locator("main")).to_contain_text("the rig is moved")
    assert not any(row.session.startswith(key) and row.recorded for row in reports.sessions(working.ledger))

    page.goto("/endpoints")
    page.locator(
        f"[data-action=resume][data-target$='{LAB_SERVER}'], [data-action=resume][data-target$='{LAB}']"
    ).first.click()
    act(page, why="it stands again")
    until(
        lambda: any(row.session.startswith(key) and row.recorded for row in reports.sessions(working.ledger)),
        "the session of the resumed lab arrives",
    )


def test_a_viewer_sees_everything_and_may_change_nothing(working: Lab, visiting: Visiting) -> None:
    visitor = visiting(working)
    page = visitor.logged_in(VISITOR)
    for address in ("/", "/endpoints", "/held", "/sessions", "/transfers", "/schedule", "/bandwidth"):
        page.goto(address)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        assert page.locator("[data-action]").count() == 0
    token = page.locator("meta[name=csrf-token]").get_attribute("content") or ""

    answer = page.request.post(
        "/api/v1/actions/pause",
        data={"target": f"lab:{LAB}", "why": "I may not"},
        headers={"X-CSRF-Token": token, "Origin": working.address},
    )
    assert answer.status == 403
