"""Who takes what in a fleet: the worker at a lab's disk, and the central one that follows movers without any disk."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mover import FolderMover, Service
from tests.scenarios.test_mover import NAMES, all_arrived
from tests.world import LAB, STORE, World, world
from transfer.rounds import Rounds
from transfer.runner import Runner
from transfer.status import Status


@pytest.fixture
def box(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


@pytest.fixture
def service(box: World) -> Service:
    return Service(lab=box.lab.root, store=box.store)


def at_the_lab(box: World, service: Service) -> Runner:
    """`worker --lab`, for a lab whose store is reached through a mover."""
    return _runner(box, service, disks=[LAB], follows=False)


def central(box: World, service: Service) -> Runner:
    """`worker --central`."""
    return _runner(box, service, disks=[], follows=True)


def _runner(box: World, service: Service, **duty: object) -> Runner:
    return box.runner(
        open_transport=lambda _store: FolderMover(service),
        transports={STORE: "globus"},
        movers=[STORE],
        **duty,
    )


def written(box: World) -> Path:
    session = box.session()
    for name in NAMES:
        box.write(session, name, name.encode() * 10)
    return session


def followed(box: World, runner: Runner, service: Service, times: int = 20) -> None:
    for _ in range(times):
        while runner.work():
            pass
        service.work()
        box.clock.advance(31)


def test_the_labs_worker_registers_and_the_central_one_follows_the_mover(
    box: World, service: Service
) -> None:
    """Neither does the other's part, whoever is rung for."""
    here, there = at_the_lab(box, service), central(box, service)
    session = written(box)
    number = box.see(here, session)

    assert not there.advance_session(only=[number]), "its disk is not here"
    assert here.advance_session(only=[number])
    batches = here.plan()
    assert not here.advance_batch(only=batches), "the mover is not its affair"
    assert Rounds(runner=here, version="1").sweep(box.lab) == ([], [])
    assert list(Rounds(runner=there, version="1").sweep_centrally()) == batches

    away = box.root / "another machine"
    shutil.move(box.lab.root, away)  # the central machine sees no lab's disk
    service.lab = away
    followed(box, there, service)
    shutil.move(away, box.lab.root)

    all_arrived(box)
    assert box.facts() == {}


def test_a_file_that_changed_at_the_lab_goes_back_to_the_labs_worker(box: World, service: Service) -> None:
    """The mover finds other bytes than were registered; the central worker cannot look, so the lab's does."""
    here, there = at_the_lab(box, service), central(box, service)
    session = written(box)
    box.see(here, session)
    here.advance_session()
    here.plan()
    box.write(session, NAMES[0], b"analysed again")

    followed(box, there, service)
    assert box.facts()[NAMES[0]] == Status.DISCOVERED
    assert here.advance_session(), "the lab's worker is due"
    here.plan()
    followed(box, there, service)

    all_arrived(box)
