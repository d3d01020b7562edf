"""What the dashboard asks of the ledger: lists page by page, the first page, one file's way, who works."""

from collections.abc import Callable
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import pytest
from lab import NOON, World, on_both
from sqlalchemy import update

from transfer.errors import ConnectionLost, NothingFound, StoreDenied, StoreFull
from transfer.ledger import actions, endpoints
from transfer.ledger.finding import exactly
from transfer.ledger.glance import audit, crew, matters, overview, pages, places, rounds, sessions, timeline
from transfer.ledger.glance import transfers as asked_transfers
from transfer.ledger.glance.sessions import State, Wanted
from transfer.ledger.glance.timeline import Phase
from transfer.ledger.tables import sessions as session_table
from transfer.recurrence import Interval
from transfer.status import Status

LIMITS = [1, 2, 3, 7, 200]


def walk(ask: Callable[..., pages.Page[Any]], limit: int) -> list[Any]:
    """Every row of every page."""
    rows: list[Any] = []
    after: str | None = None
    while True:
        page = ask(after=after, limit=limit)
        assert len(page.rows) <= limit
        rows += page.rows
        if page.after is None:
            return rows
        after = page.after


def several(world: World) -> list[int]:
    """Seven sessions of three days, the last of them seen and no more."""
    made = [world.session(number) for number in range(1, 8)]
    for number, session in enumerate(made[:6]):
        world.visit(session, {f"alf/{number}.{n}.npy": f"{number} {n}" for n in range(2)})
    with world.ledger.writing() as connection:
        for number, session in enumerate(made):
            of = session_table.c.id == session
            when = {"complete_at": NOON} if number < 6 else {}
            values = {"date": date(2026, 3, 1 + number % 3), "subject": f"S%{number % 2}", **when}
            connection.execute(update(session_table).where(of).values(**values))
    return made


# ---- sessions and files


@on_both
@pytest.mark.parametrize("limit", LIMITS)
def test_each_session_stands_on_exactly_one_page_the_newest_first(world: World, limit: int) -> None:
    made = several(world)
    rows = walk(lambda **page: sessions.sessions(world.ledger, Wanted(), **page), limit)
    assert sorted(row.id for row in rows) == made
    assert all((one.date, one.id) > (other.date, other.id) for one, other in pairwise(rows))


@on_both
def test_a_session_that_comes_between_two_pages_shows_none_twice(world: World) -> None:
    several(world)
    first = sessions.sessions(world.ledger, Wanted(), limit=3)
    world.session(9)
    rest = sessions.sessions(world.ledger, Wanted(), after=first.after, limit=200)
    shown = [row.id for row in (*first.rows, *rest.rows)]
    assert len(shown) == len(set(shown)) == 7


@on_both
def test_sessions_are_found_by_state(world: World) -> None:
    made = several(world)
    held, arriving, stopped = made[0], made[1], made[2]
    batch = world.plan(only=[arriving])[0]
    lease = world.claim(batch)
    world.advance(lease, Status.RECORDED)
    world.ledger.release(lease)
    with world.ledger.unguarded() as tx:
        tx.hold([(one, StoreDenied("no")) for one in tx.items() if one.session == held])
    with world.ledger.writing() as connection:
        connection.execute(
            update(session_table).where(session_table.c.id == stopped).values(hold="unknown-session")
        )

    def found(state: State) -> set[int]:
        return {row.id for row in sessions.sessions(world.ledger, Wanted(state=state), limit=200).rows}

    assert found(State.ARRIVED) == {arriving}
    assert found(State.HELD) == {held, stopped}
    assert found(State.MOVING) == {*made[2:6]}
    assert found(State.NEW) == {made[6]}


