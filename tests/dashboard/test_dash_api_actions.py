"""What the actions of the API do: at once, once, with the person and the reason written down, and rung for."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from config.rounds import SWEEP
from dashboard.app import create
from tests.dashboard.entering import House, house
from tests.ledger.build import LAB, SPIKES, VIDEO
from transfer.errors import StoreDenied
from transfer.ledger import bandwidth, endpoints
from transfer.status import Status

ACTIONS = "/api/v1/actions"
DENIED = StoreDenied("the store refused to write", to="alf")


@dataclass
class Room:
    """A house whose rings are kept; `hears` is whether a broker carries them."""

    house: House
    rung: list[tuple[str, ...]] = field(default_factory=list)
    hears: bool = True

    def __post_init__(self) -> None:
        made = self.house
        made.app = create(replace(made.board, ring=self._ring))
        made.furnish(made.app)
        self.program = made.program("operator")

    def _ring(self, *words: str, queue: str = "") -> bool:
        self.rung.append(words)
        return self.hears

    def act(self, action: str, target: str, **more: Any) -> dict[str, Any]:
        """What the action answers; its `why` is "because"."""
        body = {"target": target, "why": "because", **more}
        answer = self.program.post(f"{ACTIONS}/{action}", json=body)
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told

    def events(self) -> list[tuple[str, str, str | None]]:
        """What was written down of the token, but for the token's own making."""
        rows = self.house.place.events(actor="person:token operator-0")
        return [(row.subject, row.what, row.why) for row in rows]


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with house(tmp_path) as made:
        yield Room(made)


def nothing(told: dict[str, Any]) -> bool:
    return not (told["files"] or told["sessions"] or told["batches"] or told["endpoints"])


# ---- all of them


WHAT: dict[str, tuple[str, dict[str, Any], set[str]]] = {
    "release": (f"endpoint:{LAB.store}", {}, {"resumed"}),
    "retry": (f"endpoint:{LAB.store}", {}, {"resumed"}),
    "cancel": ("session:1", {}, {"cancelled"}),
    "pause": (f"lab:{LAB.name}", {}, {"paused"}),
    "resume": (f"endpoint:{LAB.store}", {}, {"resumed"}),
    "prioritise": ("session:1", {"level": 7}, {"prioritised"}),
    "limit": (f"lab:{LAB.name}", {"rate": "5MB/s", "seconds": 60}, {"limited"}),
    "unlimit": (f"endpoint:{LAB.repository}", {}, {"limit cleared"}),
    "timetable": (f"lab:{LAB.name}", {"entries": ["otherwise 5MB/s"]}, {"timetable set"}),
    "untimetable": (f"endpoint:{LAB.repository}", {}, {"timetable cleared"}),
}
"""Of each action: a target, what it needs besides, and the events that it leaves."""


def prepared(room: Room) -> None:
    """A file on its way, the store paused, the lab limited by hand and by a timetable."""
    ledger = room.house.place.ledger
    room.house.place.at(Status.SENT)
    endpoints.pause(ledger, LAB.store, by="person:anna", reason="a reason")
    room.house.person("anna").post(
        f"{ACTIONS}/limit", json={"target": f"lab:{LAB.name}", "rate": "1MB/s", "why": "x"}
    )
    bandwidth.set_timetable(ledger, LAB.repository, ["otherwise 1MB/s"], timezone=None, why="x")
    room.rung.clear()


def test_every_action_is_tried_here(room: Room) -> None:
    there = {path for path in room.house.app.openapi()["paths"] if path.startswith(ACTIONS)}
    assert there == {f"{ACTIONS}/{name}" for name in (*WHAT, "release-all")}


@pytest.mark.parametrize("action", WHAT)
def test_an_action_leaves_its_event_with_person_and_reason_and_rings(room: Room, action: str) -> None:
    prepared(room)
    target, more, left = WHAT[action]

    told = room.act(action, target, **more)

    assert not nothing(told)
    assert told["heard"] is True
    assert {what for _, what, _ in room.events()} == left
    assert {why for _, _, why in room.events()} == {"because"}
    assert room.rung == [(SWEEP, LAB.name), (SWEEP,)]


@pytest.mark.parametrize("action", [name for name in WHAT if name != "limit"])
def test_an_action_may_be_repeated_and_then_changes_nothing(room: Room, action: str) -> None:
    """No second event, and nobody is rung for."""
    prepared(room)
    target, more, _ = WHAT[action]
    room.act(action, target, **more)
    before = room.events()
    room.rung.clear()

    assert nothing(room.act(action, target, **more))
    assert (room.events(), room.rung) == (before, [])


