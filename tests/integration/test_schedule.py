"""The schedule: one table, rounds that are rung for often enough, jobs that are walked once."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from celery.beat import Scheduler

from cli.status import check_line
from config import rounds
from config.queues import CENTRAL, of_lab
from config.settings import Settings, load
from config.upcoming import with_rounds
from tests.integration.lab import REPOSITORY
from tests.world import Clock
from transfer.errors import LostRace
from transfer.ledger import Ledger, open_ledger
from transfer.ledger.glance import crew
from transfer.ledger.health import check
from transfer.ledger.jobs import claim_job, job_ran, last_run
from transfer.recurrence import ALWAYS, Cron, Interval
from workers import tasks
from workers.app import make_app
from workers.schedule import beat_schedule

HOUR = Interval(timedelta(hours=1))


CONFIG = """
[alyx]
url = "https://alyx.example.org"
user = "rig"
token_file = "{token}"
[schedule]
timezone = "Europe/London"
tidy = "0 3 * * *"
[labs.cortexlab]
repository = "cortexlab_SR"
root = "/lab/cortexlab"
store = "flatiron"
work = "disk"
[labs.cortexlab.schedule]
timezone = "America/New_York"
scan = "*/10 7-22 * * *"
[labs.hoferlab]
repository = "hoferlab_SR"
root = "/lab/hoferlab"
store = "flatiron"
work = "disk"
[stores.flatiron]
transport = "local"
root = "/store"
"""
LABS = ("cortexlab", "hoferlab")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A config of two labs; one has a schedule of its own."""
    token = tmp_path / "token"
    token.write_text("secret\n")
    token.chmod(0o600)
    config = tmp_path / "config.toml"
    config.write_text(CONFIG.format(token=token))
    return load(config, {})


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


def test_every_lab_and_store_has_its_rounds_and_each_queue_a_sweep(settings: Settings) -> None:
    assert sorted(beat_schedule(settings)) == sorted(
        [
            "sweep",
            "sanity",
            "report",
            *(f"{word} flatiron" for word in ("probe", "tidy", "prove")),
            *(f"{word} {lab}" for word in ("sweep", "scan", "reconcile", "mirror") for lab in LABS),
        ]
    )


def test_every_row_names_a_task_that_exists(settings: Settings) -> None:
    app = make_app("memory://")
    tasks.add_tasks(app, _NO_CREW)

    assert {row["task"] for row in beat_schedule(settings).values()} <= set(app.tasks)


def test_what_needs_a_labs_disk_is_rung_for_in_the_labs_queue_and_the_rest_centrally(
    settings: Settings,
) -> None:
    by_lab = {
        name for name, row in beat_schedule(settings).items() if row["options"]["queue"] == of_lab("hoferlab")
    }
    central = {name for name, row in beat_schedule(settings).items() if row["options"]["queue"] == CENTRAL}

    assert by_lab == {"sweep hoferlab", "scan hoferlab", "mirror hoferlab"}
    assert {"sweep", "reconcile hoferlab", "tidy flatiron", "report"} <= central


def test_a_lab_has_the_schedule_of_all_but_for_what_it_says_itself(settings: Settings) -> None:
    found = rounds.table(settings)

    assert str(found["scan hoferlab"].when) == "every 5 minutes"
    assert str(found["scan cortexlab"].when) == "*/10 7-22 * * * (America/New_York)"
    assert str(found["reconcile cortexlab"].when) == "every hour"
    assert str(found["tidy flatiron"].when) == "0 3 * * * (Europe/London)"


class _NoCrew:
    class rounds:
        runner = None


_NO_CREW = _NoCrew()


def test_a_round_is_rung_for_more_often_than_it_is_due(settings: Settings) -> None:
    """Else it would be walked every second time only: its interval begins when the last walk ended."""
    rows = beat_schedule(settings)
    for name, one in rounds.table(settings).items():
        assert rows[name]["schedule"] <= one.when.shortest.total_seconds() / 5
        assert rows[name]["schedule"] <= 300


def test_a_beat_that_begins_rings_for_everything_at_once(settings: Settings) -> None:
    """What was missed while it was away is made up now, not after another interval."""
    app = make_app("memory://")
    app.conf.beat_schedule = beat_schedule(settings)
    rung = []

    class Listening(Scheduler):
        producer = None

        def apply_entry(self, entry, producer=None):
            rung.append(entry.name)

    beat = Listening(app)
    while beat.tick() == 0:
        pass

    assert sorted(rung) == sorted(beat_schedule(settings))


def test_no_ring_expires(settings: Settings) -> None:
    """An expiry is a moment of the ringer's clock: a worker whose clock is ahead would hear nothing, for ever."""
    assert not any("expires" in row["options"] for row in beat_schedule(settings).values())
    assert make_app("memory://").conf.result_expires is None


# ---- the jobs


def test_a_job_is_due_once_in_its_interval(ledger: Ledger, clock: Clock) -> None:
    walk = claim_job(ledger, "scan", when=HOUR, seconds=60)
    assert walk is not None
    job_ran(ledger, walk, "fine")

    clock.advance(3599)
    assert claim_job(ledger, "scan", when=HOUR, seconds=60) is None
    clock.advance(1)
    assert claim_job(ledger, "scan", when=HOUR, seconds=60) is not None


