"""Every page at zero, one and many; what is hostile stays text; who may only look is offered nothing."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import update

from dashboard.pages.rendering import environment
from tests.dashboard.entering import House, house
from tests.ledger.build import SPIKES, VIDEO, Place
from transfer.errors import LedgerUnavailable, StoreDenied, UnknownSession
from transfer.ledger import endpoints
from transfer.ledger.tables import datasets, sessions
from transfer.status import Status

LISTS = [
    "/",
    "/sessions",
    "/transfers",
    "/transfers?only=open",
    "/held",
    "/endpoints",
    "/workers",
    "/schedule",
]
LISTS += ["/bandwidth", "/notices", "/audit", "/errors", "/errors/E-2007"]
ONE = ["/sessions/1", "/files/1", "/transfers/1"]
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>\u202e\n{{ 7*7 }}"
EMPTY_ELEMENTS = {"meta", "link", "input", "img", "br", "hr", "rect"}


class Look(HTMLParser):
    """What a machine can see of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.labelled: set[str] = set()
        self.ids: list[str] = []
        self.text = self.title = ""
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == [], "a tag is never closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        self.tags.append((tag, told))
        if tag == "label" and told.get("for"):
            self.labelled.add(str(told["for"]))
        if told.get("id"):
            self.ids.append(str(told["id"]))
        if tag not in EMPTY_ELEMENTS:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in EMPTY_ELEMENTS:
            assert self._open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        if not self._open or self._open[-1] not in ("script", "style"):
            self.text += data
        if self._open == ["html", "head", "title"]:
            self.title += data

    def all(self, *tags: str) -> list[dict[str, str | None]]:
        return [told for tag, told in self.tags if tag in tags]


def looked(client: TestClient, address: str) -> Look:
    """The page, which must be there, and be right in all that a machine can see."""
    answer = client.get(address, headers={"Accept": "text/html"})
    assert answer.status_code == 200, (address, answer.text[:500])
    look = Look(answer.text)
    sound(look, address)
    return look