def test_a_timetable_that_cannot_be_read_is_refused_as_the_config_refuses_it(room: Room) -> None:
    body = {"target": f"lab:{LAB.name}", "why": "x", "entries": ["mon-fri 08:00-19:00 20MB/s"]}
    answer = room.program.post(f"{ACTIONS}/timetable", json=body)
    assert answer.status_code == 422
    assert "needs to know whose hours these are" in answer.json()["problems"][0]


def test_the_timetable_that_holds_is_told_beside_the_configs(room: Room) -> None:
    room.act("timetable", f"lab:{LAB.name}", entries=["unlimited"])
    (row,) = room.program.get("/api/v1/bandwidth").json()["rows"]
    assert (row["timetable"], row["timetable_by"]) == (["unlimited"], "person:token operator-0")
    assert row["config_timetable"] == ["unlimited"]


def test_it_is_said_when_no_worker_heard(room: Room) -> None:
    prepared(room)
    room.hears = False
    assert room.act("cancel", "session:1")["heard"] is False


@pytest.mark.parametrize("action", ["cancel", "pause", "limit"])
@pytest.mark.parametrize("why", [None, "", "\0", 3])
def test_what_keeps_others_waiting_needs_a_reason(room: Room, action: str, why: object) -> None:
    prepared(room)
    target, more, _ = WHAT[action]
    body = {"target": target, "why": why, **more}
    if why is None:
        del body["why"]

    answer = room.program.post(f"{ACTIONS}/{action}", json=body)

    assert (answer.status_code, answer.json()["code"]) == (422, "E-5010")
    assert any("why" in one for one in answer.json()["problems"])
    assert room.events() == []


@pytest.mark.parametrize("action", WHAT)
def test_a_field_that_is_not_known_is_refused(room: Room, action: str) -> None:
    """A misspelt field must not be a wish that is silently not heeded."""
    prepared(room)
    target, more, _ = WHAT[action]

    answer = room.program.post(
        f"{ACTIONS}/{action}", json={"target": target, "why": "x", "until_when": 1, **more}
    )

    assert answer.status_code == 422
    assert "until_when" in answer.json()["detail"]
    assert room.events() == []


# ---- what each does to the work


def test_a_paused_lab_is_not_claimed_from_and_the_answer_names_the_place(room: Room) -> None:
    """By workers that run: they ask the ledger."""
    place = room.house.place
    place.at(Status.PLANNED)

    assert room.act("pause", f"lab:{LAB.name}")["endpoints"] == [LAB.repository]
    assert place.ledger.claim_batch(60) is None
    assert room.act("resume", f"lab:{LAB.name}")["endpoints"] == [LAB.repository]
    assert place.ledger.claim_batch(60) is not None


def test_a_held_file_is_released_and_one_that_is_named_is_retried(room: Room) -> None:
    place = room.house.place
    session = place.at(Status.SENT)
    place.hold(session, DENIED)

    assert room.act("release", "session:1")["files"] == 1
    assert (place.item(session).hold, place.item(session).status) == (None, Status.SENT)

    place.hold(session, DENIED)
    assert room.act("retry", f"item:{place.item(session).id}")["files"] == 1
    assert (place.item(session).hold, place.item(session).status) == (None, Status.DISCOVERED)


def test_everything_of_one_hold_is_released(room: Room) -> None:
    place = room.house.place
    denied, cancelled = place.at(Status.SENT, "KS001"), place.at(Status.SENT, "KS002", [SPIKES, VIDEO])
    place.hold(denied, DENIED)
    room.act("cancel", f"session:{cancelled}")

    told = room.program.post(f"{ACTIONS}/release-all", json={"hold": "store-denied"}).json()
    assert (told["files"], place.item(cancelled).hold) == (1, "cancelled")
    told = room.program.post(f"{ACTIONS}/release-all", json={}).json()
    assert (told["files"], told["sessions"]) == (2, 1)


def test_a_limit_holds_at_once_and_ends_by_itself(room: Room) -> None:
    room.house.place.clock.now = datetime.now(UTC)  # a limit ends by the clock of the lab machine
    room.act("limit", f"lab:{LAB.name}", rate="5MB/s", seconds=3600)

    (row,) = room.program.get("/api/v1/bandwidth").json()["rows"]
    assert (row["rate"], row["origin"]) == (5_000_000, "person")
    assert row["changes_at"] is not None

    room.act("unlimit", f"lab:{LAB.name}")
    (row,) = room.program.get("/api/v1/bandwidth").json()["rows"]
    assert (row["rate"], row["changes_at"], row["timetable"]) == (None, None, ["unlimited"])


