"""The storm: deaths and pauses between any two outside effects, doubled workers, another client patching.

Hypothesis draws who goes on, who dies where it stands, when leases lapse, and what the other tool does.  What
must hold is the promise of docs/architecture.md, as stated:

1. while nobody else writes, a central exists=true implies the bytes, at every instant;
2. when another tool re-registers a file under us, a wrong exists=true is gone after lease and sweep;
3. with all our rows closed nothing wrong outlives a reconcile pass, and no file is forgotten.

The observer reads the sandbox's tables and the store's disk, never our ledger.
"""

import os
import tempfile
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from tests.stage import Actor, OtherTool
from tests.world import STORE, World, world
from transfer.ledger.tables import batches, copies, datasets, items, receipts, sessions
from transfer.rounds import Rounds
from transfer.status import Status
from transfer.steps.tidy import tidy
from transfer.transports.local import LocalTransport

SESSION = "KS023/2019-12-10/001"
FILES = (f"{SESSION}/alf/probe00/spikes.times.npy", f"{SESSION}/alf/probe00/spikes.clusters.npy")
LAPSE = 61

# Where a pause, a death or a patch is most likely to hurt: actors are brought here on purpose.
STOPS = (
    "register?",
    "opening-partial",
    "writing-chunk",
    "reading",
    "renaming",
    "renamed",
    "announce?",
    "announce.",
    "committing",
)

comes = st.tuples(st.just("come"), st.integers(0, 2), st.integers(0, len(STOPS) - 1))
ambushes = st.tuples(st.just("ambush"), st.integers(0, 2), st.integers(0, 2 * len(STOPS) - 1))
goes = st.tuples(st.just("go"), st.integers(0, 2), st.integers(1, 60))
dies = st.tuples(st.just("die"), st.integers(0, 2), st.just(0))
lapses = st.tuples(st.just("lapse"), st.just(0), st.just(0))
scans = st.tuples(st.just("scan"), st.just(0), st.just(0))
replaces = st.tuples(st.just("replace"), st.integers(0, 1), st.integers(0, 3))
registers = st.tuples(st.just("register"), st.integers(0, 1), st.just(0))

calm = st.lists(st.one_of(goes, goes, goes, comes, comes, dies, lapses, scans), min_size=5, max_size=30)
wild = st.lists(
    st.one_of(goes, goes, goes, comes, ambushes, ambushes, dies, lapses, scans, replaces, registers),
    min_size=5,
    max_size=30,
)

