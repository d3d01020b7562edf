"""RabbitMQ in place of Redis, by its address alone: what a beat rings is heard by the workers it is meant for."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from config import doorbell, queues
from tests import servers
from tests.integration.lab import Place, place, programs, until
from transfer.errors import BrokerRefused, BrokerUnreachable


@pytest.fixture(scope="module")
def rabbitmq_url() -> Iterator[str]:
    with servers.rabbitmq() as url:
        yield url


@pytest.fixture
def lab(tmp_path: Path, rabbitmq_url: str) -> Iterator[Place]:
    with place(tmp_path, broker=rabbitmq_url) as made:
        made.furnish(sessions=1, files=3)
        yield made


def test_a_beat_rings_through_rabbitmq_and_two_kinds_of_workers_hear_it(
    lab: Place, rabbitmq_url: str
) -> None:
    """No worker looks by itself: without a ring that is heard nothing would move."""
    config = lab.write_config()
    config.chmod(0o600)  # the broker's address has its password
    with programs() as start:
        processes = [
            start(config, *words)
            for words in (("worker", "--lab", lab.lab), ("worker", "--central"), ("beat",))
        ]
        until(lab.done, "every file has its receipt")
        until(lambda: doorbell.unheard(rabbitmq_url, queues.of_lab(lab.lab)) == 0, "every ring is heard")
        ends = [process.stop() for process in processes]

    assert lab.lies() == []
    assert ends == [0, 0, 0], [process.said for process in processes]


def test_a_broker_that_wants_a_password_is_told_it_and_one_that_is_gone_is_not_waited_for(
    rabbitmq_url: str,
) -> None:
    """A ring answers whether it went out; nobody who rings fails."""
    wrong = rabbitmq_url.replace("guest:guest", "guest:other")
    gone = f"amqp://guest:guest@127.0.0.1:{servers.free_port()}//"

    assert [doorbell.ring(url, "sweep", "x") for url in (rabbitmq_url, wrong, gone)] == [True, False, False]
    doorbell.reach(rabbitmq_url)
    for url, kind in ((wrong, BrokerRefused), (gone, BrokerUnreachable)):
        with pytest.raises(BrokerUnreachable) as refused:
            doorbell.reach(url)
        assert type(refused.value) is kind
        assert "other" not in str(refused.value)
