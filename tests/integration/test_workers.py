"""Workers and beat as processes and threads: they begin, listen, stop when told, and leave nothing behind."""

import logging
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest
import redis
from celery import signals
from sqlalchemy import select
from structlog.testing import capture_logs

from config import doorbell
from config.rounds import VISIT
from tests.integration.lab import PATIENCE, REPOSITORY, Place, Program, place, programs, until, working
from tests.servers import free_port
from tests.world import world
from transfer.errors import BrokerRefused
from transfer.ledger import open_ledger
from transfer.ledger.jobs import claim_job, last_run
from transfer.ledger.tables import batches
from transfer.recurrence import ALWAYS
from transfer.transports.base import Failed, Moved, Sent, Upload
from transfer.transports.local import LocalTransport
from workers import service
from workers.app import make_app
from workers.assembly import beat_app

Start = Callable[..., Program]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Place]:
    with place(tmp_path) as made:
        made.furnish(sessions=1, files=3)
        yield made


@pytest.fixture
def start() -> Iterator[Start]:
    with programs() as made:
        yield made


# ---- in this process


def test_a_worker_begins_and_ends_in_this_process_and_leaves_nothing(
    lab: Place, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Twice in a row: no thread stays, no signal has more listeners, nothing is printed or complained of."""
    before = set(threading.enumerate())
    listeners = [len(one.receivers or []) for one in (signals.worker_ready, signals.setup_logging)]
    handlers = [signal.getsignal(which) for which in (signal.SIGTERM, signal.SIGINT)]
    settings = lab.settings()

    with caplog.at_level(logging.WARNING), capture_logs():
        for _ in range(2):
            with working(settings):
                until(lab.done, "every file has its receipt")

    assert set(threading.enumerate()) == before
    assert [len(one.receivers or []) for one in (signals.worker_ready, signals.setup_logging)] == listeners
    assert [signal.getsignal(which) for which in (signal.SIGTERM, signal.SIGINT)] == handlers
    assert caplog.records == []
    assert capfd.readouterr().out == ""
    assert lab.outcome() == lab.calm()


def test_a_worker_that_does_not_hear_its_broker_is_not_ready_because_another_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each waits for itself, and one that is given up leaves no thread."""
    monkeypatch.setattr(service, "_READY", 1)
    before = set(threading.enumerate())
    deaf = make_app(f"redis://127.0.0.1:{free_port()}/0")
    somebody_else = threading.Timer(0.2, lambda: signals.worker_ready.send(sender=object()))
    somebody_else.start()

    with pytest.raises(RuntimeError, match="did not begin"), service.running(deaf, concurrency=1):
        pytest.fail("it never heard its broker")

    somebody_else.join()
    assert set(threading.enumerate()) == before


def test_a_worker_is_stopped_by_the_thread_that_reads_its_broker(redis_url: str) -> None:
    """Another thread that closes the connection may wait for ever for an answer this one has had."""
    stoppers: list[str] = []

    def note(**_: object) -> None:
        stoppers.append(threading.current_thread().name)

    signals.worker_shutdown.connect(note)
    try:
        with service.running(make_app(redis_url), concurrency=1):
            assert stoppers == []
    finally:
        signals.worker_shutdown.disconnect(note)
    assert stoppers == ["worker"]


def test_a_ring_from_elsewhere_in_the_process_is_heard(lab: Place) -> None:
    """What `alyx-transfer scan` rings, by name and without the workers' code, is a task of theirs."""
    heard = threading.Event()
    app = make_app("memory://")

    def visit(_session: int) -> None:
        heard.set()

    app.task(name=VISIT, shared=False)(visit)

    with service.running(app, concurrency=1):
        assert doorbell.ring("memory://", "alyx_transfer.visit_session", 1)
        assert heard.wait(60)


def test_a_beat_whose_broker_is_away_says_so_and_ends_when_told(lab: Place) -> None:
    """Celery's own would wait for the broker for ever, and with it whoever stops it."""
    lab.broker = f"redis://127.0.0.1:{free_port()}/0"
    app = beat_app(lab.settings())
    with capture_logs() as said, service._ringing(app) as beat:
        until(lambda: any(line["event"] == "ring_lost" for line in said), "a lost ring is told")
    assert not beat.is_alive()
    assert [line["because"] for line in said if line["event"] == "ring_lost"] == [ANY], (
        "once, with the reason"
    )
    assert "[E-4007] no answer from the broker" in next(line["because"] for line in said if "because" in line)


def test_a_redis_that_does_not_take_our_password_says_so_to_whoever_rings(lab: Place, redis_url: str) -> None:
    """Not that it is away: starting it once more would help nobody."""
    server = redis.Redis.from_url(redis_url)
    server.config_set("requirepass", "another")
    try:
        for url in (redis_url, redis_url.replace("redis://", "redis://:wrong@")):
            with pytest.raises(BrokerRefused) as refused:
                doorbell.reach(url)
            assert "wrong" not in refused.value.sentence
        lab.broker = redis_url.replace(
            "/0", "/1"
        )  # of /0 this process may have a line that was let in before
        with capture_logs() as said, service._ringing(beat_app(lab.settings())):
            until(lambda: any(line["event"] == "ring_lost" for line in said), "a lost ring is told")
        assert "[E-4013]" in next(line["because"] for line in said if line["event"] == "ring_lost")
    finally:
        redis.Redis.from_url(redis_url.replace("redis://", "redis://:another@")).config_set("requirepass", "")


# ---- as processes


@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_with_its_beat_ends_cleanly_when_told(
    lab: Place, start: Start, which: signal.Signals
) -> None:
    """`alyx-transfer worker --embedded-beat` does the work, and one signal ends it with 0 and no traceback."""
    worker = start(lab.write_config(), "worker", "--embedded-beat")
    until(lab.done, "every file has its receipt")

    worker.send(which)

    assert worker.wait() == 0, worker.said
    assert f"signal={which.name}" in worker.said
    assert "Traceback" not in worker.said
    assert "Warning" not in worker.said
    assert lab.outcome() == lab.calm()


def test_a_second_signal_ends_a_worker_whose_hands_are_full(lab: Place, start: Start) -> None:
    """One asks it to finish what is in hand; two mean now: the ledger remembers where it stood."""
    lab.alyx.faults.add("GET", "/datasets", times=1_000_000, delay=45)
    worker = start(lab.write_config(), "worker", "--embedded-beat")
    until(lambda: lab.alyx.requests.count("GET", "/datasets"), "a hand waits for Alyx")

    worker.send(signal.SIGTERM)
    until(lambda: "stop_asked" in worker.said, "it heard the first")
    assert worker.alive()
    worker.send(signal.SIGTERM)

    assert worker.wait() == 130
    assert "Traceback" not in worker.said


def test_a_worker_whose_broker_is_away_waits_and_ends_when_told(lab: Place, start: Start) -> None:
    lab.broker = f"redis://127.0.0.1:{free_port()}/0"
    worker = start(lab.write_config(), "worker", "--embedded-beat")
    until(lambda: "ring_lost" in worker.said, "it looks for the broker")

    assert worker.stop() == 0, worker.said
    assert "Traceback" not in worker.said


def test_a_beat_of_its_own_ends_when_told(lab: Place, start: Start, redis_url: str) -> None:
    lab.broker = redis_url
    beat = start(lab.write_config(), "beat")
    until(lambda: doorbell.unheard(redis_url), "it rings")

    assert beat.stop() == 0, beat.said
    assert "Traceback" not in beat.said


def test_a_beat_nobody_could_hear_is_refused(lab: Place, start: Start) -> None:
    beat = start(lab.write_config(), "beat")

    assert beat.wait() == 2
    assert "memory://" in beat.said


# ---- the pulse: who works slowly keeps what it holds, who sleeps loses it


class Slow:
    """A local store whose line stands still, after the first byte, until it is told to go on."""

    def __init__(self, root: Path) -> None:
        self._behind = LocalTransport(root, connections=1)
        self.standing = threading.Event()
        self.go_on = threading.Event()

    def __enter__(self) -> "Slow":
        self._behind.__enter__()
        return self

    def __exit__(self, *details: object) -> None:
        self._behind.__exit__(None, None, None)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._behind, name)

    def put(self, uploads: Iterable[Upload], moved: Moved) -> Iterator[Sent | Failed]:
        moved(1)
        self.standing.set()
        assert self.go_on.wait(PATIENCE)
        return self._behind.put(uploads, moved)


