"""The dashboard's word on notices: who is told, the test, and silence for a lab."""

import getpass
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from config.settings import load
from dashboard.app import create
from dashboard.board import Board
from tests import receivers
from tests.ledger.build import LAB, Place
from tests.receivers import PASSWORD, TOKEN, Web
from transfer.ledger import notices

ACTOR = f"person:{getpass.getuser()}"
CONFIG = """
[alyx]
url = "https://alyx.example.org"
user = "transfer_bot"
password = "hunter2"
[ledger]
url = "{ledger}"
[dashboard]
login = "none"
[labs.{lab}]
repository = "{repository}"
root = "{root}/Subjects"
work = "disk"
store = "{store}"
[stores.{store}]
transport = "local"
root = "{root}-store"
"""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    yield made
    made.close()


@pytest.fixture
def web() -> Iterator[Web]:
    with receivers.web() as receiver:
        yield receiver


@pytest.fixture
def config(tmp_path: Path, place: Place) -> Path:
    made = tmp_path / "config.toml"
    made.write_text(
        CONFIG.format(
            ledger=place.url, lab=LAB.name, repository=LAB.repository, store=LAB.store, root=tmp_path
        )
    )
    made.chmod(0o600)
    return made


@pytest.fixture
def targets(config: Path, web: Web) -> Path:
    """The file of targets, with one of them; the config names it."""
    made = config.with_name("targets")
    made.write_text(f"{LAB.name} {web.url}\n")
    made.chmod(0o600)
    with config.open("a") as file:
        file.write(f'[notices]\ntargets_file = "{made}"\n')
    return made


def client(config: Path, place: Place) -> TestClient:
    board = Board(settings=load(config, {}), ledger=place.ledger, ring=lambda *_: True, version="1")
    return TestClient(create(board), base_url="http://127.0.0.1:8420", raise_server_exceptions=False)


def test_it_says_who_is_told_without_an_address(config: Path, place: Place, targets: Path) -> None:
    answer = client(config, place).get("/api/v1/notices")

    assert answer.status_code == 200
    (target,) = answer.json()["targets"]
    assert target["labs"] == [LAB.name]
    assert target["failing"] is None
    assert PASSWORD not in answer.text
    assert TOKEN not in answer.text


def test_without_a_file_nobody_is_told_and_a_test_says_how_to_begin(config: Path, place: Place) -> None:
    asking = client(config, place)

    assert asking.get("/api/v1/notices").json()["on"] is False
    answer = asking.post("/api/v1/notices/test")
    assert answer.status_code == 404
    assert "targets_file" in answer.json()["remedy"]


def test_the_test_message_is_sent_and_a_target_that_failed_is_told(
    config: Path, place: Place, targets: Path, web: Web
) -> None:
    asking = client(config, place)

    assert [row["sent"] for row in asking.post("/api/v1/notices/test").json()["rows"]] == [True]
    web.status = 500
    (row,) = asking.post("/api/v1/notices/test").json()["rows"]
    assert (row["sent"], "500" in row["why"]) == (False, True)
    assert PASSWORD not in row["why"]
    assert len(web.got) == 1


def test_a_file_that_cannot_be_used_is_told_and_not_quoted(config: Path, place: Place, targets: Path) -> None:
    asking = client(config, place)
    targets.write_text(f"nosuchthing://{PASSWORD}\n")

    assert "line 1" in asking.get("/api/v1/notices").json()["trouble"]
    answer = asking.post("/api/v1/notices/test")
    assert (answer.status_code, answer.json()["code"]) == (409, "E-5020")
    assert PASSWORD not in answer.text


def test_a_lab_is_silenced_for_some_hours_with_a_name_and_a_reason(config: Path, place: Place) -> None:
    asking = client(config, place)

    answer = asking.post("/api/v1/notices/silence", json={"lab": LAB.name, "hours": 2, "why": "moving"})
    assert answer.status_code == 200, answer.text
    (silence,) = asking.get("/api/v1/notices").json()["silences"]
    assert (silence["lab"], silence["by"], silence["why"]) == (LAB.name, ACTOR, "moving")
    assert silence["until"].startswith("2026-03-04T14:00")

    assert asking.post("/api/v1/notices/unsilence", json={"lab": LAB.name}).json()["ended"] is True
    assert asking.post("/api/v1/notices/unsilence", json={"lab": LAB.name}).json()["ended"] is False
    assert notices.silenced(place.ledger) == []
    assert [row.what for row in place.events(actor=ACTOR)] == ["silenced", "silence ended"]


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"lab": LAB.name}, 422),  # without a reason
        ({"lab": LAB.name, "why": "moving", "hours": 0}, 422),
        ({"lab": LAB.name, "why": "moving", "hours": 1e9}, 422),
        ({"lab": "another", "why": "moving"}, 404),
        ({"lab": "\x00", "why": "moving"}, 422),
    ],
)
def test_a_silence_that_cannot_be_is_refused(
    config: Path, place: Place, asked: dict[str, object], status: int
) -> None:
    assert client(config, place).post("/api/v1/notices/silence", json=asked).status_code == status
    assert notices.silenced(place.ledger) == []


# ---- the page


def field(page: str) -> str:
    """The CSRF token that the page's forms carry."""
    found = re.search(r'name="csrf_token" value="([^"]+)"', page)
    assert found is not None
    return found[1]


def test_the_page_shows_who_is_told_and_sends_a_test(
    config: Path, place: Place, targets: Path, web: Web
) -> None:
    asking = client(config, place)

    page = asking.get("/notices")
    assert page.status_code == 200
    assert page.text.count("<h1") == 1
    assert PASSWORD not in page.text
    web.status = 500
    tested = asking.post("/notices/test", data={"csrf_token": field(page.text)})
    assert tested.status_code == 200, tested.text
    assert "not sent" in tested.text
    assert TOKEN not in tested.text


def test_the_page_silences_a_lab_and_speaks_of_it_again(config: Path, place: Place) -> None:
    asking = client(config, place)
    sent = {"csrf_token": field(asking.get("/notices").text), "lab": LAB.name}

    page = asking.post("/notices/silence", data={**sent, "hours": "24", "why": "<script>moving"})
    assert page.status_code == 200, page.text
    assert "&lt;script&gt;moving" in page.text
    assert "2026-03-05 12:00 UTC" in page.text
    assert "No lab is silenced" in asking.post("/notices/unsilence", data=sent).text


@pytest.mark.parametrize("sent", [{}, {"csrf_token": "another"}])
def test_the_page_changes_nothing_without_its_own_token(
    config: Path, place: Place, sent: dict[str, str]
) -> None:
    asking = client(config, place)
    said = {**sent, "lab": LAB.name, "why": "moving"}

    answer = asking.post("/notices/silence", data=said, headers={"Origin": "http://127.0.0.1:8420"})
    assert answer.status_code == 403
    assert notices.silenced(place.ledger) == []


def test_the_page_says_that_the_file_cannot_be_used(config: Path, place: Place, targets: Path) -> None:
    asking = client(config, place)
    targets.write_text("nonsense\n")

    assert "line 1 does not end with an address" in asking.get("/notices").text
