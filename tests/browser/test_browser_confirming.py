"""What a page does with the answer of a confirmed action."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from dashboard import serving as serving_module
from dashboard.access.logins import NAME
from dashboard.serving import serving
from tests.dashboard.entering import House, house
from tests.ledger.build import LAB
from transfer.errors import StoreDenied
from transfer.ledger import logins
from transfer.status import Status

_CONNECTIONS = 6
"""To one server at a time, in every browser."""

_BUTTON = """lab => {
    const button = document.createElement('a');
    Object.assign(button.dataset, {action: 'prioritise', target: `lab:${lab}`, name: lab, label: 'Priority'});
    button.id = 'once-more';
    button.href = '#';
    button.textContent = 'Priority';
    document.getElementById('main').append(button);
}"""
_NO_PAGE = """() => {
    const real = window.fetch;
    window.fetch = (...asked) =>
        asked[1].method === 'POST' ? real(...asked) : Promise.reject(new TypeError('the line is down'));
}"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[House]:
    """A ledger with one held file."""
    with house(tmp_path) as made:
        session = made.place.at(Status.PLANNED)
        made.place.hold(session, StoreDenied("no", to="sftp://store/x"))
        yield made


@contextmanager
def overview(home: House, browser: Browser, monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    """The first page of an operator."""
    monkeypatch.setattr(serving_module, "create", lambda _: home.app)
    login = home.logins.begin("otto", since=logins.logged_in(home.place.ledger, "otto"))
    with serving(home.board, "127.0.0.1", 0) as address:
        context = browser.new_context(base_url=address)
        try:
            context.add_cookies([{"name": NAME, "value": home.logins.written(login), "url": address}])
            page = context.new_page()
            page.goto("/")
            yield page
        finally:
            context.close()


def test_more_actions_than_a_browser_has_connections_are_all_answered(
    home: House, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each shows the page anew; the stream of the old one ends with it, also in a night in which nothing is sent."""
    with overview(home, browser, monkeypatch) as page:
        for _ in range(_CONNECTIONS + 2):
            page.evaluate(_BUTTON, LAB.name)
            page.locator("#once-more").click()
            page.locator("#act-go").click()
            expect(page.locator("#once-more")).to_have_count(0)
            expect(page.locator("#said")).to_contain_text("Done")


def test_what_was_done_is_told_although_the_page_cannot_be_loaded_again(
    home: House, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    with overview(home, browser, monkeypatch) as page:
        page.evaluate(_NO_PAGE)
        page.locator("[data-action=release]").first.click()
        page.locator("#act-go").click()
        expect(page.locator("#said")).to_have_text("Done: 1 file.")


def test_enter_in_a_field_of_one_line_confirms_once_and_in_the_reason_begins_a_line(
    home: House, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    with overview(home, browser, monkeypatch) as page:
        sent: list[str] = []
        page.on("request", lambda asked: sent.append(asked.url) if asked.method == "POST" else None)
        page.evaluate(_BUTTON, LAB.name)
        page.locator("#once-more").click()
        page.locator("#act-why").press("Enter")
        expect(page.locator("#act")).to_be_visible()
        page.locator("#act-level-field").fill("7")
        page.locator("#act-level-field").press("Enter")
        expect(page.locator("#act")).to_be_hidden()
        expect(page.locator("#said")).to_contain_text("Done")
    assert [url.rpartition("/")[2] for url in sent] == ["prioritise"]
    assert "prioritised" in [row.what for row in home.place.events(actor="person:otto")]


def test_a_timetable_is_written_from_what_holds_now(
    home: House, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    with overview(home, browser, monkeypatch) as page:
        page.goto("/bandwidth")
        page.locator("[data-action=timetable]").click()
        expect(page.locator("#act-week-field")).to_have_value("unlimited")
        page.locator("#act-week-field").fill("nonsense")
        page.locator("#act-why").fill("term begins")
        page.locator("#act-go").click()
        expect(page.locator("#act-refused")).to_contain_text("nonsense")
        page.locator("#act-week-field").fill("sat,sun 50MB/s\notherwise 20MB/s")
        page.locator("#act-go").click()
        expect(page.locator("#act-refused")).to_contain_text("time")
        page.locator("#act-week-field").fill("otherwise 20MB/s")
        page.locator("#act-go").click()
        expect(page.locator("#said")).to_contain_text("Done")
        expect(page.locator("main")).to_contain_text("here, by otto")
        page.locator("[data-action=untimetable]").click()
        page.locator("#act-go").click()
        expect(page.locator("main")).not_to_contain_text("here, by otto")
