"""A ring reaches whoever listens, and nobody minds when nobody does."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from kombu import Connection

from config import doorbell
from transfer.errors import BrokerUnreachable


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[str]:
    """A Redis of our own; its URL."""
    program = shutil.which("redis-server")
    if program is None:
        reason = "redis-server is missing: apt-get install redis-server"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    port = free_port()
    server = subprocess.Popen(
        [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)],
        stdout=subprocess.DEVNULL,
    )
    try:
        for _ in range(500):
            with socket.socket() as one:
                if one.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.02)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.terminate()
        server.wait()


def heard(url: str, queue: str) -> tuple[str, list[object]]:
    """The name and the arguments of the task that waits in `queue`."""
    with Connection(url) as line, line.SimpleQueue(queue) as waiting:
        message = waiting.get(timeout=5)
        message.ack()
        return message.headers["task"], message.payload[0]


def test_a_ring_names_the_task_and_carries_one_value() -> None:
    assert doorbell.ring("memory://", "workers.tasks.look", 41, queue="rig-7")

    assert heard("memory://", "rig-7") == ("workers.tasks.look", [41])


def test_a_ring_goes_through_redis(redis: str) -> None:
    doorbell.reach(redis)
    assert doorbell.ring(redis, "workers.tasks.look", "cortexlab", queue="rig-7")

    assert heard(redis, "rig-7") == ("workers.tasks.look", ["cortexlab"])


@pytest.mark.parametrize("kind", ["redis", "amqp"])
def test_a_broker_that_is_down_is_nobodys_failure(kind: str) -> None:
    """The sweep finds the work; only the doctor complains, without the password."""
    url = f"{kind}://me:hunter2@127.0.0.1:{free_port()}/0"

    assert doorbell.ring(url, "workers.tasks.look", 41) is False
    with pytest.raises(BrokerUnreachable) as raised:
        doorbell.reach(url)
    assert "hunter2" not in str(raised.value)


def test_an_address_nobody_understands_is_a_broker_that_cannot_be_reached() -> None:
    assert doorbell.ring("carrier-pigeon://home", "workers.tasks.look", 41) is False
    with pytest.raises(BrokerUnreachable):
        doorbell.reach("carrier-pigeon://home")
