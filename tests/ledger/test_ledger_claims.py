"""What is due: claims hand out what can be worked on now, in a fair order, and nothing else."""

from datetime import timedelta

import pytest
from sqlalchemy import Engine, event, text, update

from tests.ledger.lab import LAB, NOON, World, look, on_both
from transfer.errors import (
    CatalogUnreachable,
    EndpointUnreachable,
    StoreRefused,
    UnknownOutcome,
    UnknownSession,
)
from transfer.ledger import endpoints
from transfer.ledger.guarded import Move
from transfer.ledger.intake import discovered, finish_session
from transfer.ledger.tables import batches, sessions
from transfer.status import Status

OFFLINE = EndpointUnreachable("no answer", to="sftp://flatiron")


def claimed_batch(world: World, **limits: object) -> int | None:
    found = world.ledger.claim_batch(60, **limits)  # type: ignore[arg-type]
    return found[1].id if found else None


def claimed_session(world: World, **limits: object) -> int | None:
    found = world.ledger.claim_session(60, **limits)  # type: ignore[arg-type]
    return found[1].id if found else None


def set_batch(world: World, batch: int, **values: object) -> None:
    with world.ledger.writing() as connection:
        connection.execute(update(batches).where(batches.c.id == batch).values(**values))


# ---- batches


@on_both
def test_urgent_batches_first_then_the_oldest(world: World) -> None:
    first, second, third = (world.planned(f"f{n}", number=n) for n in (1, 2, 3))
    set_batch(world, third, priority=5)
    assert world.ledger.due("batch") == [third, first, second]
    assert [claimed_batch(world) for _ in range(4)] == [third, first, second, None]
    assert world.ledger.due("batch") == []


@on_both
def test_a_batch_whose_items_wait_or_are_held_is_not_due(world: World) -> None:
    batch = world.planned("a", "b")
    lease = world.claim(batch)
    one, other = world.ledger.due_items(batch)
    with world.ledger.guarded(lease) as tx:
        tx.hold([(one, StoreRefused("no"))])
        tx.postpone([(other, StoreRefused("no"))], at=NOON + timedelta(minutes=5))
    world.ledger.release(lease)
    assert claimed_batch(world) is None
    world.clock.passes(minutes=5)
    assert [item.id for item in world.ledger.due_items(batch)] == [other.id]
    assert claimed_batch(world) == batch


@on_both
def test_a_postponed_batch_waits(world: World) -> None:
    batch = world.planned("a")
    lease = world.claim(batch)
    world.ledger.postpone(lease, at=NOON + timedelta(minutes=5), error=OFFLINE)
    assert world.ledger.tries(lease) == 1
    world.ledger.release(lease)
    world.clock.passes(minutes=4, seconds=59)
    assert claimed_batch(world) is None
    world.clock.passes(seconds=1)
    lease = world.claim(batch)
    world.ledger.went_well(lease)
    assert world.ledger.tries(lease) == 0


@pytest.mark.parametrize("values", [{"cancel_at": NOON}, {"open": None}], ids=["cancelled", "closed"])
def test_a_cancelled_or_closed_batch_is_not_due(world: World, values: dict[str, object]) -> None:
    set_batch(world, world.planned("a"), **values)
    assert claimed_batch(world) is None


def test_only_those_asked_for(world: World) -> None:
    first, second = world.planned("a", number=1), world.planned("b", number=2)
    assert claimed_batch(world, sources=["rig_8"]) is None
    assert claimed_batch(world, sources=[]) is None
    assert claimed_batch(world, only=[]) is None
    assert claimed_batch(world, only=[second]) == second
    assert claimed_batch(world, sources=["rig_7", "rig_8"], only=[first, second]) == first


@on_both
@pytest.mark.parametrize("name", [LAB.store, LAB.repository, endpoints.ALYX])
def test_nothing_is_claimed_for_an_endpoint_that_is_kept_back(world: World, name: str) -> None:
    """Store, lab and Alyx alike; when its time has come, or a person resumes it, all goes on.

    What stands verified at the store needs all three.
    """
    lease = world.claim(world.planned("a"))
    world.advance(lease, Status.VERIFIED)
    world.ledger.release(lease)
    endpoints.ensure(world.ledger, [name])
    endpoints.failed(world.ledger, name, OFFLINE, retry_at=NOON + timedelta(minutes=5))
    assert claimed_batch(world) is None
    assert world.ledger.due("batch") == []
    world.clock.passes(minutes=5)
    assert len(world.ledger.due("batch")) == 1

    endpoints.pause(world.ledger, name, by="anna", reason="maintenance")
    world.clock.passes(days=30)
    assert claimed_batch(world) is None
    assert endpoints.resume(world.ledger, name)
    assert claimed_batch(world) is not None


