"""pause, resume and prioritise: what a person keeps from moving for a while, and what goes first."""

import shutil
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.ledger.build import LAB, ROUTE, SPIKES, VIDEO, Place
from tests.ledger.lab import on_both
from transfer import planning
from transfer.errors import ActionUnfitting, StoreDenied
from transfer.ledger import actions, endpoints
from transfer.ledger.finding import Kind, Target
from transfer.ledger.pausing import pause, place_of, resume
from transfer.ledger.prioritising import HIGHEST, prioritise
from transfer.ledger.scopes import PAUSED, Done
from transfer.planning import Limits
from transfer.status import Status

ANNE = "person:anne"
DENIED = StoreDenied("the store refused to write", to="alf")
STORE = Target(kind="endpoint", name=LAB.store)
CLAIMABLE = (Status.REGISTERED, Status.PLANNED, Status.SENT, Status.VERIFIED)


@pytest.fixture
def place(database_url: str) -> Iterator[Place]:
    made = Place(database_url)
    yield made
    made.close()


def session_of(number: int) -> Target:
    return Target(kind="session", name="", id=number)


def batch_of(place: Place, session: int) -> int:
    batch = place.item(session).batch
    assert batch is not None
    return batch


def told(place: Place) -> list[tuple[str, str, str | None]]:
    return [(row.subject, row.what, row.why) for row in place.events(actor=ANNE)]


# ---- a session


@pytest.mark.parametrize("status", CLAIMABLE)
def test_nothing_of_a_paused_session_moves_until_it_is_resumed(place: Place, status: Status) -> None:
    """Neither its files nor its visits; afterwards it goes on from the facts it stood at."""
    session = place.at(status)
    place.ledger.make_due(session)
    place.ledger.actor = ANNE

    pause(place.ledger, session_of(session), why="the rig is moved")
    assert place.ledger.claim_session(60) is None
    assert place.ledger.claim_batch(60) is None
    assert place.planned(session) == []
    assert place.item(session).status is status

    done = resume(place.ledger, session_of(session), why="it stands again")
    assert (done.items, done.sessions) == ([place.item(session).id], [session])
    assert place.ledger.claim_session(60, only=[session]) is not None
    assert place.item(session).status is status
    assert {why for _, what, why in told(place) if what == PAUSED} == {"the rig is moved"}
    assert {why for _, what, why in told(place) if what == "released"} == {"it stands again"}


def test_what_stands_under_its_final_name_finishes(place: Place) -> None:
    session = place.at(Status.PUBLISHED)

    assert pause(place.ledger, session_of(session), why="x").items == []
    assert place.ledger.claim_batch(60) is not None


def test_a_pause_says_who_why_and_how_it_ends(place: Place) -> None:
    session = place.at(Status.PLANNED)
    place.ledger.actor = ANNE

    pause(place.ledger, session_of(session), why="the rig is moved")

    assert place.item(session).hold == PAUSED
    row = place.session_row(session)
    assert (row.hold, row.hold_text) == (
        PAUSED,
        "Paused by anne: the rig is moved. Resume it to let it go on.",
    )


def test_resume_lifts_the_pause_and_no_other_hold(place: Place) -> None:
    """A file that was held before stays held; `release` would lift both."""
    session = place.at(Status.PLANNED, files=[SPIKES, VIDEO])
    place.hold(session, DENIED)
    pause(place.ledger, session_of(session), why="x")

    resume(place.ledger, session_of(session))
    assert sorted(item.hold or "" for item in place.items(session)) == ["", "store-denied"]

    pause(place.ledger, session_of(session), why="x")
    actions.release(place.ledger, session_of(session))
    assert [item.hold for item in place.items(session)] == [None, None]
    assert place.session_row(session).hold is None


def test_resume_lifts_no_cancellation(place: Place) -> None:
    session = place.at(Status.PLANNED)
    actions.cancel(place.ledger, session_of(session))

    assert resume(place.ledger, session_of(session)) == Done()
    assert place.item(session).hold == "cancelled"


def test_pausing_twice_and_resuming_twice_change_and_write_nothing(place: Place) -> None:
    session = place.at(Status.PLANNED)
    place.ledger.actor = ANNE
    for target in (session_of(session), STORE):
        pause(place.ledger, target, why="x")
        before = told(place)
        assert pause(place.ledger, target, why="x") == Done()
        assert told(place) == before

        assert resume(place.ledger, target)
        before = told(place)
        assert resume(place.ledger, target) == Done()
        assert told(place) == before


# ---- a place


def test_a_paused_place_is_not_used_and_the_event_says_why(place: Place) -> None:
    place.at(Status.PLANNED)
    place.ledger.actor = ANNE

    assert pause(place.ledger, STORE, why="the RAID is rebuilt") == Done(endpoints=[LAB.store])
    assert place.ledger.claim_batch(60) is None
    state = endpoints.state(place.ledger, LAB.store)
    assert state is not None
    assert (state.paused_by, state.pause_reason) == (ANNE, "the RAID is rebuilt")

    assert resume(place.ledger, STORE, why="it is whole") == Done(endpoints=[LAB.store])
    assert place.ledger.claim_batch(60) is not None
    assert told(place)[0] == ("endpoint", "paused", "the RAID is rebuilt")
    assert ("endpoint", "resumed", "it is whole") in told(place)


def test_a_lab_is_paused_at_its_repository() -> None:
    lab = Target(kind="lab", name=LAB.name)

    assert place_of(lab, {LAB.name: LAB.repository}) == Target(kind="endpoint", name=LAB.repository)
    assert place_of(lab, {}) == lab
    assert place_of(STORE, {LAB.store: "elsewhere"}) == STORE