@pytest.mark.parametrize(
    "more",
    [
        {"rate": "fast"},
        {"rate": "5MB/s", "seconds": 0},
        {"rate": "5MB/s", "seconds": 5, "until": "2030-01-01T00:00:00Z"},
        {"rate": "5MB/s", "until": "2020-01-01T00:00:00Z"},
        {"rate": "5MB/s", "until": "9999-12-31T00:00:00Z"},
        {"rate": "5MB/s", "until": "2026-03-05T00:00:00"},
    ],
    ids=json.dumps,
)
def test_a_limit_that_cannot_be_is_refused_and_nothing_is_limited(room: Room, more: dict[str, Any]) -> None:
    body = {"target": f"lab:{LAB.name}", "why": "x", **more}
    assert room.program.post(f"{ACTIONS}/limit", json=body).status_code == 422
    assert room.events() == []


@pytest.mark.parametrize(
    ("action", "target", "code"),
    [
        ("cancel", f"endpoint:{LAB.store}", "E-5012"),
        ("pause", "file:1", "E-5012"),
        ("pause", "batch:1", "E-5012"),
        ("prioritise", "file:1", "E-5012"),
        ("prioritise", "endpoint:alyx", "E-5012"),
        ("limit", f"endpoint:{LAB.store}", "E-5012"),
        ("limit", "session:1", "E-5012"),
        ("release", "session:999", "E-4008"),
        ("release", "lab:nowhere", "E-4008"),
        ("release", "endpoint:nowhere", "E-4008"),
        ("release", "item:9223372036854775808", "E-4008"),
        ("release", "spikes.times.npy", "E-5010"),
        ("release", "session:-1", "E-5010"),
        ("release", "session:١", "E-5010"),
    ],
)
def test_what_an_action_is_not_for_is_refused_with_what_to_do(
    room: Room, action: str, target: str, code: str
) -> None:
    prepared(room)
    more = WHAT[action][1]

    answer = room.program.post(f"{ACTIONS}/{action}", json={"target": target, "why": "x", **more})

    assert answer.json()["code"] == code
    assert answer.status_code == (404 if code == "E-4008" else 422)
    assert answer.json()["remedy"]
    assert room.events() == []


def test_a_lab_and_a_place_of_the_config_may_be_paused_before_anything_was_seen(tmp_path: Path) -> None:
    with house(tmp_path) as made:
        with made.place.ledger.writing() as connection:
            connection.exec_driver_sql("DELETE FROM endpoints")
        program = made.program("operator")

        for target in (f"lab:{LAB.name}", f"endpoint:{LAB.store}", "endpoint:alyx"):
            answer = program.post(f"{ACTIONS}/pause", json={"target": target, "why": "x"})
            assert answer.status_code == 200, answer.text
        paused = {row["name"] for row in program.get("/api/v1/endpoints").json()["rows"] if row["paused_by"]}
        assert paused == {LAB.repository, LAB.store, "alyx"}


def test_the_path_from_a_persons_words_to_an_action(room: Room) -> None:
    """`find` answers what the actions take."""
    room.house.place.at(Status.SENT)
    for words, target in (
        ("SW_012/2026-03-04/001", "session:1"),
        (SPIKES, "file:1"),
        ("1", "item:1"),
        (LAB.name, f"lab:{LAB.name}"),
        (LAB.store, f"endpoint:{LAB.store}"),
    ):
        found = room.program.get("/api/v1/find", params={"words": words}).json()
        assert found["target"] == target
    kinds = {"words": LAB.name, "kind": ["file", "session"]}
    assert room.program.get("/api/v1/find", params=kinds).status_code == 404


# ---- rounds


def test_a_round_is_rung_by_its_task_and_written_down(room: Room) -> None:
    names = {row["name"] for row in room.program.get("/api/v1/schedule").json()["rows"]}
    assert "sweep" in names

    for name in sorted(names):
        room.rung.clear()
        told = room.program.post(f"/api/v1/schedule/{name}/run").json()
        assert (told["name"], told["heard"]) == (name, True)
        assert len(room.rung) == 1
    assert ("job", "rung", None) in room.events()


def test_a_round_says_when_nobody_heard_and_when_there_is_none(room: Room) -> None:
    room.hears = False
    told = room.program.post("/api/v1/schedule/sweep/run").json()
    assert told["heard"] is False
    assert "Nobody heard" in told["sentence"]
    assert room.program.post("/api/v1/schedule/dance/run").json()["code"] == "E-4008"


def test_a_browser_needs_the_token_of_its_page_and_a_viewer_may_not(room: Room) -> None:
    body = {"target": f"lab:{LAB.name}", "why": "x"}
    clients: dict[str, TestClient] = {
        "forged": room.house.person("otto", token=False),
        "viewer": room.house.program("viewer"),
    }
    for name, client in clients.items():
        assert client.post(f"{ACTIONS}/pause", json=body).status_code == 403, name
