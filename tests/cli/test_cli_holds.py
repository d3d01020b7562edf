"""`held`, `release`, `retry`, `cancel`, `pause`, `resume`, `abandon`: the operator's answers."""

import io
import sys
from dataclasses import dataclass, field
from uuid import UUID

import pytest

from config import wiring
from tests.cli.installed import Installed
from tests.ledger.build import LAB, SPIKES, VIDEO
from transfer.errors import CatalogUnreachable, StoreDenied
from transfer.status import Status

DENIED = StoreDenied("the store refused to write", to="alf")


def held_files(installed: Installed) -> list[str]:
    return [row["hold"] for row in installed.json("held")]


def test_nothing_held_is_said(installed: Installed) -> None:
    assert installed.run("held") == (0, "Nothing is held.\n", "")
    assert installed.json("held") == []


def test_everything_held_is_listed_with_what_to_do(installed: Installed) -> None:
    session = installed.place.at(Status.SENT)
    installed.place.hold(session, DENIED)
    installed.run("pause", LAB.store, "--why", "The RAID is rebuilt.")

    endpoint, file = installed.json("held")
    _, out, _ = installed.run("held")

    assert (endpoint["name"], endpoint["text"], endpoint["by"]) == (
        LAB.store,
        "The RAID is rebuilt.",
        "person:anne",
    )
    assert (file["kind"], file["item"], file["hold"]) == (
        "file",
        installed.place.item(session).id,
        "store-denied",
    )
    assert DENIED.remedy in out


def test_a_file_is_released_by_its_name_and_the_event_names_the_person(installed: Installed) -> None:
    session = installed.place.at(Status.SENT)
    installed.place.hold(session, DENIED)

    told = installed.run("release", SPIKES, "--why", "rights were given")

    assert told == (0, "Released: 1 file.\n", "")
    assert held_files(installed) == []
    (event,) = installed.place.events(actor="person:anne")
    assert (event.what, event.why) == ("released", "rights were given")
    assert installed.run("release", SPIKES) == (0, "Nothing was held.\n", "")


def test_all_of_one_hold_are_released(installed: Installed) -> None:
    installed.place.hold(installed.place.at(Status.SENT, "KS001"), DENIED)
    cancelled = installed.place.at(Status.PLANNED, "KS002", [SPIKES, VIDEO])
    installed.run("cancel", "KS002/2026-03-04/001", "--why", "wrong subject")
    assert installed.place.item(cancelled).hold == "cancelled"

    assert installed.run("release", "--all", "--hold", "store-denied")[1] == "Released: 1 file.\n"
    assert installed.run("release", "--all")[1] == "Released: 2 files, 1 session, 1 batch.\n"


@pytest.mark.parametrize(
    "words", [["release"], ["release", "x", "--all"], ["release", "x", "--hold", "y"], ["pause", "alyx"]]
)
def test_a_target_or_all_and_a_reason_for_a_pause(installed: Installed, words: list[str]) -> None:
    assert installed.run(*words)[0] == 2


def test_an_empty_name_releases_nothing(installed: Installed) -> None:
    """As a script gives it whose variable is not set: it is not "everything"."""
    installed.place.hold(installed.place.at(Status.SENT), DENIED)
    assert installed.run("release", "")[0] == 2
    assert held_files(installed) == ["store-denied"]


def test_a_session_or_a_lab_is_paused_and_resumed(installed: Installed) -> None:
    """A lab at its repository, which is said, also before anything of it was seen."""
    there = f"Paused {LAB.name} at its repository {LAB.repository}. `alyx-transfer resume {LAB.name}` lets it go on.\n"
    assert installed.run("pause", LAB.name, "--why", "x") == (0, there, "")
    assert installed.run("resume", LAB.name) == (0, "Resumed: 1 endpoint.\n", "")

    installed.place.at(Status.SENT)
    name = "SW_012/2026-03-04/001"
    told = installed.run("pause", name, "--why", "the rig is moved")[1]
    assert (
        told == f"Paused {name}: 1 file, 1 session, 1 batch. `alyx-transfer resume {name}` lets it go on.\n"
    )
    assert held_files(installed) == ["paused", "paused"]
    assert installed.run("pause", name, "--why", "again")[1].startswith("Nothing was moving there")
    assert installed.run("resume", name, "--why", "it stands")[1].startswith("Resumed: 1 file, 1 session")


