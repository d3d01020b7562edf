"""Guarded writes: only what the caller saw, only moves the journey has, each with its event."""

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from tests.ledger.lab import LAB, NOON, World, look, on_both, step
from transfer.errors import SourceVanished, StoreRefused
from transfer.ledger.arrivals import Arrival, recorded
from transfer.ledger.guarded import Guarded, Move
from transfer.ledger.intake import discovered
from transfer.ledger.tables import events, items, receipts
from transfer.model import Item
from transfer.status import MOVES, Proof, Status

NO = StoreRefused("the store said no", to="a.npy")


def only(found: list[Item]) -> Item:
    (one,) = found
    return one


@on_both
def test_a_move_changes_the_item_and_leaves_its_event(world: World) -> None:
    batch = world.planned("a")
    lease = world.claim(batch)
    item = only(world.ledger.due_items(batch))
    world.clock.passes(seconds=1)
    with world.ledger.guarded(lease) as tx:
        assert tx.intend([(item, lease.token, ".u.1.part")]) == [item]
        assert tx.move([Move(item=item, became=Status.SENT, partial=".u.1.part", why="sent")]) == [item]
    moved = only(world.ledger.due_items(batch))
    assert (moved.status, moved.partial, moved.batch) == (Status.SENT, ".u.1.part", batch)
    with world.ledger.reading() as connection:
        last = connection.execute(select(events).order_by(events.c.id.desc()).limit(1)).one()
    assert (last.subject, last.subject_id, last.what, last.was, last.became) == (
        "item",
        str(item.id),
        "moved",
        "planned",
        "sent",
    )
    assert (last.actor, last.why, last.attempt) == ("worker:test", "sent", lease.token)
    assert last.at == NOON + timedelta(seconds=1)


@pytest.mark.parametrize(
    ("here", "there"),
    [
        (here, there)
        for here in Status
        for there in Status
        if here not in {Status.RECORDED, Status.SUPERSEDED, Status.ABANDONED} and (here, there) not in MOVES
    ],
)
def test_a_move_the_journey_does_not_have_is_a_defect_and_undone(
    world: World, here: Status, there: Status
) -> None:
    lease = world.claim(world.planned("a"))
    with world.ledger.writing() as connection:
        connection.execute(update(items).values(status=here))
    (item,) = world.items()

    def move() -> None:
        with world.ledger.guarded(lease) as tx:
            tx.log("item", [(item.id, "moved", "x", "y", None)])
            tx.move([Move(item=item, became=there)])

    with pytest.raises(AssertionError, match=f"may not go from {here} to {there}"):
        move()
    assert only(world.items()).status is here
    assert ("1", "x", "y") not in world.moves()


@on_both
def test_an_item_that_moved_meanwhile_is_left_alone_and_left_out(world: World) -> None:
    """Every guarded write names the status it saw: a stale view changes nothing and leaves no event."""
    batch = world.planned("a")
    lease = world.claim(batch)
    stale = only(world.ledger.due_items(batch))
    world.advance(lease, Status.SENT)
    before, moves = world.items(), world.moves()
    with world.ledger.guarded(lease) as tx:
        assert tx.still([stale]) == []
        assert tx.intend([(stale, "0" * 8, "late")]) == []
        assert tx.move([step(stale, Status.SENT)]) == []
        assert tx.move([Move(item=stale, became=Status.ABANDONED)]) == []
        tx.hold([(stale, NO)])
        tx.postpone([(stale, NO)], at=NOON)
    assert world.items() == before
    assert world.moves() == moves


@on_both
def test_held_items_do_not_move(world: World) -> None:
    batch = world.planned("a")
    lease = world.claim(batch)
    item = only(world.ledger.due_items(batch))
    with world.ledger.guarded(lease) as tx:
        tx.hold([(item, NO)], because="gave up after 8 tries. ")
        assert tx.move([step(item, Status.SENT)]) == []
        tx.postpone([(item, NO)], at=NOON)
    held = only(world.items())
    assert (held.status, held.hold) == (Status.PLANNED, "store-refused")
    with world.ledger.reading() as connection:
        row = connection.execute(select(items)).one()
    assert row.hold_text == "gave up after 8 tries. " + NO.sentence
    assert (row.error, row.error_text, row.tries) == ("E-2008", NO.sentence, 1)


def test_a_move_in_one_call_may_name_an_item_once_more_than_once(world: World) -> None:
    """SENT and VERIFIED in one transaction, as adoption does, are two moves and two events."""
    batch = world.planned("a")
    lease = world.claim(batch)
    world.advance(lease, Status.VERIFIED)
    assert [(was, became) for _, was, became in world.moves()] == [
        ("discovered", "registered"),
        ("registered", "planned"),
        ("planned", "sent"),
        ("sent", "verified"),
    ]


def test_an_item_named_twice_in_one_move_is_a_defect(world: World) -> None:
    """It could make one of the moves only, and would leave an event for both."""
    lease = world.claim(world.planned("a"))
    item = only(world.items())

    def move() -> None:
        with world.ledger.guarded(lease) as tx:
            tx.move([step(item, Status.SENT), Move(item=item, became=Status.ABANDONED)])

    with pytest.raises(AssertionError, match="item 1 is named twice"):
        move()
    assert only(world.items()).status is Status.PLANNED


