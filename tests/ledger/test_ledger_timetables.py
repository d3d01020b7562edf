"""Timetables that people write: kept for every worker, written down with who and why, heeded without a restart."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.ledger.build import LAB, Place
from transfer.bandwidth import Plan
from transfer.guest import ASK, Guest, Manners
from transfer.ledger import bandwidth, endpoints
from transfer.timetable import read_timetable


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    endpoints.ensure(made.ledger, [LAB.repository])
    yield made
    made.close()


def test_a_timetable_is_kept_taken_back_and_written_down(place: Place) -> None:
    anna = place.ledger.acting_as("person:anna")
    assert not bandwidth.clear_timetable(anna, LAB.repository, why=None)
    week = ["otherwise 1MB/s"]
    assert bandwidth.set_timetable(anna, LAB.repository, week, timezone="UTC", why="term")
    assert not bandwidth.set_timetable(anna, LAB.repository, week, timezone="UTC", why="once more")
    limit, made = bandwidth.said(place.ledger, LAB.repository)
    assert (limit, made and made.entries, made and made.by) == (None, tuple(week), "person:anna")
    assert bandwidth.timetables(place.ledger) == {LAB.repository: made}
    assert bandwidth.clear_timetable(anna, LAB.repository, why="over")
    assert bandwidth.said(place.ledger, LAB.repository) == (None, None)
    assert bandwidth.timetables(place.ledger) == {}
    told = [(row.what, row.why) for row in place.events(actor="person:anna")]
    assert told == [("timetable set", "term"), ("timetable cleared", "over")]


def test_a_process_at_work_follows_the_timetable_within_seconds_and_a_first_look_is_no_news(
    place: Place,
) -> None:
    time = [0.0]
    plan = Plan(timetable=read_timetable(["otherwise 1MB/s"], None))
    guest = Guest(place.ledger, {LAB.repository: Manners(plan=plan)}, monotonic=lambda: time[0])

    def rate() -> int | None:
        time[0] += ASK
        return guest.standing(LAB.repository).rate

    with capture_logs() as logged:
        assert rate() == 1_000_000
        assert logged == []
        bandwidth.set_timetable(place.ledger, LAB.repository, ["otherwise 3MB/s"], timezone=None, why=None)
        assert rate() == 3_000_000
        bandwidth.set_timetable(
            place.ledger, LAB.repository, ["08:00-09:00 5MB/s"], timezone="Mars/Olympus", why=None
        )
        assert [rate(), rate()] == [1_000_000, 1_000_000], "what cannot be read here leaves the config's"
    assert [one["event"] for one in logged].count("timetable_unreadable") == 1
