"""Every file and every session has a sentence with an owner, a next step, and a moment or a person."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ledger.build import LAB, NOON, NOTES, VIDEO, Place, dataset_uuid
from transfer.errors import CatalogUnreachable, NothingFound, StoreDenied, StoreFull, UnknownSession
from transfer.ledger import actions, endpoints
from transfer.ledger.abandoning import close_abandoned, leased, open_item_rows
from transfer.ledger.finding import Target, find
from transfer.ledger.intake import finish_session
from transfer.ledger.why import file_facts, why
from transfer.progress import (
    Carriage,
    End,
    Endpoint,
    Explanation,
    FileFacts,
    Lease,
    Owner,
    SessionFacts,
    Visit,
    explain,
    explain_session,
)
from transfer.status import ENDS, JOURNEY, OPEN, Proof, Status

DENIED = StoreDenied("the store refused to write", to="alf")
FULL = StoreFull("no space left", to=LAB.store)
ROOTS = {LAB.repository: LAB.root}


@pytest.fixture
def place(database_url: str) -> Iterator[Place]:
    made = Place(database_url)
    yield made
    made.close()


# ---- never "unknown": all combinations of facts

moments = st.one_of(st.none(), st.integers(-72, 72).map(lambda hours: NOON + timedelta(hours=hours)))
texts = st.one_of(st.none(), st.sampled_from(["the disk is full.", "[E-2006] x: y. Free space."]))
leases = st.one_of(
    st.none(),
    st.integers(1, 60).map(lambda s: Lease(holder="rig-7:812", until=NOON + timedelta(seconds=s))),
)
places = st.builds(
    Endpoint,
    name=st.sampled_from(["cortexlab_SR", "flatiron_cortexlab", "alyx"]),
    paused_by=st.one_of(st.none(), st.sampled_from(["person:anne", "alyx-transfer"])),
    pause_reason=texts,
    retry_at=moments,
)
several = st.lists(places, max_size=3).map(tuple)
visits = st.builds(
    Visit,
    path=st.just("SW_012/2026-03-04/001"),
    hold=st.one_of(st.none(), st.sampled_from(["cancelled", "session-unknown-to-alyx"])),
    hold_text=texts,
    not_before=moments,
    lease=leases,
    error_text=texts,
    looked_at=moments,
    complete_at=moments,
    endpoints=several,
    ahead=st.integers(0, 3),
)
carriages = st.builds(
    Carriage,
    id=st.integers(1, 9),
    not_before=moments,
    cancel_at=moments,
    lease=leases,
    error_text=texts,
    endpoints=several,
    ahead=st.integers(0, 3),
)


files = st.builds(
    FileFacts,
    now=st.just(NOON),
    name=st.just("SW_012/2026-03-04/001/alf/spikes.times.npy"),
    visit=visits,
    status=st.one_of(st.none(), st.sampled_from(list(Status))),
    item=st.one_of(st.none(), st.integers(1, 99)),
    hold=st.one_of(st.none(), st.sampled_from(["cancelled", "store-denied"])),
    hold_text=texts,
    not_before=moments,
    tries=st.integers(0, 8),
    error_text=texts,
    carriage=st.one_of(st.none(), carriages),
    end=st.builds(
        End,
        at=st.just(NOON),
        proof=st.sampled_from([None, *Proof]),
        successor=st.one_of(st.none(), st.just(7)),
        why=texts,
    ),
    unregistrable=st.sampled_from([None, "no type fits", "[E-1001] unreadable: x. Do y."]),
    gone_at=moments,
)
session_facts = st.builds(
    SessionFacts,
    now=st.just(NOON),
    visit=visits,
    files=st.integers(0, 3),
    recorded=st.integers(0, 3),
    waiting=st.integers(0, 3),
    held=st.integers(0, 3),
    unregistrable=st.integers(0, 3),
    foremost=st.one_of(st.none(), files),
)


def assert_whole(told: Explanation) -> None:
    assert told.sentence.strip()
    assert told.next_step.strip()
    assert "unknown" not in told.sentence.replace("session-unknown-to-alyx", "")
    assert "None" not in told.sentence + told.next_step
    assert ".." not in told.sentence
    assert told.at is not None or told.owner is Owner.PERSON


@given(facts=files)
def test_every_file_has_an_owner_a_next_step_and_a_moment_or_a_person(facts: FileFacts) -> None:
    assert_whole(explain(facts))


@given(facts=session_facts)
def test_every_session_has_an_owner_a_next_step_and_a_moment_or_a_person(facts: SessionFacts) -> None:
    assert_whole(explain_session(facts))


@given(facts=files)
def test_what_is_held_is_a_persons_and_what_ended_is_nobodys(facts: FileFacts) -> None:
    told = explain(facts)

    if facts.status in ENDS:
        assert told.owner is Owner.NOBODY
    elif facts.status in OPEN and facts.hold:
        assert told.owner is Owner.PERSON
        assert "release" in told.next_step
    elif facts.status in OPEN:
        assert told.owner is not Owner.NOBODY


times = st.integers(-72, 72).map(lambda hours: NOON + timedelta(hours=hours))
unpaused = st.lists(
    st.builds(Endpoint, name=st.sampled_from(["store", "alyx"]), retry_at=times), max_size=3
).map(tuple)
waiting = st.builds(
    FileFacts,
    now=st.just(NOON),
    name=st.just("spikes.times.npy"),
    status=st.sampled_from(sorted(OPEN)),
    not_before=times,
    visit=st.builds(Visit, path=st.just("SW_012"), not_before=times, endpoints=unpaused),
    carriage=st.builds(Carriage, id=st.just(1), not_before=times, endpoints=unpaused),
)


@given(facts=waiting)
def test_what_goes_on_by_itself_does_so_at_the_latest_of_its_moments(facts: FileFacts) -> None:
    """The moment is when a worker may claim it: not before the file, its batch and every endpoint may."""
    told = explain(facts)

    claimed = facts.visit if facts.status is Status.DISCOVERED else facts.carriage
    assert claimed is not None
    moments = [facts.not_before, claimed.not_before, *(one.retry_at for one in claimed.endpoints)]
    latest = max(moment for moment in moments if moment is not None)
    assert told.at is not None
    if latest > NOON:
        assert (told.owner, told.at) == (Owner.PROGRAM, latest)
    else:
        assert told.at <= NOON


# ---- what the ledger says


@pytest.mark.parametrize("status", JOURNEY[:-1])
def test_a_due_file_waits_for_the_next_worker_and_its_next_step(place: Place, status: Status) -> None:
    session = place.at(status)

    told = why(place.ledger, place.file(session))

    assert told.owner is Owner.PROGRAM
    assert "waits for a free worker: it is next" in told.sentence
    assert told.at == NOON


def test_a_recorded_file_names_its_proof_and_receipt(place: Place) -> None:
    session = place.at(Status.RECORDED)

    told = why(place.ledger, place.file(session))

    assert told.owner is Owner.NOBODY
    assert "recorded in Alyx at 2026-03-04 12:00Z, proved by read back, receipt 1" in told.sentence


def test_a_busy_worker_is_named_with_the_end_of_its_lease(place: Place) -> None:
    session = place.at(Status.PLANNED)
    place.claim_batch(place.item(session).batch or 0)

    told = why(place.ledger, place.file(session))

    assert told.owner is Owner.WORKER
    assert told.at == NOON + timedelta(seconds=60)


def test_a_lapsed_lease_is_nobodys(place: Place) -> None:
    session = place.at(Status.PLANNED)
    place.claim_batch(place.item(session).batch or 0)
    place.clock.forward(minutes=2)

    assert why(place.ledger, place.file(session)).owner is Owner.PROGRAM


def test_a_postponed_file_says_when_and_why(place: Place) -> None:
    session = place.at(Status.SENT)
    place.postpone(session, FULL, at=NOON + timedelta(minutes=30))

    told = why(place.ledger, place.file(session))

    assert told.at == NOON + timedelta(minutes=30)
    assert "after 1 failed try, because no space left" in told.sentence


def test_a_held_file_says_what_to_do_and_how_to_let_it_go_on(place: Place) -> None:
    session = place.at(Status.SENT)
    place.hold(session, DENIED)

    told = why(place.ledger, place.file(session))

    assert told.owner is Owner.PERSON
    assert DENIED.remedy in told.sentence
    assert f"release {place.item(session).id}`" in told.next_step
    assert "held (store-denied)" in why(place.ledger, Target(kind="session", name="", id=session)).sentence


@pytest.mark.parametrize("name", [LAB.repository, LAB.store, "alyx"])
def test_a_paused_endpoint_is_named_with_who_paused_it(place: Place, name: str) -> None:
    session = place.at(Status.VERIFIED)
    endpoints.pause(place.ledger, name, by="person:anne", reason="The RAID is rebuilt.")

    told = why(place.ledger, place.file(session))

    assert told.owner is Owner.PERSON
    assert f"{name} is paused by anne: The RAID is rebuilt." in told.sentence
    assert f"resume {name}" in told.next_step


def test_the_store_does_not_keep_a_file_from_being_registered(place: Place) -> None:
    session = place.discovered()
    endpoints.pause(place.ledger, LAB.store, by="person:anne", reason="The RAID is rebuilt.")

    assert why(place.ledger, place.file(session)).owner is Owner.PROGRAM


def test_an_endpoint_that_failed_says_when_it_is_tried_again(place: Place) -> None:
    session = place.at(Status.PUBLISHED)
    at = NOON + timedelta(hours=2)
    endpoints.failed(place.ledger, "alyx", CatalogUnreachable("no answer", to="alyx"), retry_at=at)

    told = why(place.ledger, place.file(session))

    assert told.at == at
    assert "alyx failed and is tried again at 2026-03-04 14:00Z" in told.sentence


def test_the_place_in_the_queue_is_told(place: Place) -> None:
    place.at(Status.PLANNED, "KS001")
    place.at(Status.PLANNED, "KS002")
    third = place.at(Status.PLANNED, "KS003")

    assert "2 batches are before it" in why(place.ledger, place.file(third)).sentence


def test_a_file_whose_session_nobody_rang_for_is_due_by_its_own_time(place: Place) -> None:
    session = place.discovered()
    lease, row = place.claim(session)
    with place.ledger.guarded(lease) as tx:
        finish_session(tx, row, look="0" * 32)
        tx.postpone([(place.item(session), FULL)], at=NOON + timedelta(minutes=5))
    place.ledger.release(lease)

    told = why(place.ledger, place.file(session))
    assert (told.owner, told.at) == (Owner.PROGRAM, NOON + timedelta(minutes=5))

    place.clock.forward(minutes=5)
    assert place.ledger.claim_session(60) is not None


def test_a_file_nobody_takes_asks_for_a_worker(place: Place) -> None:
    session = place.at(Status.PLANNED)
    place.clock.forward(minutes=11)

    told = why(place.ledger, place.file(session))

    assert told.owner is Owner.PERSON
    assert "no worker has taken it" in told.sentence


def test_a_replaced_item_names_its_successor(place: Place) -> None:
    session = place.at(Status.SENT)
    old = place.item(session).id
    place.discovered(version=2)

    told = why(place.ledger, find(place.ledger, str(old), roots=ROOTS))

    assert f"replaced by item {place.item(session).id}" in told.sentence


def test_an_abandoned_file_says_by_whom_and_why(place: Place) -> None:
    session = place.at(Status.SENT)
    item = place.item(session)
    place.ledger.actor = "person:anne"
    with (
        leased(place.ledger, "batch", item.batch or 0, seconds=60) as lease,
        place.ledger.guarded(lease) as tx,
    ):
        close_abandoned(tx, open_item_rows(place.ledger), why="The rig was tested.")

    told = why(place.ledger, place.file(session))

    assert "abandoned by anne at 2026-03-04 12:00Z: The rig was tested." in told.sentence


def test_files_that_cannot_move_say_so(place: Place) -> None:
    reason = "[E-1001] the file cannot be read: x. Give the worker's account permission."
    session = place.discovered(files=[], unregistrable={NOTES: "no dataset type fits", VIDEO: reason})

    assert (
        "could not register it: no dataset type fits."
        in why(place.ledger, place.file(session, NOTES)).sentence
    )
    assert reason in why(place.ledger, place.file(session, VIDEO)).sentence


def test_a_file_that_left_the_lab_says_since_when(place: Place) -> None:
    session = place.discovered(files=[], unregistrable={NOTES: "no dataset type fits"})
    place.discovered(files=[])

    assert (
        "gone from the lab machine since 2026-03-04 12:00Z"
        in why(place.ledger, place.file(session, NOTES)).sentence
    )


def test_a_session_tells_of_its_visit_its_files_or_its_end(place: Place) -> None:
    def told(session: int) -> Explanation:
        return why(place.ledger, Target(kind="session", name="", id=session))

    assert "not looked at yet" in told(place.seen("KS001")).sentence
    assert "has nothing left to do" in told(place.at(Status.RECORDED, "KS002")).sentence
    assert "registered in Alyx and waits" in told(place.at(Status.REGISTERED, "KS003")).sentence
    held = place.seen("KS004")
    place.hold_session(held, UnknownSession("Alyx has no such session", to="KS004"))
    assert told(held).owner is Owner.PERSON
    place.claim(busy := place.seen("KS005"))
    assert told(busy).owner is Owner.WORKER


def test_a_cancelled_batch_says_how_to_go_on(place: Place) -> None:
    session = place.at(Status.PLANNED)
    batch = place.item(session).batch
    actions.cancel(place.ledger, Target(kind="batch", name="", id=batch))

    told = why(place.ledger, place.file(session))

    assert "Cancelled by" in told.sentence
    assert told.owner is Owner.PERSON


# ---- finding what a person named


@pytest.mark.parametrize(
    "name",
    [
        "/rigs/cortexlab/Subjects/SW_012/2026-03-04/001/alf/spikes.times.npy",
        "SW_012/2026-03-04/001/alf/spikes.times.npy",
        "alf/spikes.times.npy",
        "spikes.times.npy",
        "001/alf/spikes.times.npy",
        str(dataset_uuid("SW_012/2026-03-04/001/alf/spikes.times.npy")),
        f"spikes.times.{dataset_uuid('SW_012/2026-03-04/001/alf/spikes.times.npy')}.npy",
        "1",
    ],
)
def test_a_file_may_be_named_in_many_ways(place: Place, name: str) -> None:
    session = place.at(Status.PLANNED)

    found = find(place.ledger, name, roots=ROOTS, kinds=("file", "session"))

    assert (found.kind, found.id) == ("file", place.file(session).id)


@pytest.mark.parametrize(
    "name", ["/rigs/cortexlab/Subjects/SW_012/2026-03-04/001", "SW_012/2026-03-04/001/", "2026-03-04/001"]
)
def test_a_session_may_be_named_in_many_ways(place: Place, name: str) -> None:
    session = place.at(Status.PLANNED)

    found = find(place.ledger, name, roots=ROOTS)

    assert (found.kind, found.id) == ("session", session)


def test_endpoints_labs_and_batches_have_names(place: Place) -> None:
    place.at(Status.PLANNED)

    assert find(place.ledger, "alyx", roots=ROOTS).kind == "endpoint"
    assert find(place.ledger, LAB.name, roots=ROOTS).kind == "lab"
    assert find(place.ledger, "batch:1", roots=ROOTS) == Target(kind="batch", name="batch:1", id=1)


def test_a_name_that_fits_two_files_lists_them(place: Place) -> None:
    place.at(Status.PLANNED, "KS001")
    place.at(Status.PLANNED, "KS002")

    with pytest.raises(NothingFound, match=r"Name one of: KS001/.*npy, KS002/.*npy"):
        find(place.ledger, "spikes.times.npy", roots=ROOTS)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nothing.npy", "the next scan finds it"),
        ("pikes.times.npy", "the next scan finds it"),
        ("%", "the next scan finds it"),
        ("", "the ledger knows no such"),
        ("/elsewhere/x.npy", "in no lab's data folder"),
        ("/rigs/cortexlab/Subjects/SW_012/2026-03-04/001/alf/other.npy", "the next scan finds it"),
        ("6f1c2b1e-6f0c-4b5c-9f0e-0d6d0f7f5a11", "the next scan finds it"),
        ("99999999999999999999", "the next scan finds it"),
        ("batch:7", "the next scan finds it"),
    ],
)
def test_a_name_nobody_has_is_refused_with_what_to_do(place: Place, name: str, says: str) -> None:
    place.at(Status.PLANNED)

    with pytest.raises(NothingFound, match=says):
        find(place.ledger, name, roots=ROOTS)


def test_facts_of_a_file_that_is_not_there_are_refused(place: Place) -> None:
    with pytest.raises(NothingFound):
        file_facts(place.ledger, 41)


def test_moments_are_aware(place: Place) -> None:
    facts = file_facts(place.ledger, place.file(place.at(Status.SENT)).row)

    assert isinstance(facts.not_before, datetime)
    assert facts.not_before.tzinfo is not None
