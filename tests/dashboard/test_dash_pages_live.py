"""What changes by itself: the ledger is asked once for everybody, and only what changed is sent."""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import pytest

from dashboard import serving as serving_module
from dashboard.pages import live
from dashboard.pages.live import Watch
from dashboard.serving import serving
from tests.dashboard.entering import House, house
from transfer.errors import LedgerUnavailable, StoreDenied, UnknownSession
from transfer.ledger import tokens
from transfer.ledger.glance.overview import overview
from transfer.status import Status

Answer = TypeVar("Answer")
QUIET = "All is quiet."
NEVER, ALWAYS = float("inf"), 0.0
SOON = 0.02  # seconds between two looks, where a test waits for one
TOLD = {"headline", "night", "matters", "moving", "routes", "curve", "days", "places", "failures"}


@pytest.fixture
def home(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path) as made:
        yield made


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each time the ledger is asked."""
    counted: list[int] = []

    def asked(ledger: Any) -> Any:
        counted.append(1)
        return overview(ledger)

    monkeypatch.setattr(live, "overview", asked)
    return counted


def run(asked: Coroutine[Any, Any, Answer]) -> Answer:
    """In a thread of its own: browser tests in this process leave a loop that runs in ours."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, asked).result()


def seen(watch: Watch, *, acts: bool = True) -> dict[str, str]:
    return {name: part.html for name, part in run(watch.now(acts=acts)).items()}


def hold(home: House, subject: str) -> int:
    session = home.place.at(Status.PLANNED, subject=subject)
    home.place.hold(session, StoreDenied("no", to="sftp://store/x"))
    return session


def test_a_hundred_pages_ask_the_ledger_once(
    home: House, looks: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "EVERY", NEVER)
    watch = Watch(home.board)

    async def everybody() -> list[Any]:
        return await asyncio.gather(*(watch.now(acts=bool(number % 2)) for number in range(100)))

    answers = run(everybody())
    assert len(looks) == 1
    assert {frozenset(answer) for answer in answers} == {frozenset(TOLD)}


def test_a_page_that_goes_while_the_ledger_is_asked_does_not_make_the_next_ask_anew(
    home: House, looks: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "EVERY", NEVER)
    watch = Watch(home.board)
    counted = live.__dict__["overview"]
    begun, gone = threading.Event(), threading.Event()

    def slow(ledger: Any) -> Any:
        begun.set()
        gone.wait()
        return counted(ledger)

    monkeypatch.setattr(live, "overview", slow)

    async def first_goes() -> None:
        first = asyncio.create_task(watch.now(acts=True))
        await asyncio.to_thread(begun.wait)
        first.cancel()
        gone.set()
        await asyncio.gather(first, return_exceptions=True)
        await watch.now(acts=True)

    run(first_goes())
    assert len(looks) == 1


def test_buttons_are_sent_to_those_who_may_press_them(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "EVERY", NEVER)
    hold(home, "SW_013")
    watch = Watch(home.board)
    assert 'data-action="release"' in seen(watch, acts=True)["matters"]
    assert "data-action" not in "".join(seen(watch, acts=False).values())