def test_a_slow_transfer_keeps_its_lease_for_as_long_as_it_takes(tmp_path: Path) -> None:
    """The lease's own end passes, nobody else gets the batch, and the bytes so far are told."""
    with world(tmp_path) as box, capture_logs():
        # Given a batch whose line stands still, under a lease of two real seconds
        session = box.session()
        box.write(session, "alf/probe00/spikes.times.npy", b"spikes" * 1000)
        ledger = open_ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
        store = Slow(box.store)
        runner = box.runner(ledger=ledger, lease_seconds=2, heart=True, open_transport=lambda _: store)
        box.see(runner, session)
        assert runner.advance_session()
        (batch,) = runner.plan()
        ends: list[bool] = []
        mover = threading.Thread(target=lambda: ends.append(runner.advance_batch()))
        mover.start()
        assert store.standing.wait(PATIENCE)
        held = select(batches.c.lease_token, batches.c.lease_until, batches.c.bytes_moved)

        def row() -> Any:
            with ledger.reading() as connection:
                return connection.execute(held.where(batches.c.id == batch)).one()

        # When twice its length has passed
        first = row()
        until(lambda: ledger.moment() > first.lease_until + timedelta(seconds=2), "the lease's end passes")

        # Then it is still the same claim's, and nobody else's
        now = row()
        assert now.lease_token == first.lease_token
        assert ledger.claim_batch(60) is None
        assert now.bytes_moved == 1

        # and it ends as if nothing had been
        store.go_on.set()
        mover.join(PATIENCE)
        assert ends == [True]
        assert box.lies() == []
        assert len(box.stored_files()) == 1
        assert row().lease_token is None
        ledger.engine.dispose()


