"""What the demo, as the first user of the embedded worker, needs of it."""

import logging
import threading
from datetime import timedelta
from pathlib import Path
from typing import cast

from tests.world import Clock
from transfer.ledger import Ledger, open_ledger
from transfer.ledger.jobs import claim_job, job_ran, last_run
from transfer.model import Lab
from transfer.rounds import Rounds
from workers import tasks
from workers.app import make_app
from workers.crew import Crew, Every
from workers.schedule import beat_schedule
from workers.service import running

SCAN = timedelta(minutes=5)
EVERY = Every(scan=SCAN, reconcile=timedelta(hours=1), tidy=timedelta(days=1), mirror=SCAN)


def test_rounds_are_rung_for_more_often_than_they_are_due() -> None:
    """Rung for exactly as often, a round would be walked every second time only."""
    lab = Lab(name="lab", repository="lab_SR", root=Path("/lab"), store="store", work="disk")
    rows = beat_schedule(labs=[lab], stores=["store"], every=EVERY, sweep=timedelta(seconds=30))
    due = {
        tasks.SCAN: EVERY.scan,
        tasks.RECONCILE: EVERY.reconcile,
        tasks.TIDY: EVERY.tidy,
        tasks.MIRROR: EVERY.mirror,
    }
    for row in rows.values():
        if row["task"] in due:
            assert row["schedule"] <= due[row["task"]].total_seconds() / 2
            assert row["schedule"] <= 300


def test_a_job_whose_holder_died_is_taken_when_its_lease_has_lapsed(tmp_path: Path) -> None:
    clock = Clock()
    made = open_ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    ledger = Ledger(made.engine, clock=clock, monotonic=clock.monotonic)
    try:
        assert claim_job(ledger, "scan", every=SCAN, seconds=60) is not None
        assert claim_job(ledger, "scan", every=SCAN, seconds=60) is None
        clock.advance(61)
        lease = claim_job(ledger, "scan", every=SCAN, seconds=60)
        assert lease is not None
        assert last_run(ledger, "scan") is None
        job_ran(ledger, lease, "done")
        assert last_run(ledger, "scan") == clock.now
    finally:
        made.engine.dispose()


class Rung:
    """Stands for the rounds; only the sweep is rung for."""

    def __init__(self) -> None:
        self.runner = None
        self.swept = threading.Event()

    def sweep(self) -> tuple[list[int], list[int]]:
        self.swept.set()
        return [], []


def test_a_second_worker_in_the_same_process_does_its_own_work() -> None:
    """It neither waits for a signal that only the first heard, nor rings the first one's crew."""
    root = logging.getLogger()
    before = root.level, list(root.handlers)
    for _ in range(2):
        app, rounds = make_app("memory://"), Rung()
        crew = Crew(rounds=cast(Rounds, rounds), every=EVERY, ring=lambda _task, _one: True)
        tasks.add_tasks(app, crew)
        with running(app, concurrency=1):
            app.send_task(tasks.SWEEP)
            assert rounds.swept.wait(20)
            assert (root.level, list(root.handlers)) == before
