"""The read-only questions, asked of ledgers that the steps' own writes have built."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.ledger.build import LAB, NOON, NOTES, SPIKES, VIDEO, Place, dataset_uuid, md5_of
from tests.ledger.lab import on_both
from transfer.errors import EndpointUnreachable, StoreDenied, UnknownSession
from transfer.ledger import endpoints, reports
from transfer.ledger.finding import Target
from transfer.status import JOURNEY, Status

DENIED = StoreDenied("the store refused to write", to="alf")
TROUBLE = "[E-1001] the file cannot be read: x. Give the worker's account permission."


@pytest.fixture
def place(database_url: str) -> Iterator[Place]:
    made = Place(database_url)
    yield made
    made.close()


@pytest.mark.parametrize("status", JOURNEY)
def test_a_file_is_shown_at_the_fact_its_item_stands_at(place: Place, status: Status) -> None:
    session = place.at(status)

    (row,) = reports.files(place.ledger, session=session)

    assert (row.status, row.relative_path, row.session) == (status, SPIKES, "SW_012/2026-03-04/001")
    assert (row.size, row.md5, row.tries, row.hold) == (4096, md5_of(SPIKES), 0, None)
    known = JOURNEY.index(status) >= JOURNEY.index(Status.REGISTERED)
    assert row.dataset == (dataset_uuid(f"{row.session}/{SPIKES}") if known else None)
    planned = JOURNEY.index(status) >= JOURNEY.index(Status.PLANNED)
    assert (row.target is not None) == planned
    proved = JOURNEY.index(status) >= JOURNEY.index(Status.VERIFIED)
    assert row.proof == ("read back" if proved else None)


def test_files_without_an_item_have_their_own_word(place: Place) -> None:
    session = place.discovered(files=[], unregistrable={NOTES: "no dataset type fits", VIDEO: TROUBLE})
    place.discovered(files=[], unregistrable={NOTES: "no dataset type fits"})

    rows = {row.relative_path: row for row in reports.files(place.ledger, session=session)}

    assert rows[NOTES].status == "unregistrable"
    assert rows[NOTES].trouble is None
    assert rows[VIDEO].status == "gone"
    assert rows[VIDEO].trouble is None


def test_a_newer_version_is_shown_and_the_old_one_is_not(place: Place) -> None:
    session = place.at(Status.RECORDED)
    place.discovered(version=2)

    (row,) = reports.files(place.ledger, session=session)

    assert (row.status, row.md5, row.proof) == ("discovered", md5_of(SPIKES, 2), None)


def test_one_item_can_be_asked_for_after_it_was_replaced(place: Place) -> None:
    session = place.at(Status.SENT)
    old = place.item(session)
    place.discovered(version=2)

    (row,) = reports.files(place.ledger, item=old.id)

    assert (row.status, row.md5) == ("superseded", md5_of(SPIKES))


def test_files_are_filtered_by_status_and_hold_and_paged(place: Place) -> None:
    sent = place.at(Status.SENT, "KS001", [SPIKES, VIDEO])
    place.at(Status.RECORDED, "KS002", [SPIKES, VIDEO])
    place.hold(sent, DENIED)

    def names(**asked: object) -> list[str]:
        return [f"{row.session}/{row.relative_path}" for row in reports.files(place.ledger, **asked)]

    assert len(names()) == 4
    assert names(status="sent") == names()[:2]
    assert names(status="recorded") == names()[2:]
    assert names(held=True) == names()[1:2]
    assert names(held=False) == [names()[0], *names()[2:]]
    assert names(limit=1, offset=2) == names()[2:3]
    assert names(status="unregistrable") == []


def test_a_session_counts_each_file_once(place: Place) -> None:
    session = place.at(Status.SENT, files=[SPIKES, VIDEO])
    place.hold(session, DENIED)
    files = [SPIKES, VIDEO, "alf/clusters.depths.npy"]
    place.discovered(files=files, unregistrable={NOTES: "no dataset type fits"})

    (row,) = reports.sessions(place.ledger)

    assert (row.files, row.recorded, row.waiting, row.held, row.unregistrable) == (4, 0, 2, 1, 1)
    assert row.bytes == 4 * 4096
    assert row.bytes_waiting == 3 * 4096
    assert reports.sessions(place.ledger, held=True) == [row]


def test_sessions_come_newest_first_and_in_pages(place: Place) -> None:
    ids = [place.seen(number=number) for number in (1, 2, 3)]

    assert [row.id for row in reports.sessions(place.ledger)] == ids[::-1]
    assert [row.id for row in reports.sessions(place.ledger, limit=1, offset=1)] == [ids[1]]
    assert reports.sessions(place.ledger, held=True) == []


def test_the_summary_adds_up_what_waits_and_what_arrived(place: Place) -> None:
    place.at(Status.RECORDED, "KS001", [SPIKES, VIDEO])
    place.clock.forward(days=3)
    place.at(Status.RECORDED, "KS002")
    held = place.at(Status.PLANNED, "KS003", [SPIKES, VIDEO])
    oldest = place.clock.now
    place.hold(held, DENIED)
    place.clock.forward(hours=5)
    place.at(Status.DISCOVERED, "KS004")

    (row,) = reports.summary(place.ledger)

    assert (row.lab, row.source, row.target) == (LAB.name, LAB.repository, LAB.store)
    assert (row.day_files, row.week_files) == (1, 3)
    assert (row.waiting_files, row.waiting_bytes) == (2, 2 * 4096)
    assert (row.held_files, row.held_bytes) == (1, 4096)
    assert row.oldest_unsent == oldest


def test_everything_that_waits_for_a_person_is_listed_once(place: Place) -> None:
    session = place.at(Status.SENT, "KS001", [SPIKES, VIDEO])
    place.hold(session, DENIED)
    unknown = place.seen("KS002")
    place.hold_session(unknown, UnknownSession("Alyx has no such session", to="KS002"))
    place.discovered("KS003", [], unregistrable={VIDEO: TROUBLE, NOTES: "no dataset type fits"})
    endpoints.pause(place.ledger, LAB.store, by="person:anne", reason="The RAID is rebuilt.")
    endpoints.failed(place.ledger, "alyx", DENIED, retry_at=NOON + timedelta(hours=1))

    held = reports.held(place.ledger)

    assert [(row.relative_path, row.hold) for row in held.files] == [(VIDEO, "store-denied")]
    assert [(row.id, row.hold) for row in held.sessions] == [(unknown, "session-unknown-to-alyx")]
    assert [row.relative_path for row in held.troubles] == [VIDEO]
    assert [(row.name, row.paused_by) for row in held.endpoints] == [(LAB.store, "person:anne")]
    assert {row.name for row in reports.kept_back(place.ledger)} == {LAB.store, "alyx"}


def test_unregistrable_files_are_counted_by_session(place: Place) -> None:
    place.discovered("KS001", [], unregistrable={NOTES: "no dataset type fits", VIDEO: TROUBLE})
    place.discovered("KS002", [SPIKES], unregistrable={NOTES: "no dataset type fits"})

    rows = reports.unregistrable(place.ledger)

    assert [(row.session[:5], row.files, row.troubles) for row in rows] == [("KS001", 2, 1), ("KS002", 1, 0)]


# ---- the monitor


def test_an_empty_ledger_is_fine(place: Place) -> None:
    found = reports.check(place.ledger)

    assert found.fine
    assert found.oldest_unsent is None


def test_what_is_due_and_taken_in_time_is_fine(place: Place) -> None:
    place.at(Status.PLANNED)
    place.clock.forward(minutes=9)

    assert reports.check(place.ledger).fine


@pytest.mark.parametrize("status", [Status.DISCOVERED, Status.REGISTERED, Status.PLANNED, Status.PUBLISHED])
def test_what_is_due_and_not_taken_is_stuck(place: Place, status: Status) -> None:
    place.at(status)
    place.clock.forward(minutes=11)

    found = reports.check(place.ledger)

    assert not found.fine
    assert found.stuck == 1


def test_what_a_worker_holds_or_an_endpoint_keeps_back_is_not_stuck(place: Place) -> None:
    busy = place.at(Status.PLANNED, "KS001")
    place.clock.forward(minutes=11)
    place.claim_batch(place.item(busy).batch or 0)
    assert reports.check(place.ledger).stuck == 0

    place.clock.forward(minutes=2)
    assert reports.check(place.ledger).stuck == 1

    away = EndpointUnreachable("no route", to=LAB.store)
    endpoints.failed(place.ledger, LAB.store, away, retry_at=place.clock.now + timedelta(hours=1))
    assert reports.check(place.ledger).stuck == 0


def test_a_file_is_stuck_although_nobody_rang_for_its_session(place: Place) -> None:
    session = place.discovered()
    lease, row = place.claim(session)
    with place.ledger.guarded(lease) as tx:
        from transfer.ledger.intake import finish_session

        finish_session(tx, row, look="0" * 32)
    place.ledger.release(lease)
    place.clock.forward(minutes=11)

    assert reports.check(place.ledger).stuck_files == 1


def test_an_old_file_a_hold_and_a_pause_each_spoil_the_check(place: Place) -> None:
    session = place.at(Status.PLANNED)
    place.postpone(session, DENIED, at=NOON + timedelta(days=3))
    place.clock.forward(hours=23)
    assert reports.check(place.ledger).fine

    place.clock.forward(hours=2)
    assert reports.check(place.ledger).too_old
    assert reports.check(place.ledger, max_age=timedelta(days=2)).fine

    endpoints.pause(place.ledger, "alyx", by="person:anne", reason="update")
    assert reports.check(place.ledger, max_age=timedelta(days=2)).held == 1


# ---- both databases


@on_both
def test_every_question_is_understood_by_the_database(place: Place) -> None:
    session = place.at(Status.RECORDED, "KS001")
    place.hold(place.at(Status.SENT, "KS002"), DENIED)

    assert len(reports.files(place.ledger, status="recorded")) == 1
    assert len(reports.files(place.ledger, held=True)) == 1
    assert [row.recorded for row in reports.sessions(place.ledger)] == [0, 1]
    assert [row.day_files for row in reports.summary(place.ledger)] == [1]
    assert reports.check(place.ledger).held == 1
    assert reports.held(place.ledger).files
    assert reports.unregistrable(place.ledger) == []
    assert reports.kept_back(place.ledger) == []
    assert reports.troubles(place.ledger) == []
    assert Target(kind="session", name="x", id=session).row == session


# ---- bounds


def test_a_listing_asks_for_its_page_only(place: Place, tmp_path: Path) -> None:
    """Held files are found by their index, not by reading every file."""
    place.hold(place.at(Status.SENT), DENIED)
    from transfer.ledger.files import HELD, item_query
    from transfer.ledger.tables import datasets

    query = (
        item_query()
        .where(HELD)
        .order_by(datasets.c.id)
        .compile(place.ledger.engine, compile_kwargs={"literal_binds": True})
    )
    with place.ledger.reading() as connection:
        plan = [row.detail for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}")]

    assert any("ix_items_held" in line for line in plan), plan
    assert not any(line.startswith("SCAN") for line in plan), plan