@on_both
@pytest.mark.parametrize("status", [Status.PLANNED, Status.SENT, Status.VERIFIED, Status.PUBLISHED])
def test_while_alyx_is_away_a_batch_is_claimed_only_for_what_does_not_need_it(
    world: World, status: Status
) -> None:
    """Bytes are sent and verified; publish and record wait, and nobody claims in vain for them."""
    lease = world.claim(world.planned("a"))
    world.advance(lease, status)
    world.ledger.release(lease)
    endpoints.ensure(world.ledger, [endpoints.ALYX])
    endpoints.pause(world.ledger, endpoints.ALYX, by="anna", reason="maintenance")

    goes_on = status in (Status.PLANNED, Status.SENT)
    assert world.ledger.due("batch") == ([1] if goes_on else [])
    assert (claimed_batch(world) is not None) == goes_on


def test_while_alyx_is_away_an_item_that_waits_for_its_time_is_no_reason_to_claim(world: World) -> None:
    """One file is verified, the other is to be sent in an hour: nothing can be done now."""
    lease = world.claim(world.planned("a", "b"))
    _, second = world.ledger.due_items(int(lease.subject))
    with world.ledger.guarded(lease) as tx:
        tx.postpone([(second, OFFLINE)], at=NOON + timedelta(hours=1))
    world.advance(lease, Status.VERIFIED)
    world.ledger.release(lease)
    endpoints.ensure(world.ledger, [endpoints.ALYX])
    endpoints.failed(world.ledger, endpoints.ALYX, OFFLINE, retry_at=NOON + timedelta(days=1))

    assert claimed_batch(world) is None
    world.clock.passes(hours=1)
    assert claimed_batch(world) is not None


def test_what_waits_to_be_told_does_not_wait_for_a_long_push(world: World) -> None:
    """Alyx's time has come while a worker has been pushing for hours: the outbox is claimed at once."""
    long, outbox = world.planned("a", number=1), world.planned("b", number=2)
    lease = world.claim(outbox)
    world.advance(lease, Status.VERIFIED)
    world.ledger.release(lease)
    endpoints.ensure(world.ledger, [endpoints.ALYX])
    endpoints.failed(world.ledger, endpoints.ALYX, OFFLINE, retry_at=NOON + timedelta(seconds=30))
    pushing = world.claim(long)
    assert claimed_batch(world) is None

    world.clock.passes(seconds=40)
    world.ledger.heartbeat(pushing)

    assert claimed_batch(world) == outbox


def test_an_endpoint_of_others_keeps_nothing_back(world: World) -> None:
    batch = world.planned("a")
    endpoints.ensure(world.ledger, ["elsewhere"])
    endpoints.pause(world.ledger, "elsewhere", by="anna", reason="maintenance")
    assert claimed_batch(world) == batch


@on_both
def test_a_batch_without_open_items_is_closed(world: World) -> None:
    """When it is released, and by the sweep where the worker died before."""
    done, died, busy = (world.planned(f"f{n}", number=n) for n in (1, 2, 3))
    for batch in (done, died):
        lease = world.claim(batch)
        assert world.advance(lease, Status.RECORDED) == []
        if batch == done:
            world.ledger.release(lease)
    with world.ledger.reading() as connection:
        still_open = text("SELECT id FROM batches WHERE open = 1 ORDER BY id")
        assert connection.scalars(still_open).all() == [died, busy]
    world.ledger.close_empty_batches()
    with world.ledger.reading() as connection:
        assert connection.scalars(still_open).all() == [busy]


def test_a_held_item_keeps_its_batch_open(world: World) -> None:
    batch = world.planned("a")
    lease = world.claim(batch)
    with world.ledger.guarded(lease) as tx:
        tx.hold([(item, StoreRefused("no")) for item in world.ledger.due_items(batch)])
    world.ledger.release(lease)
    world.ledger.close_empty_batches()
    with world.ledger.reading() as connection:
        assert connection.scalars(text("SELECT open FROM batches")).all() == [1]


# ---- sessions


@on_both
def test_sessions_come_the_longest_waiting_first(world: World) -> None:
    late, early = world.session(1), world.session(2)
    with world.ledger.writing() as connection:
        sooner = update(sessions).where(sessions.c.id == early)
        connection.execute(sooner.values(not_before=NOON - timedelta(hours=1)))
    assert [claimed_session(world) for _ in range(3)] == [early, late, None]


@on_both
def test_a_session_is_due_when_somebody_rang_and_not_before(world: World) -> None:
    number = world.session()
    lease, session = world.claim_session(number)
    with world.ledger.guarded(lease) as tx:
        finish_session(tx, session, look="1" * 32)
    world.ledger.release(lease)
    assert claimed_session(world) is None

    world.ledger.looked_at(number, "2" * 32, due=False)
    assert claimed_session(world) is None
    world.ledger.looked_at(number, "3" * 32, due=True)
    assert claimed_session(world) == number


def test_a_look_does_not_bring_a_postponed_session_forward(world: World) -> None:
    number = world.session()
    lease, _ = world.claim_session(number)
    world.ledger.postpone(
        lease, at=NOON + timedelta(hours=1), error=CatalogUnreachable("no answer", to="alyx")
    )
    world.ledger.release(lease)
    world.ledger.looked_at(number, "1" * 32, due=True)
    assert claimed_session(world) is None
    world.clock.passes(hours=1)
    assert claimed_session(world) == number


