"""PostgreSQL as the ledger of several processes, and a database that goes away in the middle."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from sandbox.store import SftpStore
from tests.integration.lab import Place, Program, place, programs, until

Start = Callable[..., Program]


@pytest.fixture
def lab(tmp_path: Path, postgres_url: str, redis_url: str) -> Iterator[Place]:
    with place(tmp_path, broker=redis_url, ledger_url=postgres_url) as made:
        made.furnish_as_a_rig_does(sessions=3, large_bytes=24 * 1024**2)
        yield made


@pytest.fixture
def start() -> Iterator[Start]:
    with programs() as made:
        yield made


class Database:
    """The ledger's database, as its administrator sees it."""

    def __init__(self, url: str) -> None:
        self._server, _, self._name = url.rpartition("/")

    def go_away(self) -> None:
        """As at a restart: every connection is cut, and no new one is let in."""
        self._say(f"ALTER DATABASE {self._name} ALLOW_CONNECTIONS false")
        self._say(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{self._name}'")

    def come_back(self) -> None:
        self._say(f"ALTER DATABASE {self._name} ALLOW_CONNECTIONS true")

    def _say(self, words: str) -> None:
        with psycopg.connect(f"{self._server}/postgres", autocommit=True) as line:
            line.execute(words.encode())


def test_a_database_that_restarts_and_a_worker_killed_in_the_middle_change_nothing(
    lab: Place, start: Start, sshd_path: str, postgres_url: str
) -> None:
    """Two workers move real sessions; the ledger is cut off, one worker dies, and each file arrives once."""
    with SftpStore(lab.store_root, home=lab.root / "home", server="sshd") as store:
        lab.sftp = store
        config = lab.write_config()
        workers = [start(config, "worker", "--embedded-beat") for _ in range(2)]

        # Given work in full swing: the first bytes stand at the store
        until(
            lambda: any(path.is_file() for path in lab.store_root.rglob("*")),
            "the first bytes are at the store",
        )

        # When the database goes away, one worker is killed meanwhile, and the database comes back
        database = Database(postgres_url)
        database.go_away()
        until(lambda: any("E-4002" in worker.said for worker in workers), "a worker misses the ledger")
        workers[0].send(signal.SIGKILL)
        workers[0].wait()
        database.come_back()

        # Then the other one brings everything to its end
        until(lab.done, "every file has its receipt")
        end = workers[1].stop()

    assert lab.outcome() == lab.calm()
    assert lab.lies() == []
    assert end == 0, workers[1].said
    # Of ours: Celery itself prints one when a message comes in while it closes its pool.
    assert '"event": "defect"' not in workers[1].said