storm = settings(
    max_examples=10,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


class Storm:
    """One run: the world, three workers (one with a clock that stops while it stands) and the other tool."""

    def __init__(self, box: World) -> None:
        self.box = box
        self.folder = box.session()
        for number, path in enumerate(FILES):
            box.write(self.folder, path.removeprefix(f"{SESSION}/"), b"old bytes %d" % number)
        self.tool = OtherTool(box)
        self.director = box.runner()
        self.scan()
        self.actors = [Actor(box, f"worker{n}", suspended_clock=n == 2) for n in range(3)]
        self.patches = 0
        self.accidents = 0

    def play(self, kind: str, which: int, amount: int) -> None:
        getattr(self, kind)(which, amount)

    def go(self, which: int, amount: int) -> None:
        actor = self.actors[which]
        for _ in range(amount):
            if actor.go() == "idle":
                break
            self.look()

    def come(self, which: int, stop: int) -> None:
        """Go on until the actor stands at a place of that name, or finds nothing to do."""
        actor = self.actors[which]
        found_work = True
        for _ in range(600):
            was_idle = actor.idle
            where = actor.go()
            self.look()
            if where == STOPS[stop] or (where == "idle" and was_idle and not found_work):
                return
            found_work = where != "idle"

    def ambush(self, which: int, choice: int) -> None:
        """The other tool replaces and registers a file just when the actor stands there."""
        stop, file = divmod(choice, 2)
        self.come(which, stop)
        self.replace(file, choice % 4)
        self.register(file, 0)

    def die(self, which: int, _amount: int) -> None:
        if not self.actors[which].idle:
            event(f"died at {self.actors[which].where}")
            self.accidents += 1
        self.actors[which].die()
        self.look()

    def lapse(self, _which: int = 0, _amount: int = 0) -> None:
        """Every lease lapses: whoever stands somewhere is a late worker now."""
        self.accidents += any(not actor.idle for actor in self.actors)
        self.box.clock.advance(LAPSE)

    def scan(self, _which: int = 0, _amount: int = 0) -> None:
        self.box.see(self.director, self.folder)

    def replace(self, which: int, amount: int) -> None:
        self.tool.replace(FILES[which], b"new bytes %d" % amount)
        self.patches += 1

    def register(self, which: int, _amount: int) -> None:
        """Only what we registered before: else two registrations at once would double the dataset."""
        if any(row["relative_path"] == FILES[which] for row in self.box.alyx.tables.file_records(STORE)):
            self.tool.register(FILES[which])
            self.patches += 1

    def look(self) -> None:
        """Part 1 of the promise at every instant; without accidents a lie ends with the worker that told it."""
        if not self.patches:
            assert self.box.lies() == []
        elif not self.accidents and all(actor.idle for actor in self.actors):
            assert self.box.lies() == [], "a lie outlived our read-back"

    def sweep(self) -> None:
        """Lease and sweep, and the rounds."""
        self.lapse()
        self.scan()
        self.box.settle(self.director)

    def calm_down(self) -> None:
        """Part 2 while late workers still stand somewhere, then part 3 when everybody has finished."""
        self.sweep()
        self.reconcile()
        self.sweep()
        assert self.box.lies() == [], "a lie outlived lease, sweep and reconcile"
        for actor in self.actors:
            if not actor.idle:
                actor.finish()
        for _ in range(3):
            self.reconcile()
            for _ in range(5):
                self.box.clock.advance(3 * 3600)
                self.sweep()

    def reconcile(self) -> None:
        Rounds(runner=self.director, version="test").reconcile(self.box.lab)

    def check(self) -> None:
        """Nothing lost, nothing invented, nothing left over."""
        assert self.box.lies() == []
        for path in FILES:
            if self.patches and self._waits_for_a_person(path):
                continue
            content = (self.box.lab.root / path).read_bytes()
            assert self.box.record(path)["exists"], f"{path} was forgotten"
            assert self.box.stored(path).read_bytes() == content
        self.box.clock.advance(30 * 3600)
        self._no_leftovers()
        self._ledger_is_clean()

    def _waits_for_a_person(self, path: str) -> bool:
        """The other tool had replaced or registered it between two of our looks: somebody has to decide."""
        with self.director.ledger.reading() as connection:
            held = connection.scalar(
                select(items.c.hold)
                .join(copies, copies.c.id == items.c.copy)
                .join(datasets, datasets.c.id == copies.c.dataset)
                .where(datasets.c.path == path.removeprefix(f"{SESSION}/"), items.c.open == 1)
            )
        return held == "changed-elsewhere"

    def _no_leftovers(self) -> None:
        for path in self.box.stored_files():
            os.utime(path, (0, 0))  # the disk's clock is not the stage's
        with LocalTransport(self.box.store) as store:
            tidy(self.director.ledger, STORE, store, now=self.box.clock(), older_than=timedelta(hours=24))
        leftovers = {path.name for path in self.box.stored_files()} - {
            self.box.stored(path).name for path in FILES
        }
        assert {name for name in leftovers if name.endswith(".part")} == set()

    def _ledger_is_clean(self) -> None:
        with self.director.ledger.reading() as connection:
            for table in (sessions, batches):
                held = connection.scalar(select(func.count()).where(table.c.lease_until > self.box.clock()))
                assert held == 0, "a lease is left"
            arrived = connection.scalar(select(func.count()).where(items.c.status == Status.RECORDED))
            proved = connection.scalar(select(func.count()).where(receipts.c.kind == "arrival"))
            assert proved == arrived, "a receipt for each arrival, and only for them"
            still_open = connection.scalar(
                select(func.count()).where(items.c.open == 1, items.c.hold.is_(None))
            )
            assert still_open == 0, "a file is still on its way although nothing stops it"


def run(choices: list[tuple[str, int, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder, world(Path(folder)) as box:
        played = Storm(box)
        for choice in choices:
            played.play(*choice)
        played.calm_down()
        played.check()


@pytest.mark.timeout(600)  # whole pushes, by the dozen
@pytest.mark.storm
@storm
@given(choices=calm)
def test_nothing_is_announced_that_is_not_there(choices: list[tuple[str, int, int]]) -> None:
    """While nobody else writes, exists=true implies the bytes at every instant, and every file arrives."""
    run(choices)


@pytest.mark.timeout(600)  # whole pushes, by the dozen
@pytest.mark.storm
@storm
@given(choices=wild)
def test_another_tools_patches_are_followed(choices: list[tuple[str, int, int]]) -> None:
    """Whatever another tool replaces and registers, nothing wrong stays and nothing is forgotten."""
    run(choices)
