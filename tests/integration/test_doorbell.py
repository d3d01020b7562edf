"""The doorbell rule: with every message lost, doubled, late or out of order, the outcome is the same.

The tasks are the real ones; only the post between them is the test's.  Two workers share the ledger's file, the
disk, the store and Alyx, each with connections of its own.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Barrier, Lock, local

import pytest
from celery import Celery
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from config import doorbell, queues
from config.rounds import MIRROR, RECONCILE, SCAN, SWEEP, TIDY, VISIT, name_of
from tests.world import LAB, STORE, World, world
from transfer.ledger import open_ledger
from transfer.planning import Limits
from transfer.recurrence import Interval, Recurrence
from transfer.rounds import Rounds
from workers import tasks
from workers.app import make_app
from workers.crew import Crew

Message = tuple[str, tuple[str | int, ...]]

LOOK: Message = (SWEEP, (LAB,))
ROUNDS: Sequence[Message] = (
    (SCAN, (LAB,)),
    LOOK,
    (RECONCILE, (LAB,)),
    (TIDY, (STORE,)),
    (MIRROR, (LAB,)),
)
FILES = ("alf/probe00/spikes.times.npy", "alf/probe00/spikes.clusters.npy", "alf/_ibl_trials.table.pqt")


def due(every: timedelta) -> dict[str, Recurrence]:
    """Every round of the town, due so often."""
    return {name_of(task, str(of)): Interval(every) for task, (of,) in ROUNDS if task != SWEEP}


class Town:
    """Two workers and the post between them: `letters` are the messages that nobody has answered yet."""

    def __init__(self, lab: World, *, every: timedelta = timedelta(0)) -> None:
        self.lab = lab
        self.letters: list[Message] = []
        self.lost: Callable[[str], bool] = lambda _by: False
        """Whether a message rung by that task is lost."""
        self._lock = Lock()
        self._now_runs = local()
        self.when = due(every)
        self.workers = [self._worker(), self._worker()]
        for number in (1, 2):
            session = lab.session(number)
            for name in FILES:
                lab.write(session, name, f"{number} {name} ".encode() * 20)
            (session / "raw_session.flag").touch()

    def _worker(self) -> Celery:
        app = make_app("memory://")
        rounds = Rounds(runner=self.lab.runner(limits=Limits(files=2)), version="0")
        rounds.start()
        tasks.add_tasks(app, Crew(rounds=rounds, when=self.when, ring=self._ring))
        return app

    def _ring(self, task: str, one: int, *, queue: str) -> bool:
        if not self.lost(self._now_runs.task):
            with self._lock:
                self.letters.append((task, (one,)))
        return True

    def deliver(self, message: Message, worker: int = 0) -> None:
        """Let a worker hear one message, to the end of what it does about it."""
        task, arguments = message
        self._now_runs.task = task
        self.workers[worker].tasks[task](*arguments)

    def deliver_twice(self, message: Message) -> None:
        """Both workers hear it at the same moment."""
        together = Barrier(2, timeout=30)

        def hear(worker: int) -> None:
            together.wait()
            self.deliver(message, worker)

        with ThreadPoolExecutor(2) as hands:
            for heard in [hands.submit(hear, worker) for worker in (0, 1)]:
                heard.result()

    def take(self) -> list[Message]:
        """The letters of this moment, out of the box."""
        taken, self.letters = self.letters, []
        return taken

    def beat(self, deliver: Callable[[Message], None] | None = None) -> None:
        """Beat rings for the scan and the sweep, and time passes."""
        self.lab.clock.advance(31)
        for message in ((SCAN, (LAB,)), LOOK):
            (deliver or self.deliver)(message)

    def go_on(self, rounds: int = 12) -> None:
        """Beat, and deliver what comes of it, until a sweep finds nothing to ring for."""
        for _ in range(rounds):
            self.beat()
            if not self.letters and self.outcome()["open"] == 0 and self.arrived:
                return
            while letters := self.take():
                for letter in letters:
                    self.deliver(letter)
        raise AssertionError(f"the work does not end: {self.outcome()}")

    @property
    def arrived(self) -> bool:
        return bool(self.lab.rows("SELECT 1 FROM receipts LIMIT 1"))

    def outcome(self) -> dict[str, object]:
        """What an observer finds: the store's disk, Alyx, and the ledger by plain SQL."""
        lab = self.lab
        paths = [record["relative_path"] for record in lab.alyx.tables.file_records(STORE)]
        return {
            "stored": {path: lab.stored(path).read_bytes() for path in paths if lab.stored(path).exists()},
            "files": len(lab.stored_files()),
            "announced": {path for path in paths if lab.record(path)["exists"]},
            "lies": lab.lies(),
            "datasets": len(lab.alyx.tables.datasets()),
            "receipts": {
                tuple(row)
                for row in lab.rows(
                    "SELECT copy, count(*) FROM receipts WHERE kind = 'arrival' GROUP BY copy"
                )
            },
            "open": lab.rows("SELECT count(*) FROM items WHERE open = 1")[0][0],
            "batches": lab.rows("SELECT count(*) FROM batches WHERE open = 1")[0][0],
            "leases": [
                lab.rows(f"SELECT count(*) FROM {table} WHERE lease_token IS NOT NULL")[0][0]
                for table in ("sessions", "batches", "jobs")
            ],
        }

    def calm(self) -> dict[str, object]:
        """What a run must come to on which each message was heard once, in order."""
        root = self.lab.lab.root
        content = {
            path.relative_to(root).as_posix(): path.read_bytes()
            for path in root.rglob("*")
            if path.is_file() and path.name != "raw_session.flag"
        }
        return {
            "stored": content,
            "files": len(content),
            "announced": set(content),
            "lies": [],
            "datasets": len(content),
            "receipts": {(copy, 1) for (copy,) in self.lab.rows(_CENTRAL)},
            "open": 0,
            "batches": 0,
            "leases": [0, 0, 0],
        }