_SLEEPER = """
import sys
from datetime import timedelta
from transfer.errors import LostRace
from transfer.ledger import open_ledger
from transfer.ledger.jobs import claim_job, job_ran
from transfer.recurrence import ALWAYS
from transfer.pulse import Pulse

ledger = open_ledger(sys.argv[1])
lease = claim_job(ledger, "scan", when=ALWAYS, seconds=2)
with Pulse(ledger, lease):
    print("held", flush=True)
    sys.stdin.readline()
    for act in (lease.ensure, lambda: job_ran(ledger, lease, "I slept")):
        try:
            act()
        except LostRace:
            print("lost", flush=True)
"""


def test_a_process_that_was_put_to_sleep_has_lost_what_it_held(tmp_path: Path) -> None:
    """Its heart sleeps with it: another takes over, and the sleeper neither acts nor writes when it wakes."""
    url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    ledger = open_ledger(url)
    with subprocess.Popen(
        [sys.executable, "-c", _SLEEPER, url],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as sleeper:
        try:
            assert sleeper.stdout is not None
            assert sleeper.stdout.readline() == "held\n"
            sleeper.send_signal(signal.SIGSTOP)
            until(lambda: claim_job(ledger, "scan", when=ALWAYS, seconds=600), "the lease lapses")
            sleeper.send_signal(signal.SIGCONT)
            said, _ = sleeper.communicate("wake up\n", timeout=PATIENCE)
        finally:
            sleeper.kill()
    assert said == "lost\nlost\n"
    assert last_run(ledger, "scan") is None
    ledger.engine.dispose()
