"""Intake: what a visit found becomes datasets, copies and items, and a copy never lacks or doubles an owner."""

from collections.abc import Mapping
from pathlib import PurePosixPath
from uuid import UUID

import pytest
from sqlalchemy import Row, select

from tests.ledger.lab import LAB, NOON, World, hash_of, known, look, on_both, uuid_of
from transfer.errors import SourceVanished, StoreRefused
from transfer.ledger import Lease
from transfer.ledger.arrivals import Arrival, recorded
from transfer.ledger.guarded import Move
from transfer.ledger.intake import Look, discovered, finish_session, registered
from transfer.ledger.tables import copies, datasets, events, items, sessions
from transfer.model import Item, SourceFile
from transfer.status import Condition, Status

A, B = "alf/a.npy", "alf/b.npy"


def dataset(world: World, path: str) -> Row[tuple[object, ...]]:
    with world.ledger.reading() as connection:
        return connection.execute(select(datasets).where(datasets.c.path == path)).one()


def whats(world: World) -> list[str]:
    with world.ledger.reading() as connection:
        return list(connection.scalars(select(events.c.what).order_by(events.c.id)))


def find(world: World, session: int, looks: list[Look]) -> list[Item]:
    lease, found = world.claim_session(session)
    with world.ledger.guarded(lease) as tx:
        gone = discovered(tx, found, LAB, looks)
    world.ledger.release(lease)
    return gone


def standing(world: World) -> list[tuple[str, str, Status]]:
    return [(item.source_path.name, item.md5, item.status) for item in world.items()]


@on_both
def test_a_new_file_gets_a_row_two_copies_and_an_item(world: World) -> None:
    assert world.visit(world.session(), {A: "one"}, register=False) == []
    row = dataset(world, A)
    assert (row.md5, row.size, row.mtime_ns, row.hashed_at) == (hash_of("one"), 3, 1, NOON)
    with world.ledger.reading() as connection:
        found = {row.repository: row.condition for row in connection.execute(select(copies))}
    assert found == {LAB.repository: Condition.PRESENT, LAB.store: Condition.EXPECTED}
    (item,) = world.items()
    assert (item.status, item.md5, item.size, item.target) == (
        Status.DISCOVERED,
        hash_of("one"),
        3,
        LAB.store,
    )
    assert item.source_path == PurePosixPath("SW_012/2026-03-04/001", A)


@on_both
def test_the_same_file_again_changes_nothing(world: World) -> None:
    session = world.session()
    world.visit(session, {A: "one", B: "two"})
    before = (world.items(), dataset(world, A))
    world.clock.passes(hours=1)
    world.visit(session, {A: "one", B: "two"})
    assert (world.items(), dataset(world, A)) == before


@on_both
@pytest.mark.parametrize("held", [False, True])
def test_a_changed_file_supersedes_its_open_item_in_the_same_transaction(world: World, held: bool) -> None:
    session = world.session()
    world.visit(session, {A: "one"})
    if held:
        with world.ledger.unguarded() as tx:
            tx.hold([(item, StoreRefused("no")) for item in world.items()])
    world.visit(session, {A: "another"}, register=False)
    old, new = world.items()
    assert (old.status, old.hold, old.md5) == (Status.SUPERSEDED, None, hash_of("one"))
    assert (new.status, new.copy, new.md5) == (Status.DISCOVERED, old.copy, hash_of("another"))
    assert world.moves()[-1] == (str(old.id), "registered", "superseded")
    with world.ledger.reading() as connection:
        opens = connection.execute(select(items.c.id, items.c.open).order_by(items.c.id)).all()
    assert [tuple(row) for row in opens] == [(old.id, None), (new.id, 1)]


@pytest.mark.parametrize("text", ["one", "two"])
def test_an_interrupted_visit_leaves_neither_two_owners_nor_none(world: World, text: str) -> None:
    """Superseding and opening are one transaction: a death in between leaves all as it was."""
    session = world.session()
    world.visit(session, {A: "zero"})
    before = world.items()
    world.ledger.make_due(session)
    lease, found = world.claim_session(session)

    def die() -> None:
        with world.ledger.guarded(lease) as tx:
            discovered(tx, found, LAB, [look(A, text)])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        die()
    assert world.items() == before