@on_both
def test_a_held_session_waits_for_a_person(world: World) -> None:
    number = world.session()
    lease, _ = world.claim_session(number)
    world.ledger.hold_session(lease, UnknownSession("Alyx has no such session", to="SW_012/2026-03-04/001"))
    world.ledger.release(lease)
    world.ledger.make_due(number)
    world.clock.passes(days=30)
    assert claimed_session(world) is None
    assert world.ledger.due("session") == []


def test_a_session_claim_asks_its_lab_and_alyx_but_not_the_store(world: World) -> None:
    number = world.session()
    endpoints.ensure(world.ledger, [LAB.store, LAB.repository, endpoints.ALYX])
    endpoints.pause(world.ledger, LAB.store, by="anna", reason="maintenance")
    assert world.ledger.due("session") == [number]
    for name in (LAB.repository, endpoints.ALYX):
        endpoints.pause(world.ledger, name, by="anna", reason="maintenance")
        assert world.ledger.due("session") == []
        endpoints.resume(world.ledger, name)
    assert claimed_session(world, sources=["rig_8"]) is None
    assert claimed_session(world, only=[number + 1]) is None
    assert claimed_session(world, sources=[LAB.repository], only=[number]) == number


# ---- no item is forgotten


@on_both
def test_an_item_that_waits_to_be_registered_makes_its_session_due(world: World) -> None:
    """Register failed for one file and the visit ended: the file's own time brings the next visit."""
    number = world.session()
    world.visit(number, {"alf/a.npy": "a"}, register=False)
    (item,) = world.items()
    with world.ledger.unguarded() as tx:
        tx.postpone([(item, UnknownOutcome("no answer"))], at=NOON + timedelta(minutes=5))
    assert claimed_session(world) is None
    world.clock.passes(minutes=5)
    assert world.ledger.due("session") == [number]
    assert claimed_session(world) == number


@on_both
def test_a_ring_swallowed_by_a_visit_that_was_ending_is_not_lost(world: World) -> None:
    """A batch's item went back to DISCOVERED after the visit looked and before it said "done"."""
    batch = world.planned("a")
    (item,) = world.ledger.due_items(batch)
    world.ledger.make_due(item.session)
    visit, session = world.claim_session(item.session)
    with world.ledger.guarded(visit) as tx:
        discovered(tx, session, LAB, [look("alf/a.times.npy", "a")])
    with world.ledger.guarded(world.claim(batch)) as tx:
        assert tx.move([Move(item=item, became=Status.DISCOVERED)])
    world.ledger.make_due(item.session)
    with world.ledger.guarded(visit) as tx:
        finish_session(tx, session, look="1" * 32)
    world.ledger.release(visit)
    assert claimed_session(world) == item.session


def test_what_waits_for_a_person_or_moves_in_a_batch_does_not_ring_for_its_session(world: World) -> None:
    number = world.session()
    world.visit(number, {"alf/a.npy": "a"}, register=False)
    with world.ledger.unguarded() as tx:
        tx.hold([(item, UnknownOutcome("no answer")) for item in world.items()])
    world.planned("b", number=2)
    assert world.ledger.due("session") == []


def test_a_postponed_session_is_not_hurried_by_its_items(world: World) -> None:
    number = world.session()
    world.visit(number, {"alf/a.npy": "a"}, register=False)
    world.ledger.make_due(number)
    lease, _ = world.claim_session(number)
    world.ledger.postpone(lease, at=NOON + timedelta(hours=1), error=CatalogUnreachable("no answer"))
    world.ledger.release(lease)
    assert world.ledger.due("session") == []


# ---- rows of sessions


@on_both
def test_a_session_has_one_row_however_often_it_is_seen(world: World) -> None:
    assert world.session(1) == world.session(1)
    assert world.session(1) != world.session(2)
    assert world.session(1) != world.session(1, subject="SW_013")
    assert world.ledger.source_of(world.claim_session(world.session(1))[0]) == LAB.repository


def test_the_due_question_is_served_by_the_partial_indexes(world: World, engine: Engine) -> None:
    """A parameter in place of `open = 1` would make SQLite read every item there ever was."""
    asked: list[str] = []
    world.planned("a")

    def remember(_c: object, _cursor: object, statement: str, *_rest: object) -> None:
        asked.append(statement)

    event.listen(engine, "before_cursor_execute", remember)
    world.ledger.due("batch")
    world.ledger.due("session")
    event.remove(engine, "before_cursor_execute", remember)
    for statement in [one for one in asked if one.startswith("SELECT")]:
        with engine.connect() as connection:
            rows = connection.exec_driver_sql(
                "EXPLAIN QUERY PLAN " + statement, tuple([NOON.isoformat(" ")] * statement.count("?"))
            ).all()
        plan = "\n".join(str(row.detail) for row in rows)
        assert "ix_items_due" in plan, plan