_CENTRAL = f"SELECT id FROM copies WHERE repository = '{STORE}'"


@cache
def blank_ledger() -> bytes:
    """A ledger without rows: to migrate one takes longer than the rest of an example."""
    with TemporaryDirectory() as root:
        file = Path(root) / "ledger.sqlite"
        open_ledger(f"sqlite:///{file}").engine.dispose()
        return file.read_bytes()


@contextmanager
def a_town() -> Iterator[Town]:
    with TemporaryDirectory() as root, world(Path(root)) as lab, capture_logs():
        (lab.root / "ledger.sqlite").write_bytes(blank_ledger())
        yield Town(lab)


@pytest.fixture
def town() -> Iterator[Town]:
    with a_town() as made:
        yield made


def test_each_message_once_and_in_order_is_the_calm_run(town: Town) -> None:
    town.go_on()

    assert town.outcome() == town.calm()
    assert len(town.calm()["receipts"]) == 2 * len(FILES)


def test_with_every_message_lost_but_the_sweeps_the_outcome_is_the_same(town: Town) -> None:
    """The sweep alone carries everything to its end."""
    town.lost = lambda by: by != SWEEP

    town.go_on()

    assert town.outcome() == town.calm()


def test_every_message_heard_twice_at_once_is_the_same(town: Town) -> None:
    """Two workers at the same moment for each message, the rounds' too."""
    for _ in range(6):
        town.beat(town.deliver_twice)
        for message in ROUNDS:
            town.deliver_twice(message)
        while letters := town.take():
            for letter in letters:
                town.deliver_twice(letter)
    town.go_on()

    assert town.outcome() == town.calm()


LOST, NOW, LATE, TWICE, AT_ONCE = "lost", "now", "late", "twice", "twice at once"


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    fates=st.lists(st.sampled_from([LOST, NOW, LATE, TWICE, AT_ONCE]), max_size=60),
    seed=st.integers(0, 2**32),
)
def test_whatever_becomes_of_the_messages_the_outcome_is_the_same(fates: list[str], seed: int) -> None:
    """Lost, late, doubled, in any order, beat's own among them; then sweeps go on as always."""
    order, left = random.Random(seed), iter(fates)
    with a_town() as town:
        late: list[Message] = []
        waiting: list[Message] = [*ROUNDS, *ROUNDS, *ROUNDS]
        for fate in left:
            waiting += town.take()
            if not waiting:
                town.lab.clock.advance(31)
                waiting += ROUNDS
            message = waiting.pop(order.randrange(len(waiting)))
            match fate:
                case "now":
                    town.deliver(message, order.randrange(2))
                case "late":
                    late.append(message)
                case "twice":
                    town.deliver(message, 0)
                    town.deliver(message, 1)
                case "twice at once":
                    town.deliver_twice(message)
        town.go_on()
        for message in late:
            town.deliver(message, order.randrange(2))
        town.go_on()

        assert town.outcome() == town.calm()