@on_both
@pytest.mark.parametrize(
    ("subject", "numbers"),
    [
        ("S%", {0, 1, 2, 3, 4, 5, 6}),
        ("S%1", {1, 3, 5}),
        ("S_1", set()),
        ("s%", set()),
        ("S%1x", set()),
        ("\U0010ffff", set()),
    ],
)
def test_a_subject_is_found_by_its_beginning_and_by_nothing_that_looks_like_a_pattern(
    world: World, subject: str, numbers: set[int]
) -> None:
    made = several(world)
    rows = sessions.sessions(world.ledger, Wanted(subject=subject), limit=200).rows
    assert {made.index(row.id) for row in rows} == numbers


@on_both
def test_sessions_are_found_by_lab_and_dates(world: World) -> None:
    made = several(world)
    wanted = Wanted(lab=world.lab.name, since=date(2026, 3, 2), until=date(2026, 3, 2))
    assert [row.id for row in sessions.sessions(world.ledger, wanted).rows] == [made[4], made[1]]
    assert sessions.sessions(world.ledger, Wanted(lab="elsewhere")).rows == ()


@pytest.mark.parametrize(
    "after",
    [
        "",
        "1",
        "x~y",
        "2026-03-01~x",
        "2026-13-01~4",
        "2026-03-01~4~4",
        f"2026-03-01~{'9' * 30}",
        "2026-03-01~²",
    ],
)
def test_a_cursor_of_another_list_is_refused(world: World, after: str) -> None:
    with pytest.raises(NothingFound):
        sessions.sessions(world.ledger, Wanted(), after=after)


@on_both
@pytest.mark.parametrize("limit", LIMITS)
def test_each_file_stands_on_exactly_one_page(world: World, limit: int) -> None:
    made = several(world)
    (batch,) = world.plan(only=[made[3]])
    of_session = walk(lambda **page: sessions.files(world.ledger, session=made[3], **page), limit)
    of_batch = walk(lambda **page: sessions.files(world.ledger, batch=batch, **page), limit)
    registered = walk(lambda **page: sessions.files(world.ledger, status="registered", **page), limit)
    assert [row.relative_path for row in of_session] == ["alf/3.0.npy", "alf/3.1.npy"]
    assert of_batch == of_session
    assert len({row.id for row in registered}) == len(registered) == 10


# ---- transfers


@on_both
def test_a_batch_tells_its_pace_only_when_there_is_one(world: World) -> None:
    batch = world.planned("a" * 100, "b" * 900)
    assert asked_transfers.moving(world.ledger) == ()
    lease = world.claim(batch)
    (new,) = asked_transfers.moving(world.ledger)
    assert (new.doing, new.rate, new.done_at, new.lab) == ("sending", None, None, world.lab.name)
    world.clock.passes(seconds=10)
    world.ledger.heartbeat(lease, moved=500)
    (known,) = asked_transfers.moving(world.ledger)
    assert known.rate == pytest.approx(50)
    assert known.done_at == world.clock() + timedelta(seconds=10)
    world.advance(lease, Status.SENT)
    assert asked_transfers.transfer(world.ledger, batch).doing == "verifying"
    world.advance(lease, Status.VERIFIED)
    assert asked_transfers.transfer(world.ledger, batch).doing == "recording"
    world.advance(lease, Status.RECORDED)
    world.ledger.release(lease)
    done = asked_transfers.transfer(world.ledger, batch)
    assert (done.doing, done.files_recorded, done.rate, done.open) == ("done", 2, None, False)
    with pytest.raises(NothingFound):
        asked_transfers.transfer(world.ledger, batch + 1)


@on_both
def test_a_second_claim_counts_its_own_bytes_only(world: World) -> None:
    batch = world.planned("a" * 900)
    first = world.claim(batch)
    world.ledger.heartbeat(first, moved=600)
    world.clock.passes(seconds=100)
    lease = world.claim(batch)
    world.clock.passes(seconds=10)
    world.ledger.heartbeat(lease, moved=100)
    assert asked_transfers.transfer(world.ledger, batch).rate == pytest.approx(10)