@on_both
def test_what_stands_proved_at_the_store_needs_no_item_until_it_changes(world: World) -> None:
    session = world.session()
    world.visit(session, {A: "one"})
    (batch,) = world.plan()
    lease = world.claim(batch)
    published = world.advance(lease, Status.PUBLISHED)
    record(world, lease, published)
    world.visit(session, {A: "one"})
    assert len(world.items()) == 1
    world.visit(session, {A: "two"}, register=False)
    assert standing(world) == [
        ("a.npy", hash_of("one"), Status.RECORDED),
        ("a.npy", hash_of("two"), Status.DISCOVERED),
    ]
    assert world.items()[1].stored_md5 == hash_of("one")


def record(world: World, lease: Lease, published: list[Item]) -> None:
    with world.ledger.guarded(lease) as tx:
        recorded(tx, [Arrival(item=item, read_back_at=NOON) for item in published])


def test_a_damaged_copy_is_sent_again_though_its_hash_is_known(world: World) -> None:
    session = world.session()
    world.visit(session, {A: "one"})
    (batch,) = world.plan()
    lease = world.claim(batch)
    record(world, lease, world.advance(lease, Status.PUBLISHED))
    with world.ledger.writing() as connection:
        connection.execute(copies.update().values(condition=Condition.DAMAGED))
    world.visit(session, {A: "one"}, register=False)
    assert [status for _, _, status in standing(world)] == [Status.RECORDED, Status.DISCOVERED]


@on_both
def test_a_file_that_is_gone_is_marked_once_and_its_open_item_answered_until_it_is_held(world: World) -> None:
    session = world.session()
    world.visit(session, {A: "one", B: "two"})
    world.clock.passes(minutes=1)
    gone = world.visit(session, {B: "two"})
    assert [item.source_path.name for item in gone] == ["a.npy"]
    assert dataset(world, A).gone_at == NOON.replace(minute=1)
    assert dataset(world, B).gone_at is None
    world.clock.passes(minutes=1)
    assert world.visit(session, {B: "two"}) == gone
    assert dataset(world, A).gone_at == NOON.replace(minute=1)
    with world.ledger.unguarded() as tx:
        tx.hold([(item, SourceVanished("gone", to=item.source_path)) for item in gone])
    assert world.visit(session, {B: "two"}) == []


@on_both
def test_a_file_that_returns_unchanged_is_released_and_that_is_written_down(world: World) -> None:
    session = world.session()
    world.visit(session, {A: "one", B: "two"})
    gone = world.visit(session, {B: "two"})
    with world.ledger.unguarded() as tx:
        tx.hold([(item, SourceVanished("gone", to=item.source_path)) for item in gone])
    assert [item.hold for item in world.items()] == ["source-vanished", None]
    world.visit(session, {A: "one", B: "two"})
    assert [item.hold for item in world.items()] == [None, None]
    assert len(world.items()) == 2
    assert dataset(world, A).gone_at is None
    assert whats(world)[-1] == "released"


def test_a_hold_for_another_reason_outlives_the_files_return(world: World) -> None:
    session = world.session()
    world.visit(session, {A: "one", B: "two"})
    with world.ledger.unguarded() as tx:
        tx.hold([(world.items()[0], StoreRefused("no"))])
    assert world.visit(session, {B: "two"}) == []
    world.visit(session, {A: "one", B: "two"})
    assert [item.hold for item in world.items()] == ["store-refused", None]


def test_a_file_that_returns_changed_supersedes(world: World) -> None:
    session = world.session()
    world.visit(session, {A: "one", B: "two"})
    gone = world.visit(session, {B: "two"})
    with world.ledger.unguarded() as tx:
        tx.hold([(item, SourceVanished("gone")) for item in gone])
    world.visit(session, {A: "new", B: "two"}, register=False)
    assert [
        (status, item.hold) for (_, _, status), item in zip(standing(world), world.items(), strict=True)
    ] == [
        (Status.SUPERSEDED, None),
        (Status.REGISTERED, None),
        (Status.DISCOVERED, None),
    ]


def test_a_file_alyx_could_not_know_is_kept_with_the_reason_and_gets_no_item(world: World) -> None:
    session = world.session()
    find(world, session, [look("notes.txt", "x", why_not="no dataset type fits"), look(A, "one")])
    row = dataset(world, "notes.txt")
    assert (row.md5, row.unregistrable, row.hashed_at) == (None, "no dataset type fits", None)
    assert [item.source_path.name for item in world.items()] == ["a.npy"]
    with world.ledger.reading() as connection:
        assert row.id not in set(connection.scalars(select(copies.c.dataset)))