def test_two_beats_at_once_walk_each_round_once(tmp_path: Path) -> None:
    """A round is walked once within its interval, however many ring for it at the same moment."""
    with world(tmp_path) as lab, capture_logs() as said:
        town = Town(lab, every=timedelta(minutes=5))
        for _ in range(5):
            for message in ROUNDS:
                town.deliver_twice(message)

    walked = sorted(line["job"] for line in said if line["event"] == "round_walked")
    assert walked == sorted([f"scan {LAB}", f"reconcile {LAB}", f"tidy {STORE}", f"mirror {LAB}"])


def test_a_round_that_fails_is_said_in_a_sentence_and_rung_for_again(town: Town) -> None:
    """No traceback, no retry by Celery: the ledger knows that it ran and what came of it."""
    town.lab.alyx.faults.add("*", ".*", times=1000, status=503)
    town.deliver((MIRROR, (LAB,)))
    (row,) = town.lab.rows(f"SELECT last_outcome, lease_token FROM jobs WHERE name = 'mirror {LAB}'")
    assert row.last_outcome.startswith("[E-300")
    assert row.lease_token is None

    town.lab.alyx.faults.clear()
    town.deliver((MIRROR, (LAB,)))
    (row,) = town.lab.rows(f"SELECT last_outcome FROM jobs WHERE name = 'mirror {LAB}'")
    assert row.last_outcome == "all sent"


def test_two_workers_in_one_process_keep_their_own_crews(town: Town) -> None:
    """Celery shares tasks among all applications unless told not to: the second would work with the first's ledger."""
    crews = [app.tasks[SWEEP].__wrapped__.__closure__ for app in town.workers]
    assert crews[0] is not crews[1]
    assert town.workers[0].tasks[SWEEP].run is not town.workers[1].tasks[SWEEP].run


def test_a_ring_for_a_lab_that_is_not_ours_does_nothing(town: Town) -> None:
    """Another machine's beat may know labs that this worker's config does not."""
    with capture_logs() as said:
        town.deliver((SCAN, ("somebody_elses_lab",)))

    assert [line["event"] for line in said] == ["task_failed"]


def test_a_sweep_rings_no_more_while_enough_rings_wait(town: Town) -> None:
    """What stays due while all hands are full is not rung for again and again: the queue stays short."""
    unheard = 20
    crew = Crew(
        rounds=Rounds(runner=town.lab.runner(), version="0"),
        when=town.when,
        ring=town._ring,
        unheard=lambda _queue: unheard,
    )
    app = make_app("memory://")
    tasks.add_tasks(app, crew)
    town.workers[0] = app
    for _ in range(2):
        town.lab.clock.advance(31)
        town.deliver((SCAN, (LAB,)))
    town.take()

    town.deliver(LOOK)
    assert town.letters == []
    unheard = 19
    town.deliver(LOOK)
    assert {task for task, _ in town.letters} == {VISIT}


def test_a_broker_that_is_away_costs_one_ring_not_hundreds() -> None:
    """Each lost ring takes seconds: the first one that is lost is the last one tried."""
    tried: list[int] = []

    def ring(_task: str, one: int, *, queue: str) -> bool:
        tried.append(one)
        return one < 2

    crew = Crew(rounds=None, when={}, ring=ring)  # type: ignore[arg-type]
    crew.ring_all(VISIT, range(400))

    assert tried == [0, 1, 2]


def test_the_doorbell_rings_where_the_workers_listen() -> None:
    """One queue for both, known by one name."""
    assert make_app("memory://").conf.task_default_queue == queues.CENTRAL


@pytest.mark.parametrize("broker", ["memory", "redis"])
def test_rings_that_wait_can_be_counted(broker: str, request: pytest.FixtureRequest) -> None:
    url = "memory://" if broker == "memory" else request.getfixturevalue("redis_url")
    before = doorbell.unheard(url)

    assert doorbell.ring(url, "nobody.listens", 1)
    assert doorbell.ring(url, "nobody.listens")

    assert doorbell.unheard(url) == before + 2
    make_app(url).control.purge()


def test_a_broker_that_is_away_tells_of_no_rings() -> None:
    from tests.servers import free_port

    assert doorbell.unheard(f"redis://127.0.0.1:{free_port()}/0") == 0
