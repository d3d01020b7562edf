"""The broker is killed in the middle of a run and comes back empty: the sweep rebuilds everything from the ledger."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import servers
from tests.integration.lab import place, programs, until


class Redis:
    """A Redis that keeps nothing; killed, it forgets every message."""

    def __init__(self, home: Path) -> None:
        self._server = servers.need("redis-server", install="apt-get install redis-server")
        self._home = home
        self._port = servers.free_port()
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._port}/0"

    def start(self) -> None:
        options = ["--port", str(self._port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self._child = subprocess.Popen(
            [self._server, *options, "--dir", str(self._home)], stdout=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 30
        while not servers._says(self._port, b"PING", b"+PONG"):
            assert time.monotonic() < deadline, "Redis did not start"
            time.sleep(0.05)

    def kill(self) -> None:
        self._child.kill()
        self._child.wait()


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    server = Redis(tmp_path)
    yield server
    server.kill()


def test_a_broker_that_dies_in_the_middle_and_comes_back_empty_changes_nothing(
    tmp_path: Path, redis: Redis
) -> None:
    """The worker finishes what it holds, loses rings and says so; when the broker is back the sweep rings."""
    with place(tmp_path, broker=redis.url) as lab, programs() as start:
        lab.furnish(sessions=3, files=6)
        lab.alyx.faults.add("GET", "/datasets", times=1_000_000, delay=0.2)
        worker = start(lab.write_config(), "worker", "--embedded-beat")
        until(lambda: any(path.is_file() for path in lab.store_root.rglob("*")), "the first bytes are there")

        redis.kill()
        until(lambda: "ring_lost" in worker.said, "a ring is lost, and told")
        assert worker.alive()
        assert lab.lies() == []
        assert not lab.done()

        redis.start()
        lab.alyx.faults.clear()
        until(lab.done, "every file has its receipt")
        assert worker.stop() == 0, worker.said

        assert lab.outcome() == lab.calm()
        assert lab.lies() == []
        assert '"event": "defect"' not in worker.said