def test_a_file_is_retried_at_once(installed: Installed) -> None:
    session = installed.place.at(Status.SENT)
    later = installed.place.clock.now.replace(year=2099)
    installed.place.postpone(session, DENIED, at=later)

    code, out, _ = installed.run("retry", "spikes.times.npy")

    assert code == 0
    assert out.startswith("Due now: 1 file")
    (row,) = installed.json("status", "SW_012/2026-03-04/001")
    assert not row["not_before"].startswith("2099")


def test_an_endpoint_is_paused_and_resumed(installed: Installed) -> None:
    assert installed.run("pause", "alyx", "--why", "update")[0] == 0
    assert installed.run("pause", "alyx", "--why", "update")[0] == 0
    assert held_files(installed) == ["paused"]
    assert installed.run("resume", "alyx")[1] == "Resumed: 1 endpoint.\n"
    assert installed.run("resume", "alyx")[1] == "It was not paused.\n"
    assert installed.run("resume", "nowhere")[0] == 2
    assert [event.what for event in installed.place.events(actor="person:anne")] == ["paused", "resumed"]


# ---- abandon


@dataclass
class Alyx:
    """Alyx that knows nothing of our datasets, or does not answer at all."""

    answers: bool = True
    asked: list[list[UUID]] = field(default_factory=list)

    def datasets(self, ids: list[UUID]) -> dict[UUID, object]:
        if not self.answers:
            raise CatalogUnreachable("no answer", to="https://alyx.example.org")
        self.asked.append(ids)
        return {}

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def alyx(monkeypatch: pytest.MonkeyPatch) -> Alyx:
    made = Alyx()
    monkeypatch.setattr(wiring, "catalog", lambda settings: made)
    return made


def test_a_file_is_abandoned_after_alyx_was_asked(installed: Installed, alyx: Alyx) -> None:
    session = installed.place.at(Status.SENT)
    item = installed.place.item(session)
    installed.place.hold(session, DENIED)

    told = installed.run("abandon", SPIKES, "--why", "The rig was tested.", "--yes")

    assert told == (0, "Abandoned 1 file.\n", "")
    assert alyx.asked == [[item.uuid]]
    assert "abandoned by anne" in installed.run("why", SPIKES)[1]
    again = installed.run("abandon", SPIKES, "--why", "The rig was tested.", "--yes")
    assert again[0] == 0
    assert "does not move: it is abandoned" in again[1]


def test_nothing_is_abandoned_while_alyx_is_away(installed: Installed, alyx: Alyx) -> None:
    session = installed.place.at(Status.SENT)
    alyx.answers = False

    code, _, err = installed.run("abandon", SPIKES, "--why", "x", "--yes")

    assert code == 5
    assert "no answer" in err
    assert installed.place.item(session).status is Status.SENT


def test_nothing_is_abandoned_while_a_worker_is_busy(installed: Installed, alyx: Alyx) -> None:
    session = installed.place.at(Status.SENT)
    installed.place.claim_batch(installed.place.item(session).batch or 0)

    code, _, err = installed.run("abandon", SPIKES, "--why", "x", "--yes")

    assert code == 5
    assert "held by " in err
    assert "Try again" in err
    assert alyx.asked == []


def test_without_a_terminal_nobody_is_asked(
    installed: Installed, alyx: Alyx, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = installed.place.at(Status.SENT)
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))

    code, _, err = installed.run("abandon", SPIKES, "--why", "x")

    assert code == 2
    assert "--yes" in err
    assert installed.place.item(session).status is Status.SENT


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("answer", "status"), [("y\n", Status.ABANDONED), ("n\n", Status.SENT)])
def test_on_a_terminal_the_person_is_asked(
    installed: Installed, alyx: Alyx, monkeypatch: pytest.MonkeyPatch, answer: str, status: Status
) -> None:
    session = installed.place.at(Status.SENT)
    monkeypatch.setattr(sys, "stdin", Terminal(answer))

    installed.run("abandon", SPIKES, "--why", "x")

    assert installed.place.item(session).status is status