@on_both
@pytest.mark.parametrize("limit", LIMITS)
def test_each_batch_stands_on_exactly_one_page(world: World, limit: int) -> None:
    made = [world.planned(f"f{n}", number=n) for n in range(1, 6)]
    rows = walk(lambda **page: asked_transfers.transfers(world.ledger, **page), limit)
    assert [row.id for row in rows] == made[::-1]


# ---- one file's way


@on_both
def test_a_file_s_time_is_split_into_what_it_was_spent_on(world: World) -> None:
    batch = world.planned("a")
    world.clock.passes(seconds=5)
    lease = world.claim(batch)
    (item,) = world.ledger.due_items(batch)
    world.clock.passes(seconds=1)
    with world.ledger.guarded(lease) as tx:
        tx.intend([(item, lease.token, ".partial")])
    for here in (Status.SENT, Status.VERIFIED, Status.PUBLISHED, Status.RECORDED):
        world.clock.passes(seconds=2)
        world.advance(lease, here)
    told = timeline.timeline(world.ledger, item.dataset)
    lengths = [(span.phase, (span.end - span.begin).total_seconds()) for span in told.spans if span.end]
    assert [one for one in lengths if one[1]] == [
        (Phase.WAITING, 5),
        (Phase.CONNECTING, 1),
        (Phase.SENDING, 2),
        (Phase.VERIFYING, 2),
        (Phase.WRITING_BACK, 4),
    ]
    assert all(one.end == other.begin for one, other in pairwise(told.spans))
    assert told.spans[-1].end == world.clock()
    assert [one.outcome for one in told.attempts][-1] == "recorded"


@on_both
def test_what_failed_waits_and_says_for_what(world: World) -> None:
    batch = world.planned("a")
    lease = world.claim(batch)
    (item,) = world.ledger.due_items(batch)
    with world.ledger.guarded(lease) as tx:
        tx.postpone([(item, ConnectionLost("cut"))], at=NOON + timedelta(minutes=1))
    told = timeline.timeline(world.ledger, item.dataset)
    assert (told.spans[-1].phase, told.spans[-1].end) == (Phase.WAITING, None)
    assert (told.attempts[-1].outcome, told.attempts[-1].code) == ("failed", ConnectionLost.code)


def test_a_file_that_is_not_known_has_no_way(world: World) -> None:
    with pytest.raises(NothingFound):
        timeline.timeline(world.ledger, 77)


# ---- the first page


@on_both
def test_an_empty_ledger_has_an_empty_first_page(world: World) -> None:
    found = overview.overview(world.ledger)
    assert found.empty
    assert (found.routes, found.matters, found.moving, found.causes, found.failures) == ((), (), (), (), ())


@on_both
def test_the_first_page_counts_what_the_lists_hold(world: World) -> None:
    endpoints.ensure(world.ledger, [world.lab.store, world.lab.repository])
    batch = world.planned("a", "b", "c", "d", "e")
    lease = world.claim(batch)
    one, *others = world.ledger.due_items(batch)
    with world.ledger.guarded(lease) as tx:
        tx.postpone([(one, StoreFull("full"))], at=NOON + timedelta(minutes=1))
        tx.hold([(held, StoreDenied("no")) for held in others])
    found = overview.overview(world.ledger)
    (route,) = found.routes
    assert (route.backlog_files, route.held_files) == (5, 4)
    assert {(cause.code, cause.files) for cause in found.causes} == {
        (StoreFull.code, 1),
        (StoreDenied.code, 4),
    }
    assert {(fault.code, fault.day_files) for fault in found.failures} == {
        (StoreFull.code, 1),
        (StoreDenied.code, 4),
    }
    (matter,) = found.matters
    assert (matter.kind, matter.files, matter.code) == ("files", 4, StoreDenied.code)
    assert [place.backlog_files for place in found.places if place.name == world.lab.store] == [5]


