"""A real Chromium, and pages of it that fail the test when they complain."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

from tests import servers
from tests.browser.lab import Lab

SCREENSHOTS = "ALYX_TRANSFER_TEST_SCREENSHOTS"
"""The variable that names the folder where pictures are kept; else they go where the test writes."""

_PATIENCE = 20_000  # milliseconds until what must be seen is said not to come

_ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
_VIOLATIONS = """
document.addEventListener('securitypolicyviolation',
    event => console.error(`policy violated: ${event.violatedDirective} ${event.blockedURI}`));
"""


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """This machine's Chromium; missing, the tests fail under CI=true and are skipped elsewhere."""
    chromium = servers.need("chromium", install="apt-get install chromium")
    expect.set_options(timeout=_PATIENCE)
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=_ARGUMENTS)
        yield opened
        opened.close()


@dataclass
class Visitor:
    """One person's browser.  What the pages complained of stands in `complaints`."""

    browser: Browser
    lab: Lab
    screenshots: Path
    complaints: list[str] = field(default_factory=list)
    contexts: list[BrowserContext] = field(default_factory=list)

    def page(self, *, width: int = 1280, dark: bool = False, **more: object) -> Page:
        """An empty page of a browser in which nobody is logged in."""
        context = self.browser.new_context(
            base_url=self.lab.address,
            viewport={"width": width, "height": 900},
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
            **more,  # type: ignore[arg-type]
        )
        context.set_default_timeout(_PATIENCE)
        context.add_init_script(_VIOLATIONS)
        self.contexts.append(context)
        page = context.new_page()
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        return page

    def logged_in(self, name: str, **more: object) -> Page:
        """A page of somebody who has just logged in, at the overview."""
        page = self.page(**more)  # type: ignore[arg-type]
        self.log_in(page, name)
        return page

    def log_in(self, page: Page, name: str) -> None:
        page.goto("/login")
        self.fill_in(page, name)
        page.wait_for_url(lambda url: "/login" not in url)

    def fill_in(self, page: Page, name: str, *, password: str | None = None) -> None:
        """Fill in the form of the login and send it."""
        page.get_by_label("Alyx user").fill(name)
        page.get_by_label("Alyx password").fill(password or self.lab.password)
        page.get_by_role("button", name="Log in").click()

    def keep(self, page: Page, name: str) -> None:
        """Save a picture of the whole page."""
        page.screenshot(path=self.screenshots / f"{name}.png", full_page=True)

    def taken(self, address: str) -> int:
        """Take back complaints of refused requests that a test makes on purpose; answers how many there were."""
        expected = [said for said in self.complaints if "Failed to load resource" in said and address in said]
        self.complaints = [said for said in self.complaints if said not in expected]
        return len(expected)

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.complaints.append(f"{message.text} ({message.location.get('url')})")


@pytest.fixture
def visiting(browser: Browser, tmp_path: Path) -> Iterator[Callable[[Lab], Visitor]]:
    """Begin a visit to a lab; at the end nothing may have been complained of."""
    folder = Path(os.environ.get(SCREENSHOTS, tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    begun: list[Visitor] = []

    def begin(lab: Lab) -> Visitor:
        begun.append(Visitor(browser, lab, folder))
        return begun[-1]

    yield begin
    for visitor in begun:
        for context in visitor.contexts:
            context.close()
    assert [said for visitor in begun for said in visitor.complaints] == []
