"""An action without scripts: asked on a page of its own, done once, and said on the page of what it was for."""

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from httpx2 import Response

from dashboard.pages import flashes
from tests.dashboard.entering import House, house
from tests.dashboard.test_dash_pages import Look, furnished, looked, sound
from transfer.ledger import bandwidth

HTML = {"Accept": "text/html"}


@pytest.fixture
def home(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path) as made:
        yield made


def test_an_action_is_done_once_however_often_it_is_sent(home: House) -> None:
    furnished(home.place)
    otto = home.person("otto")
    form = {
        "action": "cancel",
        "target": "session:1",
        "why": "moved house",
        "csrf_token": otto.headers["X-CSRF-Token"],
    }
    said = [otto.post("/act", data=form, headers=HTML) for _ in range(2)]
    assert [answer.status_code for answer in said] == [303, 303]
    assert said[0].headers["location"] == "/sessions/1"
    assert "Done: 2 files" in told(home, said[0])
    assert "stood like this already" in told(home, said[1])
    done = [row.why for row in home.place.events(actor="person:otto") if row.subject == "item"]
    assert done == ["moved house", "moved house"]


def told(home: House, answer: Response) -> str:
    """What is said on the page that the browser goes to."""
    cookie = answer.headers["set-cookie"].partition(";")[0]
    otto = home.person("otto")
    otto.headers["Cookie"] += f"; {cookie}"
    page = otto.get(answer.headers["location"], headers=HTML)
    sound(Look(page.text), answer.headers["location"])
    assert flashes.NAME in page.headers["set-cookie"], "it would be said on every page"
    found = re.search(r'<p id="said"[^>]*>([^<]*)</p>', page.text)
    assert found
    assert found.start() < page.text.index("<main"), "a screen reader hears what stands beside the content"
    return found[1]


def test_what_a_page_says_was_written_by_the_dashboard(home: House) -> None:
    otto = home.person("otto")
    otto.headers["Cookie"] += f"; {flashes.NAME}=IlNlbmQgeW91ciBwYXNzd29yZCI.aaaa.bbbb"
    assert re.search(r'<p id="said"[^>]*></p>', otto.get("/held", headers=HTML).text)


def test_a_limit_without_scripts_may_end_by_itself(home: House) -> None:
    otto = home.person("otto")
    form = {"action": "limit", "target": "lab:cortexlab", "why": "backup", "rate": "5MB/s", "hours": "2"}
    sent = {**form, "csrf_token": otto.headers["X-CSRF-Token"]}
    answer = otto.post("/act", data=sent, headers=HTML)
    assert (answer.status_code, answer.headers["location"]) == (303, "/bandwidth")
    wish, _ = bandwidth.said(home.place.ledger, home.place.lab.repository)
    assert wish
    assert wish.until
    assert wish.until - wish.since == timedelta(hours=2)
    otto.post("/act", data=sent | {"hours": ""}, headers=HTML)
    wish, _ = bandwidth.said(home.place.ledger, home.place.lab.repository)
    assert wish
    assert wish.until is None


def test_a_timetable_is_written_on_the_page_and_taken_back(home: House) -> None:
    otto = home.person("otto")
    form = {"target": "lab:cortexlab", "why": "term begins", "csrf_token": otto.headers["X-CSRF-Token"]}
    week = "unlimited; nonsense"
    wrong = otto.post("/act", data={**form, "action": "timetable", "timetable": week}, headers=HTML)
    assert wrong.status_code == 422
    assert week in wrong.text, "what was typed is kept"
    done = otto.post(
        "/act", data={**form, "action": "timetable", "timetable": "otherwise 7MB/s"}, headers=HTML
    )
    assert "Done" in told(home, done)
    look = looked(otto, "/bandwidth")
    assert "otherwise 7MB/s" in look.text
    assert "here, by otto" in look.text
    assert "the timetable that otto set: term begins" in look.text
    assert "otherwise 7MB/s" in looked(otto, "/act?action=timetable&target=lab:cortexlab").text
    otto.post("/act", data={**form, "action": "untimetable"}, headers=HTML)
    assert "in the config" in looked(otto, "/bandwidth").text


def test_an_action_that_needs_a_reason_is_not_done_without(home: House) -> None:
    furnished(home.place)
    otto = home.person("otto")
    form = {"action": "pause", "target": "lab:cortexlab", "csrf_token": otto.headers["X-CSRF-Token"]}
    answer = otto.post("/act", data=form, headers=HTML)
    assert answer.status_code == 422
    assert "say why" in answer.text
    assert [row.what for row in home.place.events(actor="person:otto")] == ["logged_in"]


@pytest.mark.parametrize(
    "asked",
    [{"action": "destroy", "target": "session:1"}, {"action": "cancel", "target": "moon:1", "why": "x"}],
)
def test_an_action_that_is_none_says_so(home: House, asked: dict[str, str]) -> None:
    otto = home.person("otto")
    answer = otto.post("/act", data={**asked, "csrf_token": otto.headers["X-CSRF-Token"]}, headers=HTML)
    assert 400 <= answer.status_code < 500
