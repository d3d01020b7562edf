"""The whole journey with Globus between lab and store: the real steps and transport, files that really move."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from sandbox.globus import Limits, SandboxGlobus
from tests.world import LAB_SERVER, STORE, World, world
from transfer.model import STAGING
from transfer.runner import Runner
from transfer.transports.globus.options import GlobusOptions
from transfer.transports.globus.transport import ASIDE, GlobusTransport

SESSION = "KS023/2019-12-10/001"
NAMES = [f"alf/probe{number:02d}/spikes.times.npy" for number in range(6)]


@dataclass
class Central:
    """A world whose store is filled by Globus."""

    box: World
    globus: SandboxGlobus
    store_id: str
    options: GlobusOptions

    def worker(self) -> Runner:
        return self.box.runner(
            open_transport=lambda _store: GlobusTransport(self.options), transports={STORE: "globus"}
        )

    def begin(self, runner: Runner, names: list[str] = NAMES) -> Path:
        session = self.box.session()
        for name in names:
            self.box.write(session, name, name.encode() * 10)
        self.box.see(runner, session)
        assert runner.advance_session()
        runner.plan()
        return session

    def look(self, runner: Runner, done: Callable[[], bool] | None = None) -> None:
        """Workers and Globus by turns, with time passing in between, until nothing is open or `done`."""
        for _ in range(40):
            while runner.work():
                self.globus.settle()
            if not self.box.facts() or (done and done()):
                return
            self.box.clock.advance(31)
        raise AssertionError(f"still open: {self.box.facts()}")

    def arrived(self, names: list[str]) -> None:
        for name in names:
            path = f"{SESSION}/{name}"
            assert self.box.stored(path).read_bytes() == (self.box.lab.root / path).read_bytes()
            assert self.box.record(path)["exists"]
        assert self.box.lies() == []


@pytest.fixture(params=[False, True], ids=["refuses", "replaces"])
def central(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Central]:
    with world(tmp_path) as box, SandboxGlobus(limits=Limits(retry_pause=0.01)) as globus:
        box.clock.now = datetime.now(UTC)  # deadlines are read by both
        lab_id = globus.add_collection("lab", tmp_path, "personal")
        store_id = globus.add_collection("store", tmp_path, "guest", rename_replaces=request.param)
        options = GlobusOptions.model_validate(
            {
                "client_id": globus.client_id,
                "client_secret": globus.client_secret,
                "collection": UUID(store_id),
                "root": "/store",
                "sources": {LAB_SERVER: {"collection": UUID(lab_id), "root": "/lab"}},
                "service_url": globus.url,
                "auth_url": globus.url,
            }
        )
        yield Central(box, globus, store_id, options)
        globus.faults.assert_all_reached()


def test_a_session_arrives_by_one_task_and_is_recorded(central: Central) -> None:
    runner = central.worker()
    central.begin(runner)

    central.look(runner)

    central.arrived(NAMES)
    assert len(central.globus.tasks()) == 1
    assert {row.proof for row in central.box.rows("SELECT proof FROM receipts")} == {"mover"}


def test_a_line_that_drops_before_the_answer_makes_no_second_task(central: Central) -> None:
    runner = central.worker()
    central.begin(runner)
    central.globus.faults.request("POST", "/transfer$", times=3, drop=True, after_work=True)

    central.look(runner)

    central.arrived(NAMES)
    assert len(central.globus.tasks()) == 1


def test_a_file_that_changed_unseen_fails_the_task_and_not_the_others(central: Central) -> None:
    """Same size, same time, other bytes: only its hash gives it away."""
    runner = central.worker()
    session = central.begin(runner)
    changed = session / NAMES[2]
    before = changed.stat()
    changed.write_bytes(bytes(reversed(changed.read_bytes())))
    os.utime(changed, ns=(before.st_atime_ns, before.st_mtime_ns))

    others = [name for name in NAMES if name != NAMES[2]]
    central.look(runner, lambda: list(central.box.facts()) == [NAMES[2]])

    central.arrived(others)


def test_a_task_that_globus_lost_is_asked_for_again_and_the_old_one_publishes_nothing(
    central: Central,
) -> None:
    runner = central.worker()
    central.begin(runner)
    central.globus.hold()
    assert runner.advance_batch()
    (task,) = central.globus.tasks()
    central.globus.lose_task(task["task_id"])
    central.globus.release()

    for _ in range(200):
        while runner.work():
            central.globus.settle()
        if not central.box.facts():
            break
        central.box.clock.advance(3600)

    central.arrived(NAMES)
    assert len(central.globus.tasks()) == 2


def test_a_newer_version_takes_the_place_of_the_old_one(central: Central) -> None:
    runner = central.worker()
    session = central.begin(runner, NAMES[:1])
    central.look(runner)
    (session / NAMES[0]).write_bytes(b"a newer version")
    central.box.see(runner, session)
    while runner.advance_session():
        pass
    runner.plan()

    central.look(runner)

    central.arrived(NAMES[:1])
    aside = central.box.store / ASIDE
    replaces = central.globus.collection(central.store_id).rename_replaces
    assert len(list(aside.iterdir()) if aside.exists() else []) == (0 if replaces else 1)
    assert list((central.box.store / STAGING).iterdir())
