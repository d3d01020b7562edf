"""Arrivals: one receipt for each, whose body says exactly what was proved, and the sums beside it."""

import hashlib
import json
import threading
from dataclasses import replace

import pytest
from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from tests.ledger.lab import LAB, NOON, World, hash_of, on_both, uuid_of
from transfer.ledger import Lease
from transfer.ledger.arrivals import Arrival, recorded
from transfer.ledger.tables import copies, hours, receipts
from transfer.model import Item
from transfer.status import Condition, Status


def published(world: World, *contents: str, number: int = 1) -> tuple[Lease, list[Item]]:
    lease = world.claim(world.planned(*contents, number=number))
    return lease, world.advance(lease, Status.PUBLISHED)


def record(world: World, lease: Lease, wanted: list[Item]) -> list[Item]:
    with world.ledger.guarded(lease) as tx:
        return recorded(tx, [Arrival(item=item, read_back_at=world.clock.now) for item in wanted])


@on_both
def test_an_arrival_closes_the_item_and_writes_its_receipt(world: World) -> None:
    lease, (item,) = published(world, "a")
    world.clock.passes(seconds=20)
    assert record(world, lease, [item]) == [item]
    (after,) = world.items()
    assert after.status is Status.RECORDED
    with world.ledger.reading() as connection:
        row = connection.execute(select(receipts)).one()
    assert (row.copy, row.item, row.kind, row.md5, row.size) == (
        item.copy,
        item.id,
        "arrival",
        hash_of("a"),
        1,
    )
    assert (row.proof, row.proved_at, row.read_back_at) == ("read back", NOON, NOON.replace(second=20))


@on_both
def test_the_body_is_canonical_and_its_hash_is_right(world: World) -> None:
    """Sorted keys, no spaces, ASCII, UTC: whoever writes the same facts gets the same bytes."""
    lease, (item,) = published(world, "a")
    record(world, lease, [item])
    with world.ledger.reading() as connection:
        row = connection.execute(select(receipts)).one()
    facts = json.loads(row.body)
    path = "SW_012/2026-03-04/001/alf/a.times.npy"
    assert facts == {
        "dataset": str(uuid_of(path)),
        "kind": "arrival",
        "md5": hash_of("a"),
        "path": path.replace(".npy", f".{uuid_of(path)}.npy"),
        "proof": "read back",
        "proved_at": "2026-03-04T12:00:00+00:00",
        "read_back_at": "2026-03-04T12:00:00+00:00",
        "record": str(uuid_of(f"{path} {LAB.store}")),
        "repository": LAB.store,
        "size": 1,
        "source": path,
    }
    assert row.body == json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    assert row.sha256_of_body == hashlib.sha256(row.body.encode()).hexdigest()


@on_both
def test_the_copy_knows_what_was_proved(world: World) -> None:
    lease, (item,) = published(world, "a")
    world.clock.passes(seconds=20)
    record(world, lease, [item])
    with world.ledger.reading() as connection:
        row = connection.execute(select(copies).where(copies.c.id == item.copy)).one()
    assert (row.proved_md5, row.proved_size, row.proof, row.proved_at) == (hash_of("a"), 1, "read back", NOON)
    assert (row.announced, row.condition, row.pending_at) == (True, Condition.PRESENT, None)


@on_both
def test_recording_twice_writes_one_receipt(world: World) -> None:
    lease, (item,) = published(world, "a")
    assert record(world, lease, [item]) == [item]
    assert record(world, lease, [item]) == []
    assert record(world, lease, []) == []
    with world.ledger.reading() as connection:
        assert len(connection.execute(select(receipts)).all()) == 1
        assert connection.scalars(select(hours.c.files)).all() == [1]


@on_both
def test_the_database_itself_refuses_a_second_receipt_for_an_arrival(world: World) -> None:
    lease, (item,) = published(world, "a")
    record(world, lease, [item])
    with world.ledger.reading() as connection:
        row = dict(connection.execute(select(receipts)).one()._mapping)
    del row["id"]
    with pytest.raises(IntegrityError), world.ledger.writing() as connection:
        connection.execute(insert(receipts).values(row))
    with world.ledger.writing() as connection:  # other kinds may come as often as they like
        connection.execute(insert(receipts), [row | {"kind": "audit"}, row | {"kind": "audit"}])


@on_both
def test_an_hours_sum_grows_by_what_arrived_in_it(world: World) -> None:
    lease, items = published(world, "a", "bb")
    world.clock.passes(seconds=20)
    record(world, lease, items)
    lease, items = published(world, "cccc", number=2)
    world.clock.passes(seconds=5)
    record(world, lease, items)
    world.clock.passes(hours=1)
    lease, items = published(world, "d", number=3)
    record(world, lease, items)
    with world.ledger.reading() as connection:
        rows = connection.execute(select(hours).order_by(hours.c.hour)).all()
    key = (LAB.repository, LAB.store, "arrived")
    assert [tuple(row) for row in rows] == [
        (NOON, *key, 3, 7, 45),
        (NOON.replace(hour=13), *key, 1, 1, 0),
    ]


@on_both
def test_two_workers_add_to_the_same_hour(world: World) -> None:
    """The sum is added to by the database, so neither overwrites the other."""
    work = [published(world, f"f{n}", number=n) for n in range(1, 7)]
    threads = [threading.Thread(target=record, args=(world, *one)) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with world.ledger.reading() as connection:
        assert connection.scalars(select(hours.c.files)).all() == [6]


def test_an_item_without_proof_is_recorded_as_such(world: World) -> None:
    lease, (item,) = published(world, "a")
    record(world, lease, [replace(item, proof=None, proved_at=None)])
    with world.ledger.reading() as connection:
        assert connection.scalars(select(receipts.c.proof)).all() == ["none"]
        assert connection.scalars(select(copies.c.proof).where(copies.c.id == item.copy)).all() == [None]


def test_a_receipt_and_its_move_stand_or_fall_together(world: World) -> None:
    lease, (item,) = published(world, "a")

    def die() -> None:
        with world.ledger.guarded(lease) as tx:
            recorded(tx, [Arrival(item=item, read_back_at=NOON)])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        die()
    assert [one.status for one in world.items()] == [Status.PUBLISHED]
    with world.ledger.reading() as connection:
        assert connection.execute(select(receipts)).all() == []
        assert connection.execute(select(hours)).all() == []
