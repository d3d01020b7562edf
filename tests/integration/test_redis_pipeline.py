"""Redis between beat and workers, each a process of its own: messages flushed and a worker killed in the middle."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandbox.store import SftpStore
from tests import servers
from tests.integration.lab import Place, Program, place, programs, until

Start = Callable[..., Program]


@pytest.fixture
def lab(tmp_path: Path, redis_url: str) -> Iterator[Place]:
    with place(tmp_path, broker=redis_url) as made:
        made.furnish(sessions=3, files=8)
        yield made


@pytest.fixture
def start() -> Iterator[Start]:
    with programs() as made:
        yield made


def test_messages_flushed_and_a_worker_killed_in_the_middle_change_nothing(
    lab: Place, start: Start, sshd_path: str, redis_url: str
) -> None:
    """Two workers and two beats; the one that holds a batch dies with kill -9 and Redis forgets everything."""
    with SftpStore(lab.store_root, home=lab.root / "home", server="sshd") as store:
        lab.sftp = store
        config = lab.write_config()

        # Given a worker that has published, and is stopped at the moment when it tells Alyx
        lab.alyx.faults.add("PATCH", "/files/", times=1_000_000, delay=0.5, drop=True)
        first = start(config, "worker", "--embedded-beat")
        until(lambda: lab.alyx.requests.count("PATCH", "/files/<id>"), "a worker tells Alyx of a file")

        # When it is killed there, and every message is lost
        first.send(signal.SIGKILL)
        first.wait()
        servers.flush(redis_url)
        assert lab.arrived() == 0
        assert lab.outcome().leases > 0
        assert lab.lies() == []
        lab.alyx.faults.clear()

        # Then two others, with two beats, come to where a calm run comes
        others = [start(config, "worker", "--embedded-beat") for _ in range(2)]
        until(lambda: lab.arrived() > 0, "the others go on")
        servers.flush(redis_url)
        until(lab.done, "every file has its receipt")
        ends = [other.stop() for other in others]

    assert lab.outcome() == lab.calm()
    assert lab.lies() == []
    assert ends == [0, 0], [other.said for other in others]
    # What Celery says of a broker that forgot everything is its own affair; a defect of ours is not.
    defects = [line for other in others for line in other.said.splitlines() if '"event": "defect"' in line]
    assert defects == []