def test_postponing_burns_the_tries_it_says(world: World) -> None:
    batch = world.planned("a")
    lease = world.claim(batch)
    item = only(world.ledger.due_items(batch))
    with world.ledger.guarded(lease) as tx:
        tx.postpone([(item, NO)], at=NOON)
        tx.postpone([(item, NO)], at=NOON, burn=0)
        tx.postpone([(item, NO)], at=NOON, burn=2)
    assert only(world.items()).tries == 3
    world.advance(lease, Status.SENT)
    assert only(world.items()).tries == 3


@pytest.mark.parametrize("there", [Status.PLANNED, Status.REGISTERED, Status.DISCOVERED])
def test_starting_anew_forgets_the_attempt(world: World, there: Status) -> None:
    """No partial, no proof: what was proved of the old bytes must not be said of the next."""
    batch = world.planned("a")
    lease = world.claim(batch)
    item = only(world.advance(lease, Status.VERIFIED))
    assert (item.proof, item.proved_at) == (Proof.READ_BACK, NOON)
    with world.ledger.guarded(lease) as tx:
        tx.move([Move(item=item, became=there)])
    anew = only(world.items())
    assert (anew.partial, anew.attempt, anew.proof, anew.proved_at) == (None, None, None, None)
    assert anew.batch == (batch if there is Status.PLANNED else None)


def test_a_proof_keeps_its_time_while_it_is_carried_on(world: World) -> None:
    lease = world.claim(world.planned("a"))
    world.advance(lease, Status.VERIFIED)
    world.clock.passes(seconds=30)
    assert only(world.advance(lease, Status.PUBLISHED)).proved_at == NOON


@on_both
def test_thousands_of_items_fit_one_transaction(world: World) -> None:
    batch = world.planned(*(f"f{n}" for n in range(1201)))
    lease = world.claim(batch)
    with world.ledger.guarded(lease) as tx:
        moved = tx.move([step(item, Status.SENT) for item in world_items(tx, batch)])
    assert len(moved) == 1201


def world_items(tx: Guarded, batch: int) -> list[Item]:
    return tx.items(items.c.batch == batch)


# ---- two leases, one item: a session's visit and a batch's worker write at the same moment


@on_both
def test_a_receipt_is_never_written_for_an_item_that_was_just_superseded(world: World) -> None:
    """The item's row is locked when it is looked at, so nobody closes it before the write."""
    batch = world.planned("a")
    lease = world.claim(batch)
    item = only(world.advance(lease, Status.PUBLISHED))
    world.ledger.make_due(item.session)
    visit, session = world.claim_session(item.session)

    def change() -> None:
        with world.ledger.guarded(visit) as tx:
            discovered(tx, session, LAB, [look("alf/a.times.npy", "newer")])

    def record() -> None:
        with world.ledger.guarded(lease) as tx:
            recorded(tx, [Arrival(item=item, read_back_at=NOON)])

    world.beside(record, change)
    old, new = world.items()
    ends = [became for number, _, became in world.moves() if number == str(old.id)]
    with world.ledger.reading() as connection:
        kept = connection.scalars(select(receipts.c.item)).all()
    assert old.status is Status.RECORDED
    assert (new.status, new.copy) == (Status.DISCOVERED, old.copy)
    assert kept == [old.id]
    assert ends[-1] == "recorded"
    assert "superseded" not in ends


@on_both
def test_a_superseded_item_was_not_recorded_in_the_same_moment(world: World) -> None:
    """The other way round: the visit looks first, the worker comes too late and is told so."""
    batch = world.planned("a")
    lease = world.claim(batch)
    item = only(world.advance(lease, Status.PUBLISHED))
    world.ledger.make_due(item.session)
    visit, session = world.claim_session(item.session)
    answered: list[list[Item]] = []

    def record() -> None:
        with world.ledger.guarded(lease) as tx:
            answered.append(recorded(tx, [Arrival(item=item, read_back_at=NOON)]))

    def change() -> None:
        with world.ledger.guarded(visit) as tx:
            discovered(tx, session, LAB, [look("alf/a.times.npy", "newer")])

    world.beside(change, record)
    old, _ = world.items()
    with world.ledger.reading() as connection:
        kept = connection.scalars(select(receipts.c.item)).all()
    assert old.status is Status.SUPERSEDED
    assert answered == [[]]
    assert kept == []


def test_a_persons_action_needs_no_lease_but_sees_the_same_guard(world: World) -> None:
    world.planned("a")
    (item,) = world.items()
    with world.ledger.unguarded() as tx:
        assert tx.move([Move(item=item, became=Status.ABANDONED, why="lost")]) == [item]
        assert tx.move([step(item, Status.SENT)]) == []
        tx.hold([(item, SourceVanished("gone"))])
    after = only(world.items())
    assert (after.status, after.hold) == (Status.ABANDONED, None)
