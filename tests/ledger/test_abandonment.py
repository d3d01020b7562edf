"""A file is given up only after its central record was read and, where it lied, withdrawn."""

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import select

from tests.world import World, world
from transfer.abandonment import abandon
from transfer.errors import LostRace, NothingFound, StoreDenied, TransferError
from transfer.ledger.tables import datasets, events
from transfer.model import Item
from transfer.paths import partial_name
from transfer.runner import Runner
from transfer.status import Status

FILE = "KS023/2019-12-10/001/alf/probe00/spikes.times.npy"
DENIED = StoreDenied("the store refused to write", to="alf")


@pytest.fixture
def box(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


@pytest.fixture
def runner(box: World) -> Runner:
    """A worker that has planned one file."""
    folder = box.session()
    box.write(folder, "alf/probe00/spikes.times.npy", b"spikes" * 1000)
    runner = box.runner()
    box.see(runner, folder)
    assert runner.advance_session()
    runner.plan()
    return runner


def give_up(box: World, runner: Runner) -> list[Item]:
    with runner.ledger.reading() as connection:
        files = list(connection.scalars(select(datasets.c.id)))
    return abandon(runner.ledger, runner.catalog, [box.lab], files, why="The rig was tested.")


def hold(runner: Runner) -> None:
    claimed = runner.ledger.claim_batch(60)
    assert claimed is not None
    lease, batch = claimed
    with runner.ledger.guarded(lease) as tx:
        tx.hold([(item, DENIED) for item in runner.ledger.due_items(batch.id)])
    runner.ledger.release(lease)


def announce(box: World, runner: Runner) -> None:
    """A worker began to send, and Alyx announces what never arrived."""
    claimed = runner.ledger.claim_batch(60)
    assert claimed is not None
    lease, batch = claimed
    with runner.ledger.guarded(lease) as tx:
        due = runner.ledger.due_items(batch.id)
        tx.intend([(item, lease.token, partial_name(item.uuid, lease.token)) for item in due])
    runner.ledger.release(lease)
    runner.catalog.announce(UUID(str(box.record(FILE)["id"])), True)
    assert box.lies()


def test_a_held_file_is_closed_with_who_and_why(box: World, runner: Runner) -> None:
    hold(runner)
    runner.ledger.actor = "person:anne"

    closed = give_up(box, runner)

    assert len(closed) == 1
    assert box.ends() == [("alf/probe00/spikes.times.npy", "abandoned")]
    with runner.ledger.reading() as connection:
        told = connection.execute(select(events).where(events.c.became == Status.ABANDONED)).one()
    assert (told.actor, told.why, told.was) == ("person:anne", "The rig was tested.", "planned")
    assert give_up(box, runner) == []
    assert not runner.work()


def test_what_alyx_announces_without_proof_is_withdrawn_first(box: World, runner: Runner) -> None:
    announce(box, runner)

    give_up(box, runner)

    assert box.lies() == []
    assert not box.record(FILE)["exists"]


def test_nothing_is_closed_while_alyx_does_not_answer(box: World, runner: Runner) -> None:
    announce(box, runner)
    for _ in range(20):
        box.alyx.faults.add("GET", "/datasets", status=503)

    with pytest.raises(TransferError):
        give_up(box, runner)

    assert box.facts() == {"alf/probe00/spikes.times.npy": "planned"}
    box.alyx.faults.clear()
    assert len(give_up(box, runner)) == 1


def test_nothing_is_closed_while_a_worker_is_busy_with_it(box: World, runner: Runner) -> None:
    claimed = runner.ledger.claim_batch(60)
    assert claimed is not None

    with pytest.raises(LostRace, match=r"held by \S+ until .*Try again"):
        give_up(box, runner)

    assert box.facts() == {"alf/probe00/spikes.times.npy": "planned"}
    box.clock.advance(61)
    assert len(give_up(box, runner)) == 1


def test_a_worker_that_was_overtaken_records_nothing(box: World, runner: Runner) -> None:
    """A worker that holds the items in its hands cannot move what was abandoned meanwhile."""
    claimed = runner.ledger.claim_batch(60)
    assert claimed is not None
    lease, batch = claimed
    (item,) = runner.ledger.due_items(batch.id)
    box.clock.advance(61)
    give_up(box, runner)

    with pytest.raises(LostRace), runner.ledger.guarded(lease) as tx:
        tx.intend([(item, lease.token, "x.part")])


def test_the_lease_is_given_back(box: World, runner: Runner) -> None:
    give_up(box, runner)

    assert box.rows("SELECT lease_token FROM batches WHERE lease_token IS NOT NULL") == []
    assert box.rows("SELECT id FROM batches WHERE open = 1") == []


def test_a_lab_that_is_not_configured_is_refused(box: World, runner: Runner) -> None:
    with pytest.raises(NothingFound, match="no lab of the config"):
        abandon(runner.ledger, runner.catalog, [], [1], why="x")

    assert box.facts() == {"alf/probe00/spikes.times.npy": "planned"}
