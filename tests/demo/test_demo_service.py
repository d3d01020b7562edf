"""What the demo, as the first user of the embedded worker, needs of it."""

import logging
import threading
from datetime import timedelta
from pathlib import Path
from typing import cast

from config.rounds import SWEEP
from tests.world import Clock
from transfer.ledger import Ledger, open_ledger
from transfer.ledger.jobs import claim_job, job_ran, last_run
from transfer.recurrence import Interval
from transfer.rounds import Rounds
from workers import tasks
from workers.app import make_app
from workers.crew import Crew
from workers.service import running

SCAN = Interval(timedelta(minutes=5))


def test_a_job_whose_holder_died_is_taken_when_its_lease_has_lapsed(tmp_path: Path) -> None:
    clock = Clock()
    made = open_ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    ledger = Ledger(made.engine, clock=clock, monotonic=clock.monotonic)
    try:
        assert claim_job(ledger, "scan", when=SCAN, seconds=60) is not None
        assert claim_job(ledger, "scan", when=SCAN, seconds=60) is None
        clock.advance(61)
        lease = claim_job(ledger, "scan", when=SCAN, seconds=60)
        assert lease is not None
        assert last_run(ledger, "scan") is None
        job_ran(ledger, lease, "done")
        assert last_run(ledger, "scan") == clock.now
    finally:
        made.engine.dispose()


class Rung:
    """Stands for the rounds; only the central sweep is rung for."""

    def __init__(self) -> None:
        self.runner = None
        self.swept = threading.Event()

    def sweep_centrally(self) -> list[int]:
        self.swept.set()
        return []


def test_a_second_worker_in_the_same_process_does_its_own_work() -> None:
    """It neither waits for a signal that only the first heard, nor rings the first one's crew."""
    root = logging.getLogger()
    before = root.level, list(root.handlers)
    for _ in range(2):
        app, rounds = make_app("memory://"), Rung()
        crew = Crew(rounds=cast(Rounds, rounds), when={}, ring=lambda _task, _one, queue: True)
        tasks.add_tasks(app, crew)
        with running(app, concurrency=1):
            app.send_task(SWEEP)
            assert rounds.swept.wait(20)
            assert (root.level, list(root.handlers)) == before