def test_the_fragments_are_what_the_page_shows(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """So nothing jumps when the stream begins."""
    monkeypatch.setattr(live, "EVERY", NEVER)
    hold(home, "SW_013")
    home.place.clock.forward(hours=1)
    page = home.person("otto").get("/", headers={"Accept": "text/html"}).text
    found = seen(Watch(home.board))
    for name in TOLD - {"headline"}:
        assert found[name].strip() in page
    assert f"<strong>{found['headline']}</strong>" in page


def test_what_needs_a_person_is_no_news_because_it_grew_older(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "EVERY", ALWAYS)
    hold(home, "SW_013")
    watch = Watch(home.board)
    before = run(watch.now(acts=True))
    home.place.clock.forward(seconds=50)
    after = run(watch.now(acts=True))
    assert before["matters"].html != after["matters"].html
    assert before["matters"].shows == after["matters"].shows
    hold(home, "SW_014")
    assert run(watch.now(acts=True))["matters"].shows != before["matters"].shows


def test_while_the_ledger_is_away_the_last_stays_under_a_line_that_says_so(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "EVERY", ALWAYS)
    hold(home, "SW_013")
    watch = Watch(home.board)
    before = seen(watch)
    with monkeypatch.context() as patch:
        patch.setattr(live, "overview", away)
        during = seen(watch)
    assert during["matters"] == before["matters"]
    assert "the ledger cannot be asked" in during["night"]
    assert "<b>" not in during["night"]
    assert seen(watch)["headline"] == before["headline"]


def away(_ledger: Any) -> Any:
    raise LedgerUnavailable("the database does not answer <b>", to="sqlite")


# ---- the stream itself, of a real server


@pytest.fixture
def served(home: House, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The house on a port of its own, looking often."""
    monkeypatch.setattr(live, "EVERY", SOON)
    monkeypatch.setattr(serving_module, "create", lambda _: home.app)
    with serving(home.board, "127.0.0.1", 0) as address:
        yield address


class Listener:
    """Reads events one after the other."""

    def __init__(self, answer: httpx2.Response) -> None:
        self._lines = answer.iter_lines()
        self.events = iter(self)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """Names and data of events, until the stream ends."""
        name = ""
        data: list[str] = []
        for line in self._lines:
            field, _, value = line.partition(": ")
            if field == "event":
                name = value
            elif field == "data":
                data.append(value)
            elif not line and name:
                yield name, "\n".join(data)
                name, data = "", []

    def until(self, name: str, words: str) -> set[str]:
        """The names of what came before an event that says this."""
        before: set[str] = set()
        for told, data in self.events:
            if told == name and words in data:
                return before
            before.add(told)
        raise AssertionError(f"the stream ended without {words}")


def test_only_what_changed_is_sent(home: House, served: str) -> None:
    cookie = {"Cookie": home.person("otto").headers["Cookie"]}
    with httpx2.stream("GET", f"{served}/live/overview", headers=cookie, timeout=20) as answer:
        listener = Listener(answer)
        assert {next(listener.events)[0] for _ in TOLD} == TOLD
        session = home.place.seen("SW_013")
        home.place.hold_session(session, UnknownSession("Alyx has no such session"))
        before = listener.until("matters", "SW_013")
    assert "moving" not in before


def test_a_stream_outlasts_a_ledger_that_is_away(
    home: House, served: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when it would be asked whether who looks still may."""
    monkeypatch.setattr(live, "_STILL_IN", ALWAYS)
    cookie = {"Cookie": home.person("vera").headers["Cookie"]}
    with httpx2.stream("GET", f"{served}/live/overview", headers=cookie, timeout=20) as answer:
        listener = Listener(answer)
        listener.until("headline", QUIET)
        with monkeypatch.context() as patch:
            patch.setattr(live, "overview", away)
            patch.setattr(live, "still_in", away)
            listener.until("headline", "the ledger cannot be asked")
        listener.until("headline", QUIET)


def test_a_stream_ends_when_its_token_is_revoked(
    home: House, served: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "_STILL_IN", ALWAYS)
    _, secret = tokens.make(home.place.ledger, "wall", "viewer")
    told = {"Authorization": f"Bearer {secret}"}
    with httpx2.stream("GET", f"{served}/live/overview", headers=told, timeout=20) as answer:
        listener = Listener(answer)
        listener.until("moving", "Nothing moves")
        tokens.revoke(home.place.ledger, "wall")
        for _ in listener.events:
            pass


def test_nobody_listens_without_a_login(served: str) -> None:
    answer = httpx2.get(f"{served}/live/overview", headers={"Accept": "text/event-stream"})
    assert answer.status_code in (303, 401)
