"""Each impossible state is made with plain SQL behind the program's back, found, and mended or given to a person."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert, text, update

from tests.ledger.build import LAB, NOON, NOTES, SPIKES, Place
from tests.ledger.lab import on_both
from transfer.errors import StoreDenied, StoreFull
from transfer.ledger import actions, endpoints, reports, sanity
from transfer.ledger.finding import Target
from transfer.ledger.oddities_around import ALL
from transfer.ledger.tables import batches, copies, datasets, items, jobs, metadata, sessions, stagings
from transfer.ledger.tables import endpoints as endpoint_rows
from transfer.ledger.why import why
from transfer.progress import Owner
from transfer.status import JOURNEY, OPEN, Condition, Status

DENIED = StoreDenied("the store refused to write", to="alf")
FAR = NOON + timedelta(days=400)


@pytest.fixture
def place(database_url: str) -> Iterator[Place]:
    made = Place(database_url)
    yield made
    made.close()


def spoil(place: Place, table: Any, **values: Any) -> None:
    """Write these values into every row, past all that guards them."""
    with place.ledger.writing() as connection:
        connection.execute(update(table).values(**values))


def at(status: Status) -> Callable[[Place], None]:
    return lambda place: void(place.at(status))


def void(_answer: object) -> None:
    """A made-up state needs no answer."""


def held(status: Status) -> Callable[[Place], None]:
    def make(place: Place) -> None:
        place.hold(place.at(status), DENIED)

    return make


def cancelled(status: Status) -> Callable[[Place], None]:
    def make(place: Place) -> None:
        place.at(status)
        actions.cancel(place.ledger, Target(kind="batch", name="", id=1))
        spoil(place, batches, cancel_at=NOON)

    return make


def damaged(place: Place) -> None:
    place.at(Status.RECORDED)
    spoil(place, copies, announced=True)


def unreadable(place: Place) -> None:
    place.discovered(files=[], unregistrable={NOTES: "[E-1001] x: y. Do z."}, finish=True)
    spoil(place, sessions, not_before=NOON + timedelta(hours=1))  # as a visit that could not read a file ends


def row_of(table: Any, **values: Any) -> Callable[[Place], None]:
    def make(place: Place) -> None:
        with place.ledger.writing() as connection:
            connection.execute(insert(table).values(**values))

    return make


LEASE = {"lease_token": "0" * 8, "lease_holder": "ghost", "lease_until": FAR}

# the oddity, a legal state, what is spoilt in it, and where the file stands afterwards
State = tuple[str, Callable[[Place], None], Any, dict[str, Any], Status | None]
STATES: list[State] = [
    ("item-of-no-status", at(Status.PLANNED), items, {"status": "sending"}, Status.DISCOVERED),
    ("item-ended-and-open", at(Status.RECORDED), items, {"open": 1}, Status.RECORDED),
    ("item-moving-and-closed", at(Status.SENT), items, {"open": None}, Status.DISCOVERED),
    ("item-without-ids", at(Status.REGISTERED), datasets, {"dataset_uuid": None}, Status.DISCOVERED),
    ("item-without-ids", at(Status.VERIFIED), copies, {"record_uuid": None}, Status.DISCOVERED),
    ("item-early-in-batch", at(Status.PLANNED), items, {"status": "registered"}, Status.REGISTERED),
    ("item-early-in-batch", at(Status.PLANNED), items, {"status": "discovered"}, Status.DISCOVERED),
    *(
        ("item-without-batch", at(status), items, {"batch": None}, Status.REGISTERED)
        for status in (Status.PLANNED, Status.SENT, Status.VERIFIED, Status.PUBLISHED)
    ),
    ("item-without-batch", at(Status.SENT), batches, {"open": None}, Status.REGISTERED),
    ("item-without-place", at(Status.PLANNED), copies, {"path": None}, Status.REGISTERED),
    ("item-sent-nowhere", at(Status.SENT), items, {"partial": None}, Status.PLANNED),
    ("item-without-proof", at(Status.VERIFIED), items, {"proof": None}, Status.PLANNED),
    ("item-without-proof", at(Status.PUBLISHED), items, {"proof": None}, Status.PLANNED),
    *(
        ("item-without-time", at(status), items, {"not_before": None}, status)
        for status in JOURNEY[:-1]
    ),
    ("item-too-far", at(Status.SENT), items, {"not_before": FAR}, Status.SENT),
    ("item-held-without-reason", held(Status.SENT), items, {"hold_text": None}, Status.SENT),
    ("item-in-cancelled-batch", at(Status.SENT), batches, {"cancel_at": NOON}, Status.SENT),
    ("batch-without-items", at(Status.RECORDED), batches, {"open": 1}, Status.RECORDED),
    ("batch-cancelled-half", at(Status.PUBLISHED), batches, {"cancel_at": NOON}, Status.PUBLISHED),
    ("batch-at-mover-for-nobody", held(Status.PLANNED), batches, {"submission_key": "key"}, Status.PLANNED),
    ("batch-too-far", at(Status.PLANNED), batches, {"not_before": FAR}, Status.PLANNED),
    ("session-held-without-reason", at(Status.SENT), sessions, {"hold": "x", "hold_text": ""}, Status.SENT),
    ("session-too-far", at(Status.SENT), sessions, {"not_before": FAR}, Status.SENT),
    ("session-with-trouble", unreadable, sessions, {"not_before": None}, None),
    ("copy-nobody-mends", damaged, copies, {"condition": Condition.DAMAGED}, Status.REGISTERED),
    ("copy-nobody-mends", damaged, copies, {"condition": Condition.MISSING}, Status.REGISTERED),
    ("copy-nobody-mends", at(Status.RECORDED), items, {"status": "superseded"}, Status.REGISTERED),
    ("session-leased-too-long", at(Status.DISCOVERED), sessions, LEASE, Status.DISCOVERED),
    ("batch-leased-too-long", at(Status.PLANNED), batches, LEASE, Status.PLANNED),
    ("job-leased-too-long", row_of(jobs, name="scan"), jobs, LEASE, None),
    ("endpoint-too-far", at(Status.SENT), endpoint_rows, {"retry_at": FAR}, Status.SENT),
    (
        "staging-too-far",
        row_of(stagings, submission_key="key", target=LAB.store, clean_at=NOON),
        stagings,
        {"clean_at": FAR},
        None,
    ),
]  # fmt: skip


def test_every_oddity_is_staged() -> None:
    assert {name for name, *_ in STATES} == {kind.name for kind in ALL}


@pytest.mark.parametrize("state", STATES, ids=[f"{state[0]}-{n}" for n, state in enumerate(STATES)])
def test_an_impossible_state_is_found_and_mended(place: Place, state: State) -> None:
    """Before it is spoilt nothing is found, afterwards it is, and once it is mended nothing is again."""
    _found_and_mended(place, state)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_every_impossible_state_is_found_and_mended_by_postgresql_too(place: Place) -> None:
    """One after the other in one database, which is emptied between them: to open it takes longest."""
    tables = ", ".join(table for table in metadata.tables)
    for state in STATES:
        with place.ledger.writing() as connection:
            connection.execute(text(f"TRUNCATE {tables} RESTART IDENTITY CASCADE"))
        place.clock.now = NOON
        endpoints.ensure(place.ledger, [LAB.repository, LAB.store, "alyx"])
        _found_and_mended(place, state)


def _found_and_mended(place: Place, state: State) -> None:
    name, make, table, values, becomes = state
    # Given a legal state
    make(place)
    place.clock.forward(minutes=2)  # leases of the making have lapsed
    assert name not in {one.name for one in sanity.find(place.ledger)}

    # When it is spoilt
    spoil(place, table, **values)
    assert name in {one.name for one in sanity.find(place.ledger)}, state

    # Then it is mended, once, with an event that says why
    mended = sanity.mend(place.ledger)
    assert name in {one.name for one in mended}
    assert sanity.mend(place.ledger) == []
    told = [row for row in place.events() if row.what == "mended" and row.was == name]
    assert told
    assert all(row.why and row.actor for row in told)
    if becomes is not None:
        assert {item.status for item in place.items(1)[-1:]} == {becomes}, state
    _assert_owned(place)


def _assert_owned(place: Place) -> None:
    """Every file that is not finished goes on: it can be claimed or planned now, or a person is named."""
    with place.ledger.reading() as connection:
        rows = connection.execute(
            text("SELECT datasets.id, items.hold, items.status FROM items "
                 "JOIN copies ON copies.id = items.copy JOIN datasets ON datasets.id = copies.dataset "
                 "WHERE items.open = 1")
        ).all()  # fmt: skip
    for row in rows:
        told = why(place.ledger, Target(kind="file", name="", id=row.id))
        if told.owner is Owner.PERSON:
            continue
        due = place.ledger.due("batch") + place.ledger.due("session")
        assert due or row.status == Status.REGISTERED, told


@on_both
def test_a_row_whose_worker_lives_is_left_alone(place: Place) -> None:
    """The worker is its owner; what it leaves behind is mended when its lease has lapsed."""
    session = place.at(Status.PLANNED)
    place.claim_batch(place.item(session).batch or 0)
    spoil(place, items, not_before=None)

    assert sanity.find(place.ledger) == []
    place.clock.forward(minutes=2)
    assert [one.name for one in sanity.mend(place.ledger)] == ["item-without-time"]


def test_what_is_mended_in_vain_is_given_to_a_person(place: Place) -> None:
    """The fourth time is no accident."""
    place.at(Status.SENT)
    for _ in range(3):
        spoil(place, items, not_before=None)
        assert sanity.mend(place.ledger)
        assert place.item(1).hold is None

    spoil(place, items, not_before=None)
    assert sanity.mend(place.ledger)

    told = why(place.ledger, place.file(1, SPIKES))
    assert place.item(1).hold == "unexpected"
    assert told.owner is Owner.PERSON
    assert "mended 3 times in vain" in told.sentence
    assert sanity.find(place.ledger) == []


def test_the_number_of_rows_without_an_owner_is_a_monitors_business(place: Place) -> None:
    """Two oddities of one row count once."""
    place.at(Status.SENT)
    assert reports.check(place.ledger).rows_without_owner == 0
    spoil(place, items, not_before=None, partial=None)
    found = reports.check(place.ledger)
    assert found.rows_without_owner == 1
    assert not found.fine
    sanity.mend(place.ledger)
    assert reports.check(place.ledger).fine


def test_a_held_item_stays_held_when_it_is_mended(place: Place) -> None:
    place.hold(place.at(Status.SENT), DENIED)
    spoil(place, items, batch=None)

    sanity.mend(place.ledger)

    assert place.item(1).hold == "store-denied"
    assert place.item(1).status is Status.REGISTERED


def test_what_a_person_abandoned_is_not_sent_again(place: Place) -> None:
    place.at(Status.SENT)
    spoil(place, items, status=Status.ABANDONED, open=None)
    spoil(place, batches, open=None)
    spoil(place, copies, condition=Condition.DAMAGED)

    assert sanity.find(place.ledger) == []


def test_endpoints_that_wait_as_they_do_are_not_odd(place: Place) -> None:
    endpoints.failed(
        place.ledger, LAB.store, StoreFull("no space left", to=LAB.store), retry_at=NOON + timedelta(days=1)
    )
    assert sanity.find(place.ledger) == []


@pytest.mark.parametrize("status", sorted(OPEN))
def test_every_fact_of_the_journey_is_legal(place: Place, status: Status) -> None:
    place.at(status)
    assert sanity.find(place.ledger) == []
