"""A fleet: each lab's machine with a worker and config of its own, a central one, two beats; servers that restart."""

import re
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests import servers
from tests.integration.lab import Place, Program, place, programs, until
from tests.servers import Restart

Start = Callable[..., Program]


@dataclass(frozen=True)
class Fleet:
    """Two labs, the config of each machine, and the servers between them."""

    here: Place
    there: Place
    config_here: Path
    config_there: Path
    config_central: Path
    restart_database: Restart
    restart_broker: Restart


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with (
        servers.restartable_postgres() as (postgres, restart_database),
        servers.restartable_redis() as (broker, restart_broker),
        place(tmp_path / "here", broker=broker, ledger_url=f"{postgres}/postgres") as here,
    ):
        (tmp_path / "here").mkdir()
        (tmp_path / "there").mkdir()
        there = replace(
            here,
            root=tmp_path / "there",
            lab="hoferlab",
            repository="hoferlab_SR",
            store="flatiron_hoferlab",
            files={},
        )
        here.furnish(sessions=3, files=8)
        there.furnish_as_a_rig_does(sessions=1)
        central = replace(here, neighbours=[there]).write_config().rename(tmp_path / "central.toml")
        yield Fleet(
            here=here,
            there=there,
            config_here=here.write_config(),
            config_there=there.write_config(),
            config_central=central,
            restart_database=restart_database,
            restart_broker=restart_broker,
        )


@pytest.fixture
def start() -> Iterator[Start]:
    with programs() as made:
        yield made


def visitors(lab: Place) -> set[int]:
    """The processes that ever worked on a session or a batch of this lab."""
    rows = lab.ask(
        "SELECT DISTINCT events.actor FROM events JOIN sessions ON events.subject_id = CAST(sessions.id AS VARCHAR) "
        f"WHERE events.subject = 'session' AND events.what = 'claimed' AND sessions.source = '{lab.repository}' "
        "UNION SELECT DISTINCT events.actor FROM events "
        "JOIN batches ON events.subject_id = CAST(batches.id AS VARCHAR) "
        f"WHERE events.subject = 'batch' AND events.what = 'claimed' AND batches.source = '{lab.repository}'"
    )
    return {int(str(row[0]).rpartition(":")[2]) for row in rows}


@pytest.mark.timeout(300)
def test_servers_restart_and_a_worker_dies_and_each_labs_files_arrive_once(
    fleet: Fleet, start: Start
) -> None:
    """The database and the broker restart, the broker with all its messages lost, a lab's worker is killed in the
    middle and another joins: what comes of it is what comes of a calm night.
    """
    here, there = fleet.here, fleet.there
    beats = [start(fleet.config_central, "beat") for _ in range(2)]
    central = start(fleet.config_central, "worker", "--central")
    other = start(fleet.config_there, "worker", "--lab", there.lab)

    # Given a lab's worker that has published, and is stopped at the moment when it tells Alyx
    here.alyx.faults.add("PATCH", "/files/", times=1_000_000, delay=0.3, drop=True)
    first = start(fleet.config_here, "worker", "--lab", here.lab)
    until(lambda: here.alyx.requests.count("PATCH", "/files/<id>"), "a worker tells Alyx of a file")

    # When it is killed there, and both servers restart
    first.send(signal.SIGKILL)
    first.wait()
    fleet.restart_broker()
    fleet.restart_database()
    here.alyx.faults.clear()
    second = start(fleet.config_here, "worker", "--lab", here.lab)

    # Then all goes on by itself, and each file of both labs arrives exactly once
    running = [*beats, central, other, second]
    try:
        until(lambda: here.done() and there.done(), "every file has its receipt", patience=150)
    except AssertionError as error:
        raise AssertionError("\n\n".join(one.said[-3000:] for one in running)) from error
    ends = [one.stop() for one in running]

    for lab in (here, there):
        assert lab.outcome() == lab.calm()
        assert lab.lies() == []
    assert ends == [0] * len(running), [one.said for one in running]
    assert not [one.said for one in running if '"event": "defect"' in one.said or "defect  " in one.said]

    # And nobody but its own machine's worker was at a lab's sessions and batches
    assert visitors(here) <= {first.pid, second.pid}
    assert visitors(there) == {other.pid}


def test_two_beats_and_two_workers_walk_each_round_once(fleet: Fleet, start: Start) -> None:
    """Both beats ring for everything at once when they begin; the ledger lets each round be walked by one."""
    beats = [start(fleet.config_central, "beat") for _ in range(2)]
    workers = [start(fleet.config_central, "worker") for _ in range(2)]

    until(lambda: fleet.here.done() and fleet.there.done(), "every file has its receipt")
    rounds = {f"{word} {lab.lab}" for word in ("reconcile", "mirror") for lab in (fleet.here, fleet.there)}
    rounds |= {
        f"{word} {lab.store}" for word in ("probe", "tidy", "prove") for lab in (fleet.here, fleet.there)
    }
    rounds |= {"sanity", "report"}
    walked: Counter[str] = Counter()

    def all_walked() -> bool:
        walked.clear()
        for worker in workers:
            walked.update(_jobs(worker.said))
        return rounds <= walked.keys()

    until(all_walked, "every round is walked")
    ends = [one.stop() for one in [*beats, *workers]]

    assert ends == [0, 0, 0, 0]
    all_walked()
    assert {name: walked[name] for name in rounds} == dict.fromkeys(rounds, 1)


def _jobs(said: str) -> list[str]:
    """The rounds that a worker says it walked."""
    found = re.findall(r"round_walked\s.*?job=(?:'([^']+)'|(\S+))", said)
    return [quoted or plain for quoted, plain in found]


def test_machines_whose_clocks_are_wrong_take_nobodys_work_and_do_their_own(
    fleet: Fleet, start: Start
) -> None:
    """Leases, due times and rounds go by the database's clock: a clock that is hours wrong lapses no lease, and
    neither hurries nor delays anything."""
    lab = fleet.there
    ahead = start(fleet.config_there, "worker", "--embedded-beat", ahead=7200)
    behind = start(fleet.config_there, "worker", "--embedded-beat", ahead=-10_800)
    until(lab.done, "every file has its receipt")
    ends = [ahead.stop(), behind.stop()]

    assert ends == [0, 0], (ahead.said, behind.said)
    assert lab.outcome() == lab.calm()
    assert "lease_lost" not in ahead.said + behind.said
    assert visitors(lab), "somebody worked"
    (span,) = lab.ask("SELECT max(at) - min(at) AS told FROM events")
    assert span.told < timedelta(minutes=5), "no event is dated by the wrong clock"