@pytest.mark.parametrize("kind", ["file", "batch", "lab"])
def test_files_batches_and_labs_of_no_config_are_not_paused(place: Place, kind: Kind) -> None:
    target = Target(kind=kind, name="x", id=None if kind == "lab" else 1)
    for do in (pause, resume):
        with pytest.raises(ActionUnfitting):
            do(place.ledger, target, why="x")


# ---- what goes first


@on_both
def test_a_raised_session_is_visited_planned_and_moved_first(place: Place) -> None:
    """At each step, before the one that waits longer."""
    first, second = place.at(Status.REGISTERED, "KS001"), place.at(Status.REGISTERED, "KS002")
    prioritise(place.ledger, session_of(second), 10)

    plain, raised = place.planned(first), place.planned(second)
    claimed = place.ledger.claim_batch(60)
    assert claimed is not None
    assert claimed[1].id == raised[0] > plain[0]

    for session in (first, second):
        place.ledger.make_due(session)
    visited = place.ledger.claim_session(60)
    assert visited is not None
    assert visited[1].id == second
    assert place.ledger.due("session") == [first]


def test_what_is_planned_together_goes_only_with_its_like(place: Place) -> None:
    """Nothing else goes ahead in the batch of a raised session."""
    sessions = [place.at(Status.REGISTERED, f"KS{number:03}") for number in (1, 2, 3)]
    prioritise(place.ledger, session_of(sessions[1]), 10)

    opened = place.ledger.plan(ROUTE, partial(planning.batches, limits=Limits()), only=sessions)

    assert len(opened) == 2
    assert batch_of(place, sessions[0]) == batch_of(place, sessions[2]) == opened[1]
    assert batch_of(place, sessions[1]) == opened[0]


def test_the_batches_that_carry_it_already_are_raised_with_it(place: Place) -> None:
    session, other = place.at(Status.SENT, "KS001"), place.at(Status.SENT, "KS002")
    place.ledger.actor = ANNE

    done = prioritise(place.ledger, session_of(other), 7, why="for Friday")

    assert done == Done(sessions=[other], batches=[batch_of(place, other)])
    assert place.ledger.due("batch") == [batch_of(place, other), batch_of(place, session)]
    assert sorted(told(place)) == [
        ("batch", "prioritised", "for Friday"),
        ("session", "prioritised", "for Friday"),
    ]
    assert prioritise(place.ledger, session_of(other), 7) == Done()
    assert prioritise(place.ledger, session_of(other), 0) == done
    assert place.ledger.due("batch") == [batch_of(place, session), batch_of(place, other)]


def test_a_labs_word_is_for_sessions_that_have_something_to_do(place: Place) -> None:
    moving, arrived = place.at(Status.SENT, "KS001"), place.at(Status.RECORDED, "KS002")

    done = prioritise(place.ledger, Target(kind="lab", name=LAB.name), 3)

    assert done.sessions == [moving]
    assert (place.session_row(moving).priority, place.session_row(arrived).priority) == (3, 0)


def test_a_batch_may_be_named_itself(place: Place) -> None:
    place.at(Status.SENT, "KS001")
    batch = batch_of(place, place.at(Status.SENT, "KS002"))

    assert prioritise(place.ledger, Target(kind="batch", name="", id=batch), -5).batches == [batch]
    assert place.ledger.due("batch")[-1] == batch


@pytest.mark.parametrize("level", [HIGHEST + 1, -HIGHEST - 1, 2**63])
def test_a_level_is_bounded(place: Place, level: int) -> None:
    with pytest.raises(ActionUnfitting):
        prioritise(place.ledger, session_of(place.at(Status.SENT)), level)


@pytest.mark.parametrize("target", [STORE, Target(kind="file", name="x", id=1)], ids=lambda one: one.kind)
def test_places_and_files_have_no_priority(place: Place, target: Target) -> None:
    with pytest.raises(ActionUnfitting):
        prioritise(place.ledger, target, 1)


ACTS = st.lists(
    st.tuples(
        st.sampled_from(["pause", "resume", "prioritise", "claim"]), st.integers(0, 2), st.integers(-3, 3)
    ),
    max_size=12,
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(acts=ACTS)
def test_whatever_was_said_the_claims_follow_the_levels_and_pass_by_what_is_paused(
    acts: list[tuple[str, int, int]], migrated_sqlite: Path
) -> None:
    """Of the sessions that may be visited, one of the highest level is, and never a paused one."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.db"
        shutil.copy(migrated_sqlite, path)
        place = Place(f"sqlite:///{path}")
        sessions = [place.seen(f"KS{number:03}") for number in range(3)]
        for session in sessions:
            place.ledger.make_due(session)
        levels, paused = dict.fromkeys(sessions, 0), set[int]()
        for act, number, level in acts:
            session = sessions[number]
            match act:
                case "pause":
                    pause(place.ledger, session_of(session), why="x")
                    paused.add(session)
                case "resume":
                    resume(place.ledger, session_of(session))
                    paused.discard(session)
                case "prioritise":
                    prioritise(place.ledger, session_of(session), level)
                    levels[session] = level
                case _:
                    claimed = place.ledger.claim_session(60)
                    free = {one: levels[one] for one in sessions if one not in paused}
                    assert (claimed is None) == (not free)
                    if claimed is not None:
                        assert free.get(claimed[1].id) == max(free.values())
                        place.ledger.release(claimed[0])
        place.close()
