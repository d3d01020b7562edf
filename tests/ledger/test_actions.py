"""What a person may do: release, retry, cancel; safe to repeat, written down, and never past a proof."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.ledger.build import LAB, NOON, NOTES, SPIKES, VIDEO, Place
from tests.ledger.lab import on_both
from transfer.errors import (
    ActionUnfitting,
    NothingFound,
    SourceVanished,
    StoreDenied,
    StoreFull,
    UnknownSession,
)
from transfer.ledger import actions, endpoints, reports
from transfer.ledger.actions import CANCELLED, Done
from transfer.ledger.finding import Target
from transfer.status import JOURNEY, Status

ANNE = "person:anne"
DENIED = StoreDenied("the store refused to write", to="alf")
FULL = StoreFull("no space left", to=LAB.store)
OPEN_FACTS = JOURNEY[:-1]


@pytest.fixture
def place(database_url: str) -> Iterator[Place]:
    made = Place(database_url)
    yield made
    made.close()


def session_of(number: int) -> Target:
    return Target(kind="session", name="", id=number)


def the_lab() -> Target:
    return Target(kind="lab", name=LAB.name)


def as_anne(place: Place) -> None:
    place.ledger.actor = ANNE


# ---- release


@pytest.mark.parametrize("status", OPEN_FACTS)
def test_a_released_file_goes_on_from_the_fact_it_stands_at(place: Place, status: Status) -> None:
    session = place.at(status)
    place.hold(session, DENIED)
    before = place.item(session)
    place.clock.forward(hours=1)
    as_anne(place)

    done = actions.release(place.ledger, place.file(session), why="rights were given")

    (row,) = reports.files(place.ledger, session=session)
    assert done.items == [before.id]
    assert (row.status, row.hold, row.tries, row.error) == (status, None, 0, None)
    assert row.not_before == place.clock.now
    assert place.item(session).proof == before.proof
    (event,) = place.events(actor=ANNE)
    assert (event.what, event.was, event.why) == ("released", "store-denied", "rights were given")


def test_a_released_file_that_is_not_registered_has_its_session_visited(place: Place) -> None:
    session = place.at(Status.DISCOVERED)
    place.hold(session, DENIED)
    lease, row = place.claim(session)
    with place.ledger.guarded(lease) as tx:
        from transfer.ledger.intake import finish_session

        finish_session(tx, row, look="0" * 32)
    place.ledger.release(lease)

    actions.release(place.ledger, place.file(session))

    assert place.ledger.claim_session(60) is not None


def test_a_released_file_whose_batch_had_failed_is_claimed_at_once(place: Place) -> None:
    session = place.at(Status.PLANNED)
    item = place.item(session)
    lease = place.claim_batch(item.batch or 0)
    with place.ledger.guarded(lease) as tx:
        tx.hold([(item, DENIED)])
    place.ledger.postpone(lease, at=NOON + timedelta(hours=5), error=FULL)
    place.ledger.release(lease)

    actions.release(place.ledger, place.file(session))

    assert place.ledger.claim_batch(60) is not None


def test_a_released_session_is_due_and_so_are_its_files(place: Place) -> None:
    session = place.at(Status.SENT, files=[SPIKES, VIDEO])
    place.hold(session, DENIED)
    place.hold_session(session, UnknownSession("Alyx has no such session", to="SW_012"))

    done = actions.release(place.ledger, session_of(session))

    assert (len(done.items), done.sessions) == (1, [session])
    assert reports.held(place.ledger).files == ()
    assert place.session_row(session).hold is None
    assert place.ledger.claim_session(60) is not None


def test_a_file_that_could_not_move_is_looked_at_again(place: Place) -> None:
    reason = "[E-1001] the file cannot be read: x. Give the worker's account permission."
    session = place.discovered(files=[], unregistrable={VIDEO: reason, NOTES: "no dataset type fits"})
    lease, row = place.claim(session)
    with place.ledger.guarded(lease) as tx:
        from transfer.ledger.intake import finish_session

        finish_session(tx, row, look="0" * 32)
    place.ledger.release(lease)

    assert not actions.release(place.ledger, place.file(session, NOTES))
    assert actions.release(place.ledger, place.file(session, VIDEO)).sessions == [session]
    assert place.ledger.claim_session(60) is not None


def test_an_endpoint_is_released_by_its_name(place: Place) -> None:
    endpoints.pause(place.ledger, LAB.store, by=ANNE, reason="The RAID is rebuilt.")
    store = Target(kind="endpoint", name=LAB.store)

    assert actions.release(place.ledger, store).endpoints == [LAB.store]
    assert not actions.release(place.ledger, store)
    with pytest.raises(NothingFound):
        actions.release(place.ledger, Target(kind="endpoint", name="nowhere"))


def test_everything_held_for_one_reason_is_released_and_nothing_else(place: Place) -> None:
    denied = place.at(Status.SENT, "KS001")
    place.hold(denied, DENIED)
    gone = place.at(Status.SENT, "KS002")
    place.hold(gone, SourceVanished("the lab's file is gone", to="x"))
    endpoints.pause(place.ledger, LAB.store, by=ANNE, reason="The RAID is rebuilt.")
    endpoints.resume(place.ledger, LAB.store)
    endpoints.pause(place.ledger, "alyx", by=ANNE, reason="update")

    done = actions.release_all(place.ledger, hold="store-denied")

    assert done.items == [place.item(denied).id]
    assert [row.hold for row in reports.held(place.ledger).files] == ["source-vanished"]
    assert actions.release_all(place.ledger).endpoints == ["alyx"]
    assert not reports.held(place.ledger)


# ---- retry


def test_a_postponed_file_is_due_at_once(place: Place) -> None:
    session = place.at(Status.SENT)
    place.postpone(session, FULL, at=NOON + timedelta(hours=2))

    done = actions.retry(place.ledger, place.file(session))

    (row,) = reports.files(place.ledger, session=session)
    assert done.items == [row.item]
    assert (row.status, row.not_before, row.tries, row.error) == (Status.SENT, NOON, 0, None)


def test_a_session_is_visited_again(place: Place) -> None:
    session = place.at(Status.RECORDED)

    assert actions.retry(place.ledger, session_of(session)).sessions == [session]
    assert place.ledger.claim_session(60) is not None


def test_retrying_a_session_leaves_held_files_to_release(place: Place) -> None:
    session = place.at(Status.SENT)
    place.hold(session, DENIED)

    actions.retry(place.ledger, session_of(session))

    assert reports.held(place.ledger).files


def test_a_held_file_that_is_named_begins_again(place: Place) -> None:
    """Its journey starts at DISCOVERED: nothing that was proved before is believed."""
    session = place.at(Status.VERIFIED)
    place.hold(session, DENIED)

    actions.retry(place.ledger, place.file(session))

    item = place.item(session)
    assert (item.status, item.batch, item.partial, item.proof, item.hold) == (
        Status.DISCOVERED,
        None,
        None,
        None,
        None,
    )
    assert place.ledger.claim_session(60) is not None


# ---- cancel


def test_a_cancelled_session_is_not_claimed_until_it_is_released(place: Place) -> None:
    session = place.at(Status.PLANNED)
    place.ledger.make_due(session)
    as_anne(place)

    actions.cancel(place.ledger, session_of(session), why="wrong subject")

    assert place.ledger.claim_batch(60) is None
    assert place.ledger.claim_session(60) is None
    (row,) = reports.held(place.ledger).files
    assert (row.hold, row.hold_text) == (
        CANCELLED,
        "Cancelled by anne: wrong subject. Release it to let it go on.",
    )
    actions.release(place.ledger, session_of(session))
    assert place.ledger.claim_batch(60) is not None
    assert place.ledger.claim_session(60) is not None


def test_a_running_worker_writes_nothing_about_cancelled_files(place: Place) -> None:
    session = place.at(Status.PLANNED)
    item = place.item(session)
    lease = place.claim_batch(item.batch or 0)

    actions.cancel(place.ledger, place.file(session))

    with place.ledger.guarded(lease) as tx:
        assert tx.intend([(item, lease.token, "x.part")]) == []
        tx.postpone([(item, FULL)], at=NOON)
    assert place.ledger.due_items(item.batch or 0) == []
    assert place.item(session).hold == CANCELLED


def test_what_stands_at_the_store_already_is_left_to_finish(place: Place) -> None:
    """A central record that may have been announced is never left behind with a held item."""
    published = place.at(Status.PUBLISHED)

    done = actions.cancel(place.ledger, session_of(published))

    assert done.items == []
    assert place.item(published).hold is None
    assert place.ledger.claim_batch(60) is not None


def test_cancelling_a_session_spares_the_others_of_its_batch(place: Place) -> None:
    one, other = place.at(Status.REGISTERED, "KS001"), place.at(Status.REGISTERED, "KS002")
    from functools import partial

    from tests.ledger.build import ROUTE
    from transfer import planning
    from transfer.planning import Limits

    (batch,) = place.ledger.plan(ROUTE, partial(planning.batches, limits=Limits()))

    done = actions.cancel(place.ledger, session_of(one))

    assert done.batches == []
    claimed = place.ledger.claim_batch(60)
    assert claimed is not None
    assert [item.session for item in place.ledger.due_items(batch)] == [other]


def test_a_whole_lab_and_a_batch_are_cancelled(place: Place) -> None:
    first, second = place.at(Status.PLANNED, "KS001"), place.at(Status.SENT, "KS002")
    batch = Target(kind="batch", name="", id=place.item(first).batch)

    assert actions.cancel(place.ledger, batch).batches == [place.item(first).batch]
    assert place.item(second).hold is None
    assert actions.cancel(place.ledger, the_lab()).items == [place.item(second).id]
    assert place.ledger.claim_batch(60) is None
    assert actions.release(place.ledger, batch).batches == [place.item(first).batch]
    assert place.ledger.claim_batch(60) is not None


def test_an_endpoint_is_paused_not_cancelled(place: Place) -> None:
    with pytest.raises(ActionUnfitting, match="alyx-transfer pause alyx"):
        actions.cancel(place.ledger, Target(kind="endpoint", name="alyx"))


# ---- always and never

ACTIONS: dict[str, Callable[[Place, Target], Done]] = {
    "release": lambda place, target: actions.release(place.ledger, target),
    "retry": lambda place, target: actions.retry(place.ledger, target),
    "cancel": lambda place, target: actions.cancel(place.ledger, target),
}
TROUBLES: dict[str, Callable[[Place, int], None]] = {
    "held": lambda place, session: place.hold(session, DENIED),
    "postponed": lambda place, session: place.postpone(session, FULL, at=NOON + timedelta(hours=3)),
    "nothing": lambda place, session: None,
}
KINDS = ("file", "session", "lab", "batch")


@given(
    status=st.sampled_from(JOURNEY),
    trouble=st.sampled_from(sorted(TROUBLES)),
    asked=st.lists(
        st.tuples(st.sampled_from(sorted(ACTIONS)), st.sampled_from(KINDS)), min_size=1, max_size=4
    ),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_action_goes_forward_and_each_may_be_repeated(
    migrated_sqlite: Path, status: Status, trouble: str, asked: list[tuple[str, str]]
) -> None:
    """No action proves anything, closes anything, or does anything the second time."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(migrated_sqlite, file := Path(folder, "ledger.db"))
        place = Place(f"sqlite:///{file}")
        session = place.at(status)
        if status is not Status.RECORDED:
            TROUBLES[trouble](place, session)
        batch = place.item(session).batch
        targets = {
            "file": place.file(session),
            "session": session_of(session),
            "lab": the_lab(),
            "batch": Target(kind="batch", name="", id=batch or 1),
        }
        as_anne(place)
        for name, kind in asked:
            before = place.item(session)
            ACTIONS[name](place, targets[kind])
            after = place.item(session)
            assert JOURNEY.index(after.status) <= JOURNEY.index(before.status)
            assert after.id == before.id
            told = len(place.events(actor=ANNE))
            assert not ACTIONS[name](place, targets[kind]), (name, kind)
            assert len(place.events(actor=ANNE)) == told
        # and afterwards a release always lets the work go on
        actions.release_all(place.ledger)
        assert not reports.held(place.ledger)
        if status is not Status.RECORDED:
            actions.retry(place.ledger, targets["session"])
            standing = place.item(session)
            if standing.batch is not None:
                assert place.ledger.claim_batch(60) is not None
            elif standing.status is Status.DISCOVERED:
                assert place.ledger.claim_session(60) is not None
        place.close()


@on_both
def test_every_action_is_understood_by_the_database(place: Place) -> None:
    session = place.at(Status.SENT, "KS001", [SPIKES, VIDEO])
    place.hold(session, DENIED)

    assert actions.cancel(place.ledger, the_lab())
    assert actions.retry(place.ledger, place.file(session))
    assert actions.release_all(place.ledger)
    assert actions.cancel(place.ledger, session_of(session))
    assert actions.release(place.ledger, session_of(session))