@on_both
def test_few_held_files_are_matters_of_their_own_with_something_to_do(world: World) -> None:
    batch = world.planned("a", "b")
    lease = world.claim(batch)
    with world.ledger.guarded(lease) as tx:
        tx.hold([(one, StoreDenied("no")) for one in world.ledger.due_items(batch)])
    world.ledger.release(lease)
    with world.ledger.reading() as connection:
        found = matters.asked(connection)
    assert [one.action for one in found] == ["release", "release"]
    for one in found:
        assert one.target is not None
        assert actions.release(world.ledger, exactly(world.ledger, one.target))
    with world.ledger.reading() as connection:
        assert matters.asked(connection) == ()


@on_both
def test_what_a_person_stopped_is_no_matter(world: World) -> None:
    batch = world.planned("a")
    actions.cancel(world.ledger, exactly(world.ledger, f"batch:{batch}"))
    with world.ledger.reading() as connection:
        assert matters.asked(connection) == ()


# ---- places, rounds, who works, who did what


@on_both
def test_a_place_says_in_one_word_how_it_stands(world: World) -> None:
    endpoints.ensure(world.ledger, ["a", "b", "c"])
    endpoints.failed(world.ledger, "b", ConnectionLost("cut"), retry_at=NOON + timedelta(minutes=1))
    endpoints.pause(world.ledger, "c", by="person:anne", reason="new disks")
    found = {place.name: place for place in places.places(world.ledger)}
    assert {name: place.standing for name, place in found.items()} == {
        "a": "well",
        "b": "waiting",
        "c": "paused",
    }
    assert found["b"].last_error == ConnectionLost.code
    assert found["b"].reasons[0].at_once == 2


@on_both
def test_a_worker_is_alive_silent_or_stopped(world: World) -> None:
    batch = world.planned("a")
    world.claim(batch)
    (unsaid,) = crew.workers(world.ledger)
    assert (unsaid.standing, unsaid.holds[0].kind) == ("alive", "batch")
    crew.here(world.ledger, version="1", hands=4)
    (alive,) = crew.workers(world.ledger)
    assert (alive.standing, alive.hands, alive.holds[0].id) == ("alive", 4, str(batch))
    world.clock.passes(minutes=4)
    (silent,) = crew.workers(world.ledger)
    assert (silent.standing, silent.holds) == ("silent", ())
    crew.here(world.ledger, version="2", hands=4)
    assert crew.workers(world.ledger)[0].version == "2"
    crew.gone(world.ledger)
    assert crew.workers(world.ledger)[0].standing == "stopped"
    world.clock.passes(days=8)
    assert crew.workers(world.ledger) == ()


@on_both
@pytest.mark.parametrize("limit", LIMITS)
def test_what_people_did_is_told_newest_first_with_names(world: World, limit: int) -> None:
    made = several(world)
    anne = world.ledger.acting_as("person:anne")
    for session in made[:3]:
        actions.cancel(anne, exactly(anne, f"session:{session}"), why="moved house")
    rows = walk(lambda **page: audit.acts(world.ledger, **page), limit)
    assert [row.id for row in rows] == sorted((row.id for row in rows), reverse=True)
    assert {row.person for row in rows} == {"anne"}
    assert {row.why for row in rows} == {"moved house"}
    assert any(row.name.endswith("alf/0.0.npy") for row in rows)
    assert audit.acts(world.ledger, person="bert").rows == ()


@on_both
def test_a_round_tells_when_it_was_walked(world: World) -> None:
    from transfer.ledger.jobs import claim_job, job_ran

    lease = claim_job(world.ledger, "scan churchlandlab", when=Interval(timedelta(minutes=1)), seconds=60)
    assert lease is not None
    assert rounds.rounds(world.ledger)[0].holder is not None
    job_ran(world.ledger, lease, "2 sessions")
    (done,) = rounds.rounds(world.ledger)
    assert (done.name, done.last_run, done.last_outcome, done.holder) == (
        "scan churchlandlab",
        NOON,
        "2 sessions",
        None,
    )
