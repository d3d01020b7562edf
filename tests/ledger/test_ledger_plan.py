"""Planning: each registered item gets into exactly one batch, and its place at the store carries its uuid."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest
from sqlalchemy import select, update

from tests.ledger.lab import LAB, NOON, ROUTE, World, on_both, step, uuid_of
from transfer import planning
from transfer.errors import StoreRefused
from transfer.ledger.guarded import Move
from transfer.ledger.tables import batches, datasets, items
from transfer.planning import Limits
from transfer.status import Status

SESSION = "SW_012/2026-03-04/001"


def batched(world: World) -> dict[int, int | None]:
    return {item.id: item.batch for item in world.items()}


@on_both
def test_every_registered_item_is_in_one_batch_under_its_uuid(world: World) -> None:
    world.visit(world.session(), {f"alf/f{n}.npy": f"f{n}" for n in range(7)})
    made = world.plan(files=3)
    assert len(made) == 3
    assert sorted(list(batched(world).values()).count(batch) for batch in made) == [1, 3, 3]
    assert {item.status for item in world.items()} == {Status.PLANNED}
    for item in world.items():
        assert item.batch in made
        uuid = uuid_of(str(item.source_path))
        assert str(item.store_path) == str(item.source_path).replace(".npy", f".{uuid}.npy")
    assert world.plan() == []


def test_the_batch_row_says_what_is_in_it(world: World) -> None:
    world.planned("a", "bb", "cccc")
    with world.ledger.reading() as connection:
        row = connection.execute(select(batches)).one()
    assert (row.source, row.target, row.transport) == (LAB.repository, LAB.store, "local")
    assert (row.files, row.bytes, row.bytes_moved, row.open) == (3, 7, 0, 1)


@on_both
def test_two_planners_at_once_put_each_item_into_one_batch(world: World) -> None:
    """Four planners start together, several times over; no item is planned twice and none is left."""
    for number in range(1, 5):
        world.visit(world.session(number), {f"alf/f{n}.npy": f"{number} {n}" for n in range(10)})
        with ThreadPoolExecutor(4) as pool:
            made = [one for some in pool.map(lambda _: world.plan(files=4), range(4)) for one in some]
        assert len(made) == len(set(made))
    assert {item.status for item in world.items()} == {Status.PLANNED}
    planned = [number for number, was, _ in world.moves() if was == "registered"]
    assert len(planned) == len(set(planned)) == 40
    with world.ledger.reading() as connection:
        for row in connection.execute(select(batches)):
            assert row.files == list(batched(world).values()).count(row.id) > 0


@on_both
def test_only_what_may_move_is_planned(world: World) -> None:
    """Held, not yet due, not registered, of another session, another route: left where they are."""
    first, second = world.session(1), world.session(2)
    world.visit(first, {f"alf/{name}.npy": name for name in ("held", "waits", "goes")})
    world.visit(second, {"alf/other.npy": "other"})
    world.visit(first, {f"alf/{name}.npy": name for name in ("held", "waits", "goes", "raw")}, register=False)
    by_name = {item.source_path.stem: item for item in world.items()}
    with world.ledger.unguarded() as tx:
        tx.hold([(by_name["held"], StoreRefused("no"))])
        tx.postpone([(by_name["waits"], StoreRefused("no"))], at=NOON + timedelta(minutes=1))
    elsewhere = partial(planning.batches, limits=Limits())
    assert world.ledger.plan(replace(ROUTE, source="rig_8"), elsewhere) == []
    assert world.ledger.plan(replace(ROUTE, target="popeye"), elsewhere) == []
    assert len(world.plan(only=[first])) == 1
    standing = {item.source_path.stem: item.status for item in world.items()}
    assert standing == {
        "held": Status.REGISTERED,
        "waits": Status.REGISTERED,
        "goes": Status.PLANNED,
        "other": Status.REGISTERED,
        "raw": Status.DISCOVERED,
    }


def test_an_item_sent_back_is_planned_again(world: World) -> None:
    batch = world.planned("a")
    lease = world.claim(batch)
    (item,) = world.advance(lease, Status.SENT)
    with world.ledger.guarded(lease) as tx:
        tx.move([Move(item=item, became=Status.REGISTERED)])
    world.ledger.release(lease)
    (again,) = world.plan()
    assert again != batch
    assert batched(world) == {item.id: again}


@on_both
def test_two_copies_that_want_one_place_do_not_stop_the_others(world: World) -> None:
    """Two lab machines hold the same file of one session: the first goes, the second waits for a person."""
    twin = World(
        world.ledger, world.clock, lab=replace(LAB, repository="rig_8"), route=replace(ROUTE, source="rig_8")
    )
    world.visit(world.session(), {"alf/shared.npy": "x"})
    world.plan()
    twin.visit(twin.session(), {"alf/shared.npy": "x", "alf/own.npy": "y"})
    with world.ledger.writing() as connection:  # Alyx has one dataset for both
        shared = update(datasets).where(datasets.c.path == "alf/shared.npy")
        connection.execute(shared.values(dataset_uuid=uuid_of(f"{SESSION}/alf/shared.npy")))
    assert len(twin.plan()) == 1
    assert twin.plan() == []
    standing = {(item.source, item.source_path.stem): (item.status, item.hold) for item in world.items()}
    assert standing == {
        ("rig_7", "shared"): (Status.PLANNED, None),
        ("rig_8", "shared"): (Status.REGISTERED, "path-untrusted"),
        ("rig_8", "own"): (Status.PLANNED, None),
    }
    with world.ledger.reading() as connection:
        text = connection.scalar(select(items.c.hold_text).where(items.c.hold.is_not(None)))
    assert text is not None
    assert text.startswith(f"another copy has this place at the store: {SESSION}/alf/shared.")


def test_planning_gives_the_item_the_batch_and_nothing_of_an_old_attempt(world: World) -> None:
    batch = world.planned("a")
    (item,) = world.items()
    assert (item.batch, item.partial, item.attempt, item.proof) == (batch, None, None, None)
    lease = world.claim(batch)
    with world.ledger.guarded(lease) as tx:
        assert tx.move([step(item, Status.SENT)]) == [item]


@pytest.mark.parametrize("files", [1, 2, 400])
def test_limits_reach_the_ledger(world: World, files: int) -> None:
    world.visit(world.session(), {f"alf/f{n}.npy": f"f{n}" for n in range(4)})
    assert len(world.plan(files=files)) == -(-4 // files)
