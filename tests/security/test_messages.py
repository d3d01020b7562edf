"""Messages are JSON and nothing else: whoever can write to the broker cannot make a worker run anything of theirs."""

import logging
import pickle
import threading
from pathlib import Path

import pytest
from kombu import Connection

from config import doorbell
from config.queues import CENTRAL
from config.rounds import VISIT
from tests.integration.lab import until
from workers import service
from workers.app import make_app


class Bomb:
    """Unpickled, it makes a file."""

    def __init__(self, place: Path) -> None:
        self._place = place

    def __reduce__(self) -> object:
        return (Path.touch, (self._place,))


def test_a_pickled_message_is_refused_by_the_running_worker_and_nothing_is_executed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor one in YAML; the next ring in JSON is heard as ever."""
    # Given a bomb that works
    pickle.loads(pickle.dumps(Bomb(tmp_path / "proof")))
    assert (tmp_path / "proof").exists()
    app, heard = make_app("memory://"), threading.Event()

    def visit(_session: int) -> None:
        heard.set()

    app.task(name=VISIT, shared=False)(visit)
    mine = tmp_path / "executed"

    # When it is sent as its content, as an argument, and in other dresses
    with caplog.at_level(logging.ERROR, "celery"), service.running(app, concurrency=1):
        headers = {"task": VISIT, "id": "1", "lang": "py", "argsrepr": "", "kwargsrepr": ""}
        bodies = {
            "application/x-python-serialize": pickle.dumps(((Bomb(mine),), {}, {})),
            "application/x-yaml": f"!!python/object/apply:pathlib.Path.touch [{mine}]".encode(),
        }
        with Connection(doorbell.address("memory://")) as line, line.channel() as channel:
            producer = line.Producer(channel)
            for kind, body in bodies.items():
                encoding = "binary" if "serialize" in kind else "utf-8"
                producer.publish(
                    body,
                    routing_key=CENTRAL,
                    content_type=kind,
                    content_encoding=encoding,
                    headers=headers,
                    retry=False,
                )
        until(lambda: len(caplog.records) >= len(bodies), "each is refused")
        refused = not heard.is_set()
        assert doorbell.ring("memory://", VISIT, 1)
        assert heard.wait(60)

    # Then nothing of it ran
    assert refused
    assert not mine.exists()
    assert "ContentDisallowed" in caplog.text


def test_nothing_but_json_is_sent_or_taken_and_nobody_steers_a_worker_from_afar() -> None:
    """What the app says of itself; remote control could end a worker or read its config."""
    conf = make_app("redis://localhost/0").conf
    assert list(conf.accept_content) == ["json"]
    assert conf.task_serializer == "json"
    assert conf.worker_enable_remote_control is False
    assert conf.task_ignore_result is True
    assert doorbell._producer("memory://").conf.task_serializer == "json"