def sound(look: Look, address: str) -> None:
    assert len(look.all("h1")) == 1, address
    assert look.title, address
    assert len(look.all("main")) == 1, address
    assert len(set(look.ids)) == len(look.ids), f"{address}: an id stands twice"
    for tag, told in look.tags:
        assert not [name for name in told if name.startswith("on") or name == "style"], (address, tag, told)
        assert tag != "style", address
        assert tag != "script" or str(told.get("src", "")).startswith("/static/"), (address, told)
    for told in look.all("input", "select", "textarea"):
        named = told.get("type") == "hidden" or told.get("id") in look.labelled or told.get("aria-label")
        assert named, (address, told)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Nobody changes it."""
    with house(tmp_path_factory.mktemp("empty")) as made:
        yield made


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """The same with something of everything."""
    with house(tmp_path_factory.mktemp("full")) as made:
        furnished(made.place)
        yield made


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """The same with names and sentences that are markup."""
    with house(tmp_path_factory.mktemp("hostile")) as made:
        furnished(made.place)
        told = {"hold_text": HOSTILE, "error_text": HOSTILE}
        with made.place.ledger.writing() as connection:
            connection.execute(update(sessions).values(path=sessions.c.path + HOSTILE, **told))
            connection.execute(update(datasets).values(path=datasets.c.path + HOSTILE, unregistrable=HOSTILE))
        yield made


def furnished(place: Place) -> None:
    """A file on its way, a held one, a held session, one that arrived, a paused store."""
    endpoints.ensure(place.ledger, ["alyx", place.lab.repository, place.lab.store])
    place.at(Status.PLANNED, files=(SPIKES, VIDEO))
    held = place.at(Status.PLANNED, subject="SW_013")
    place.hold(held, StoreDenied("no", to="sftp://store/x"))
    place.at(Status.RECORDED, subject="SW_014")
    place.hold_session(place.seen("SW_015"), UnknownSession("Alyx has no such session"))
    endpoints.pause(place.ledger, place.lab.store, by="person:anne", reason="new disks")


@pytest.mark.parametrize("address", LISTS)
def test_a_page_of_an_empty_ledger_says_so(empty: House, address: str) -> None:
    look = looked(empty.person("anna"), address)
    assert look.all("nav")


def test_the_first_page_of_an_empty_ledger_shows_how_to_begin(empty: House) -> None:
    text = looked(empty.person("anna"), "/").text
    assert "alyx-transfer doctor" in text
    assert "All is quiet" in text


@pytest.mark.parametrize("address", [*LISTS, *ONE, "/act?action=cancel&target=session:1"])
def test_a_page_shows_what_there_is(full: House, address: str) -> None:
    looked(full.person("anna"), address)


def test_the_first_page_tells_a_bad_night_and_what_to_do(full: House) -> None:
    look = looked(full.person("otto"), "/")
    assert "Somebody must look" in look.text
    actions = {(told["data-action"], told["data-target"]) for told in look.all("a") if "data-action" in told}
    assert ("resume", f"endpoint:{full.place.lab.store}") in actions
    assert any(action == "release" and str(target).startswith("item:") for action, target in actions)
    assert any(action == "release" and str(target).startswith("session:") for action, target in actions)


@pytest.mark.parametrize("address", [*LISTS, *ONE])
def test_who_may_only_look_is_offered_no_action(full: House, address: str) -> None:
    look = looked(full.person("vera"), address)
    assert [told for told in look.all("a", "button") if "data-action" in told] == []
    posts = [told.get("action") for told in look.all("form") if told.get("method") == "post"]
    assert set(posts) <= {"/logout"}


@pytest.mark.parametrize("address", [*LISTS, *ONE])
def test_what_is_hostile_stays_text(hostile: House, address: str) -> None:
    look = looked(hostile.person("anna"), address)
    assert look.all("img") == []
    if address in ONE:
        assert "{{ 7*7 }}" in look.text


@settings(max_examples=60, deadline=None)
@given(words=st.text(max_size=60))
def test_no_name_is_ever_markup(words: str) -> None:
    """Through the templates themselves, with every macro that shows a name."""
    template = environment.from_string(
        '{% import "macros.html" as m with context %}{{ m.word("bad", words) }}{{ m.progress(1, 2, words) }}'
        "{{ m.action_button('release', words, words, words) }}{{ m.empty(words) }}{{ m.code(words) }}"
    )
    seen = re.findall(r"<(/?\w+)", template.render(words=words, now=None))
    assert set(seen) <= {"span", "/span", "progress", "/progress", "a", "/a", "p", "/p"}


@pytest.mark.parametrize(("seconds", "words"), [(90, "in 1 min 30 s"), (0, "any moment"), (-5, "any moment")])
def test_what_is_still_to_come_is_never_said_to_be_over(seconds: int, words: str) -> None:
    now = datetime(2026, 3, 4, 12, tzinfo=UTC)
    template = environment.from_string('{% import "macros.html" as m with context %}{{ m.ahead(moment) }}')
    assert f"data-ahead>{words}</time>" in template.render(moment=now + timedelta(seconds=seconds), now=now)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_wish_in_an_address_breaks_a_page(data: st.DataObject, quiet: TestClient) -> None:
    words = st.text(max_size=20) | st.sampled_from(
        ["2026-03-04", "moving", "2026-03-04~1", "x~y", "\x00", "9" * 30, "-1"]
    )
    address = data.draw(
        st.sampled_from(
            [
                "/sessions",
                "/transfers",
                "/audit",
                "/sessions/1",
                "/transfers/1",
                "/act",
                "/errors/x",
                "/login",
            ]
        )
    )
    names = st.sampled_from(
        ["subject", "lab", "since", "until", "state", "after", "only", "by", "action", "target", "next"]
    )
    query = data.draw(st.dictionaries(names, words, max_size=4))
    answer = quiet.get(
        address,
        params={key: value.encode("utf-8", "replace") for key, value in query.items()},
        headers={"Accept": "text/html"},
    )
    assert answer.status_code < 500, (address, query, answer.text[:300])
    if "text/html" in answer.headers.get("content-type", "") and answer.status_code != 303:
        Look(answer.text)


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with house(tmp_path_factory.mktemp("quiet")) as made:
        made.place.at(Status.PLANNED)
        yield made.person("anna")


def test_sessions_are_searched_and_each_wish_can_be_taken_back(full: House) -> None:
    anna = full.person("anna")
    look = looked(anna, "/sessions?subject=SW_01&state=held")
    assert "SW_013" in look.text
    assert "SW_014" not in look.text
    chips = [
        str(told["href"])
        for told in look.all("a")
        if str(told.get("aria-label", "")).startswith("Search without")
    ]
    assert sorted(chips) == ["/sessions?state=held", "/sessions?subject=SW_01"]
    wrong = looked(anna, "/sessions?since=yesterday")
    assert "is no day" in wrong.text


def test_what_needs_a_person_leads_to_its_page(full: House) -> None:
    look = looked(full.person("vera"), "/")
    leads = {str(told.get("href")) for told in look.all("a")}
    assert any(re.fullmatch(r"/sessions/\d+", one) for one in leads)
    assert any(re.fullmatch(r"/files/\d+", one) for one in leads)
    assert "/endpoints" in leads


# ---- failures


def test_a_page_that_is_not_there_says_so_with_a_code(empty: House) -> None:
    answer = empty.person("anna").get("/sessions/99", headers={"Accept": "text/html"})
    assert answer.status_code == 404
    look = Look(answer.text)
    sound(look, "/sessions/99")
    assert "E-4008" in look.text


def test_a_ledger_that_is_away_is_told_and_nothing_else(
    empty: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna = empty.person("anna")

    def away(*_: Any, **__: Any) -> None:
        raise LedgerUnavailable("the database of McAllister does not answer", to="sqlite")

    monkeypatch.setattr("dashboard.pages.overview.overview", away)
    answer = anna.get("/", headers={"Accept": "text/html"})
    assert answer.status_code == 503
    assert "Retry-After" in answer.headers
    assert "Traceback" not in answer.text
    assert "The database of McAllister does not answer: sqlite." in answer.text
    sound(Look(answer.text), "/")
