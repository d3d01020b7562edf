"""The schedule: one table, rounds that are rung for often enough, jobs that are walked once."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from celery.beat import Scheduler

from tests.integration.lab import REPOSITORY
from tests.world import Clock
from transfer.errors import LostRace
from transfer.ledger import Ledger, open_ledger
from transfer.ledger.jobs import claim_job, job_ran, last_run
from transfer.model import Lab
from workers import tasks
from workers.app import make_app
from workers.crew import Every
from workers.schedule import beat_schedule

HOUR = timedelta(hours=1)
EVERY = Every(scan=timedelta(minutes=5), reconcile=HOUR, tidy=24 * HOUR, mirror=timedelta(minutes=5))
LABS = [
    Lab(name=name, repository=f"{name}_SR", root=Path("/lab") / name, store="flatiron", work="disk")
    for name in ("cortexlab", "hoferlab")
]


def table():
    return beat_schedule(labs=LABS, stores=["flatiron"], every=EVERY, sweep=timedelta(seconds=30))


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    return request.getfixturevalue("postgres_url")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(url: str, clock: Clock) -> Iterator[Ledger]:
    engine = open_ledger(url).engine
    yield Ledger(engine, clock=clock, monotonic=clock.monotonic)
    engine.dispose()


# ---- the table


def test_every_lab_and_store_has_its_rounds_and_all_share_the_sweep() -> None:
    assert sorted(table()) == sorted(
        [
            tasks.SWEEP,
            tasks.SANITY,
            f"{tasks.TIDY} flatiron",
            f"{tasks.PROVE} flatiron",
            *(f"{task} {lab.name}" for task in (tasks.SCAN, tasks.RECONCILE, tasks.MIRROR) for lab in LABS),
        ]
    )


def test_every_row_names_a_task_that_exists() -> None:
    app = make_app("memory://")
    tasks.add_tasks(app, _NO_CREW)

    assert {row["task"] for row in table().values()} <= set(app.tasks)


class _NoCrew:
    class rounds:
        runner = None


_NO_CREW = _NoCrew()


def test_a_round_is_rung_for_more_often_than_it_is_due() -> None:
    """Else it would be walked every second time only: its interval begins when the last walk ended."""
    for row in table().values():
        if row["task"] != tasks.SWEEP:
            due = {
                tasks.SCAN: EVERY.scan,
                tasks.RECONCILE: EVERY.reconcile,
                tasks.TIDY: EVERY.tidy,
                tasks.PROVE: EVERY.prove,
                tasks.MIRROR: EVERY.mirror,
                tasks.SANITY: EVERY.sanity,
            }[row["task"]]
            assert row["schedule"] <= due.total_seconds() / 5
            assert row["schedule"] <= 300


def test_a_beat_that_begins_rings_for_everything_at_once() -> None:
    """What was missed while it was away is made up now, not after another interval."""
    app = make_app("memory://")
    app.conf.beat_schedule = table()
    rung = []

    class Listening(Scheduler):
        producer = None

        def apply_entry(self, entry, producer=None):
            rung.append(entry.name)

    beat = Listening(app)
    while beat.tick() == 0:
        pass

    assert sorted(rung) == sorted(table())


def test_no_ring_expires() -> None:
    """An expiry is a moment of the ringer's clock: a worker whose clock is ahead would hear nothing, for ever."""
    assert not any("expires" in row.get("options", {}) for row in table().values())
    assert make_app("memory://").conf.result_expires is None


# ---- the jobs


def test_a_job_is_due_once_in_its_interval(ledger: Ledger, clock: Clock) -> None:
    walk = claim_job(ledger, "scan", every=HOUR, seconds=60)
    assert walk is not None
    job_ran(ledger, walk, "fine")

    clock.advance(3599)
    assert claim_job(ledger, "scan", every=HOUR, seconds=60) is None
    clock.advance(1)
    assert claim_job(ledger, "scan", every=HOUR, seconds=60) is not None


def test_a_job_that_was_missed_many_times_is_made_up_once(ledger: Ledger, clock: Clock) -> None:
    walk = claim_job(ledger, "scan", every=HOUR, seconds=60)
    assert walk
    job_ran(ledger, walk, "fine")
    clock.advance(7 * 3600)

    late = claim_job(ledger, "scan", every=HOUR, seconds=60)
    assert late
    job_ran(ledger, late, "made up")

    assert claim_job(ledger, "scan", every=HOUR, seconds=60) is None
    assert last_run(ledger, "scan") == clock()


def test_a_job_that_somebody_walks_is_not_walked_twice(ledger: Ledger) -> None:
    assert claim_job(ledger, "scan", every=timedelta(0), seconds=60)
    assert claim_job(ledger, "scan", every=timedelta(0), seconds=60) is None
    assert claim_job(ledger, "tidy", every=timedelta(0), seconds=60)


def test_a_job_whose_walker_died_is_free_when_the_lease_has_lapsed(ledger: Ledger, clock: Clock) -> None:
    """And the dead one, if it was only asleep, cannot write that it ran."""
    asleep = claim_job(ledger, "scan", every=HOUR, seconds=60)
    assert asleep
    clock.advance(61)

    assert claim_job(ledger, "scan", every=HOUR, seconds=60)
    with pytest.raises(LostRace):
        job_ran(ledger, asleep, "I was asleep")
    assert last_run(ledger, "scan") is None


_CLAIMER = """
import sys
from datetime import timedelta
from transfer.ledger import open_ledger
from transfer.ledger.jobs import claim_job
ledger = open_ledger(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for number in range(40):
    if claim_job(ledger, f"job {number}", every=timedelta(hours=1), seconds=600):
        print(number, flush=True)
"""


def test_two_processes_that_claim_at_once_share_the_jobs_without_a_double(url: str) -> None:
    """Forty jobs, asked for by both in the same order at the same moment: each is taken by exactly one."""
    open_ledger(url).engine.dispose()
    children = [
        subprocess.Popen(
            [sys.executable, "-c", _CLAIMER, url],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    try:
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
        for child in children:
            assert child.stdin is not None
            child.stdin.write("go\n")
            child.stdin.flush()
        taken = [child.communicate(timeout=60)[0].split() for child in children]
    finally:
        for child in children:
            child.kill()
            child.wait()

    assert all(child.returncode == 0 for child in children)
    assert sorted(map(int, [*taken[0], *taken[1]])) == list(range(40))