def test_a_job_that_was_missed_many_times_is_made_up_once(ledger: Ledger, clock: Clock) -> None:
    walk = claim_job(ledger, "scan", when=HOUR, seconds=60)
    assert walk
    job_ran(ledger, walk, "fine")
    clock.advance(7 * 3600)

    late = claim_job(ledger, "scan", when=HOUR, seconds=60)
    assert late
    job_ran(ledger, late, "made up")

    assert claim_job(ledger, "scan", when=HOUR, seconds=60) is None
    assert last_run(ledger, "scan") == clock()


def test_a_cron_job_is_due_at_its_moments_and_made_up_once_after_a_sleep(
    ledger: Ledger, clock: Clock
) -> None:
    """A lab machine that slept over three nights tidies once when it wakes, and then at night again."""
    nightly = Cron("0 3 * * *", ZoneInfo("Europe/London"))
    first = claim_job(ledger, "tidy", when=nightly, seconds=60)
    assert first
    job_ran(ledger, first, "fine")
    due = nightly.after(clock())

    clock.advance((due - clock()).total_seconds() - 1)
    assert claim_job(ledger, "tidy", when=nightly, seconds=60) is None
    clock.advance(3 * 86_400)
    late = claim_job(ledger, "tidy", when=nightly, seconds=60)
    assert late
    job_ran(ledger, late, "made up")

    assert claim_job(ledger, "tidy", when=nightly, seconds=60) is None
    clock.advance(1)
    assert claim_job(ledger, "tidy", when=nightly, seconds=60), "the next night's moment is its own"


def test_a_job_that_somebody_walks_is_not_walked_twice(ledger: Ledger) -> None:
    assert claim_job(ledger, "scan", when=ALWAYS, seconds=60)
    assert claim_job(ledger, "scan", when=ALWAYS, seconds=60) is None
    assert claim_job(ledger, "tidy", when=ALWAYS, seconds=60)


def test_a_job_whose_walker_died_is_free_when_the_lease_has_lapsed(ledger: Ledger, clock: Clock) -> None:
    """And the dead one, if it was only asleep, cannot write that it ran."""
    asleep = claim_job(ledger, "scan", when=HOUR, seconds=60)
    assert asleep
    clock.advance(61)

    assert claim_job(ledger, "scan", when=HOUR, seconds=60)
    with pytest.raises(LostRace):
        job_ran(ledger, asleep, "I was asleep")
    assert last_run(ledger, "scan") is None


_CLAIMER = """
import sys
from datetime import timedelta
from transfer.ledger import open_ledger
from transfer.ledger.jobs import claim_job
from transfer.recurrence import Interval
ledger = open_ledger(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for number in range(40):
    if claim_job(ledger, f"job {number}", when=Interval(timedelta(hours=1)), seconds=600):
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


# ---- a beat that nobody misses


def test_a_beat_that_is_missing_is_noticed_where_a_worker_lives(
    settings: Settings, ledger: Ledger, clock: Clock
) -> None:
    """Nothing else would say it: what is not found does not wait."""
    for name in rounds.table(settings):
        walk = claim_job(ledger, name, when=ALWAYS, seconds=60)
        assert walk
        job_ran(ledger, walk, "fine")

    clock.advance(30 * 60 - 1)
    crew.here(ledger, version="1", hands=1, duty="central")
    assert with_rounds(check(ledger), settings, ledger).fine
    clock.advance(2)
    assert with_rounds(check(ledger), settings, ledger).unwalked == ("probe flatiron",)
    clock.advance(45 * 60)
    crew.here(ledger, version="1", hands=1, duty="central")
    late = with_rounds(check(ledger), settings, ledger)
    assert not late.fine
    assert set(late.unwalked) >= {"reconcile cortexlab", "probe flatiron", "sanity"}
    assert not {one for one in late.unwalked if one.startswith(("scan", "mirror"))}, "a rig may be off"
    assert "overdue: probe flatiron and" in check_line(late, timedelta(days=1))

    clock.advance(3600)
    assert with_rounds(check(ledger), settings, ledger).fine, "no worker lives: then nothing is expected"


def test_a_lab_whose_disk_is_not_mounted_is_noticed_although_nothing_waits(
    settings: Settings, ledger: Ledger
) -> None:
    crew.here(ledger, version="1", hands=1, duty="cortexlab")
    for outcome, away in (
        ("[E-1005] the lab's data folder is not there", ("cortexlab",)),
        ("3 sessions", ()),
    ):
        walk = claim_job(ledger, "scan cortexlab", when=ALWAYS, seconds=60)
        assert walk
        job_ran(ledger, walk, outcome)
        found = with_rounds(check(ledger), settings, ledger)
        assert (found.away, found.fine) == (away, not away)
        assert ("the data folder is not there: cortexlab" in check_line(found, timedelta(days=1))) is bool(
            away
        )