def test_a_file_that_becomes_registrable_gets_its_item(world: World) -> None:
    session = world.session()
    find(world, session, [look(A, "one", why_not="no dataset type fits")])
    assert world.items() == []
    find(world, session, [look(A, "one")])
    assert dataset(world, A).unregistrable is None
    assert standing(world) == [("a.npy", hash_of("one"), Status.DISCOVERED)]


def test_ids_that_alyx_listed_are_kept_from_the_start(world: World) -> None:
    session = world.session()
    file = SourceFile(path=PurePosixPath(A), size=3, mtime_ns=1, md5=hash_of("one"))
    ids: Mapping[str, UUID] = {"dataset_uuid": uuid_of("d"), "record_uuid": uuid_of("r")}
    find(world, session, [Look(file=file, **ids)])
    (item,) = world.items()
    assert (item.uuid, item.record) == (uuid_of("d"), uuid_of("r"))
    with world.ledger.reading() as connection:
        lab = select(copies.c.record_uuid).where(copies.c.repository == LAB.repository)
        assert connection.scalars(lab).all() == [None]


@on_both
def test_registering_writes_the_ids_of_both_copies(world: World) -> None:
    world.visit(world.session(), {A: "one"})
    (item,) = world.items()
    path = str(item.source_path)
    assert item.status is Status.REGISTERED
    assert (item.uuid, item.record) == (uuid_of(path), uuid_of(f"{path} {LAB.store}"))
    row = dataset(world, A)
    assert (row.registered_md5, row.registered_size, row.registered_at, row.hash_origin) == (
        hash_of("one"),
        3,
        NOON,
        "lab",
    )
    with world.ledger.reading() as connection:
        records = {row.repository: row.record_uuid for row in connection.execute(select(copies))}
    assert records == {name: uuid_of(f"{path} {name}") for name in (LAB.repository, LAB.store)}


@on_both
def test_an_answer_for_an_item_that_was_superseded_meanwhile_writes_nothing(world: World) -> None:
    """The ids would be right, but `registered_md5` would say we registered what we did not."""
    session = world.session()
    world.visit(session, {A: "one"}, register=False)
    (old,) = world.items()
    world.visit(session, {A: "two"}, register=False)
    with world.ledger.unguarded() as tx:
        assert registered(tx, [known(old)]) == []
        assert registered(tx, []) == []
    assert dataset(world, A).registered_md5 is None


def test_finishing_a_session_clears_its_troubles_and_its_time(world: World) -> None:
    number = world.session()
    lease, session = world.claim_session(number)
    world.ledger.postpone(lease, at=NOON, error=StoreRefused("no"))
    with world.ledger.guarded(lease) as tx:
        finish_session(tx, session, look="1" * 32, eid=uuid_of("eid"))
    with world.ledger.reading() as connection:
        row = connection.execute(select(sessions)).one()
    assert (row.not_before, row.tries, row.error, row.error_text) == (None, 0, None, None)
    assert (row.done_look, row.complete_at, row.eid) == ("1" * 32, NOON, uuid_of("eid"))


def test_an_unsettled_session_comes_again_and_keeps_its_last_done_look(world: World) -> None:
    number = world.session()
    lease, session = world.claim_session(number)
    with world.ledger.guarded(lease) as tx:
        finish_session(tx, session, look="1" * 32)
        finish_session(tx, session, look=None, again_at=NOON.replace(hour=13), unquiet_since=NOON)
    with world.ledger.reading() as connection:
        row = connection.execute(select(sessions)).one()
    assert (row.not_before, row.unquiet_since) == (NOON.replace(hour=13), NOON)
    assert row.done_look == "1" * 32


def test_a_visit_touches_only_its_own_session(world: World) -> None:
    first, second = world.session(1), world.session(2)
    world.visit(first, {A: "one"})
    assert world.visit(second, {B: "two"}) == []
    with world.ledger.unguarded() as tx:
        assert [item.session for item in tx.items(items.c.open == 1)] == [first, second]
        assert tx.move([Move(item=world.items()[0], became=Status.ABANDONED)]) != []
    assert dataset(world, A).gone_at is None
