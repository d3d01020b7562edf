"""Coming in and going out, in a browser, with the sandbox Alyx's accounts."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visitor
from tests.browser.lab import ADMIN, VISITOR, Lab, lab
from transfer.ledger import notices

Visiting = Callable[[Lab], Visitor]


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab with one small session."""
    with lab(tmp_path_factory.mktemp("quiet") / "box", sessions=1) as opened:
        yield opened


def test_somebody_of_alyx_logs_in_and_is_led_to_the_page_they_wanted(quiet: Lab, visiting: Visiting) -> None:
    visitor = visiting(quiet)
    page = visitor.page()
    page.goto("/notices")
    expect(page).to_have_title("Log in · alyx-transfer")
    visitor.keep(page, "login")

    visitor.fill_in(page, ADMIN)

    expect(page.get_by_role("heading", name="Notices", level=1)).to_be_visible()
    assert page.url.endswith("/notices")


def test_a_wrong_password_is_refused_and_said_aloud(quiet: Lab, visiting: Visiting) -> None:
    visitor = visiting(quiet)
    page = visitor.page()
    page.goto("/login")
    visitor.fill_in(page, ADMIN, password="not the password")

    expect(page.get_by_role("alert")).to_be_visible()
    assert page.get_by_label("Alyx password").input_value() == ""
    assert visitor.taken("/login") == 1


def test_the_login_is_a_cookie_that_no_script_reads(quiet: Lab, visiting: Visiting) -> None:
    page = visiting(quiet).logged_in(ADMIN)

    (cookie,) = page.context.cookies()
    assert cookie["httpOnly"]
    assert cookie["sameSite"] == "Strict"
    assert page.evaluate("document.cookie") == ""


def test_who_logs_out_is_out_in_every_window(quiet: Lab, visiting: Visiting) -> None:
    visitor = visiting(quiet)
    page, other = visitor.logged_in(VISITOR), visitor.logged_in(VISITOR)
    page.goto("/notices")

    page.get_by_role("button", name="Log out").click()
    expect(page).to_have_title("Log in · alyx-transfer")
    other.goto("/notices")
    expect(other).to_have_title("Log in · alyx-transfer")


def test_a_viewer_is_shown_no_button_that_they_may_not_press(quiet: Lab, visiting: Visiting) -> None:
    page = visiting(quiet).logged_in(VISITOR)
    page.goto("/notices")

    assert page.get_by_role("button").all_inner_texts() == ["Dark", "Log out"]


def test_an_admin_silences_a_lab_and_the_page_says_who_and_why(quiet: Lab, visiting: Visiting) -> None:
    visitor = visiting(quiet)
    page = visitor.logged_in(ADMIN)
    page.goto("/notices")
    page.get_by_label("For", exact=True).select_option("3 days")
    page.locator("main").get_by_label("Why").fill("<b>the rig is moved</b>")
    page.get_by_role("button", name="Silence it").click()

    row = page.get_by_role("row").filter(has_text="demolab")
    expect(row).to_contain_text(ADMIN)
    expect(row).to_contain_text("<b>the rig is moved</b>")
    visitor.keep(page, "notices")
    assert [one.by for one in notices.silenced(quiet.ledger)] == [f"person:{ADMIN}"]

    page.get_by_role("button", name="Speak of demolab again").click()
    expect(page.get_by_text("No lab is silenced.")).to_be_visible()
