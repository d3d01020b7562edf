"""The ledger's database goes away, is locked, deadlocks or has no disk left, in the middle of a run.

Real servers and real disks.
What must hold: nothing is half written, no fact is written twice, work goes on by itself, and the reason is said.
"""

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import event, text
from structlog.testing import capture_logs

from cli import checks, status
from tests import servers
from tests.integration.lab import place as furnished
from tests.scripted import Effects
from tests.world import STORE, World, world
from transfer.errors import LedgerDiskFull
from transfer.ledger import Ledger, open_ledger, reports
from transfer.ledger.guarded import CLAIMED, SENDING, Move
from transfer.ledger.jobs import claim_job
from transfer.recurrence import ALWAYS
from transfer.runner import Runner
from transfer.status import Status
from transfer.transports.local import LocalTransport

FILES = 12
_MIDDLE = 4  # the so-manieth operation is in the middle of the batch: a look ahead may come before it


@pytest.fixture
def box(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


def planned(box: World, ledger: Ledger, files: int = FILES, **changes: Any) -> Runner:
    """A batch of files, ready to be sent."""
    session = box.session()
    for number in range(files):
        box.write(session, f"alf/probe{number:02d}/spikes.times.npy", f"file {number}".encode())
    runner = box.runner(ledger=ledger, **changes)
    box.see(runner, session)
    assert runner.advance_session()
    assert runner.plan()
    return runner


def ask(ledger: Ledger, question: str) -> list[Any]:
    with ledger.reading() as connection:
        return list(connection.execute(text(question)))


def assert_each_arrived_once(box: World, ledger: Ledger, files: int = FILES) -> None:
    """In Alyx, at the store, in the ledger; each fact of each file was written exactly once."""
    assert box.lies() == []
    assert len(box.stored_files()) == files
    assert sum(row["exists"] for row in box.alyx.tables.file_records(STORE)) == files
    assert ask(ledger, "SELECT count(*) FROM receipts") == [(files,)]
    assert ask(ledger, "SELECT count(*) FROM items WHERE open = 1") == [(0,)]
    twice = "SELECT subject_id, became FROM events WHERE what = 'moved' GROUP BY subject_id, became HAVING count(*) > 1"
    assert ask(ledger, twice) == []


# ---- a PostgreSQL that is restarted


class Postgres:
    """A server of one's own, which may be killed and started again on the same data."""

    def __init__(self, home: Path) -> None:
        self._home = home
        newest = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
        places = [str(path) for path in reversed(newest)]
        self._become = servers._as_postgres()
        self._server = servers.need("postgres", *places, install="apt-get install postgresql")
        initdb = servers.need("initdb", *places, install="apt-get install postgresql")
        making = [initdb, "-D", "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"]
        subprocess.run([*self._become, *making], cwd=home, check=True, capture_output=True)
        self._port = servers.free_port()
        self.restarts = 0
        self.start()

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self._port}/postgres"

    def start(self) -> None:
        told = f"listen_addresses=127.0.0.1 port={self._port} unix_socket_directories= shared_buffers=16MB"
        options = [word for one in told.split() for word in ("-c", one)]
        with (self._home / "log").open("ab") as log:
            self._child = subprocess.Popen(
                [*self._become, self._server, "-D", "data", *options], cwd=self._home, stdout=log, stderr=log
            )
        deadline = time.monotonic() + 30
        while not servers._answers_postgres(self._port):
            assert time.monotonic() < deadline, "PostgreSQL did not start"
            time.sleep(0.05)

    def stop(self, which: signal.Signals = signal.SIGQUIT) -> None:
        """At once, as in a power cut; it recovers when it starts."""
        self._child.send_signal(which)
        self._child.wait(30)

    def restart(self, *, away: float) -> None:
        """Gone now, back in a moment, while whoever asked goes on."""
        self.restarts += 1
        self.stop()
        again = threading.Timer(away, self.start)
        again.start()
        self._again = again

    def settle(self) -> None:
        self._again.join()


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    become = servers._as_postgres()
    with servers._home("pg", owner="postgres" if become else None) as home:
        server = Postgres(home)
        try:
            yield server
        finally:
            server.stop(signal.SIGINT)


@pytest.fixture
def ledger(postgres: Postgres) -> Iterator[Ledger]:
    with psycopg.connect(postgres.url, autocommit=True) as admin:
        admin.execute(b"DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    opened = open_ledger(postgres.url)
    yield opened
    opened.engine.dispose()


@pytest.mark.parametrize("moment", ["put", "publish"])
def test_a_database_that_restarts_in_the_middle_of_a_batch_costs_nothing_but_time(
    box: World, postgres: Postgres, ledger: Ledger, moment: str
) -> None:
    """The same worker, under the same lease, writes on when it is back; and the log said what it waited for."""
    before = postgres.restarts
    seen: list[str] = []

    def restart(operation: str, _subject: object) -> None:
        seen.append(operation)
        if seen.count(moment) == _MIDDLE and postgres.restarts == before:
            postgres.restart(away=1.0)

    def opened(_store: str) -> Effects:
        return Effects(LocalTransport(box.store, connections=1), after=restart)

    runner = planned(box, ledger, open_transport=opened)
    with capture_logs() as said:
        assert runner.advance_batch()
    postgres.settle()

    assert postgres.restarts == before + 1
    assert any(line["event"] == "ledger_away" and line["code"] == "E-4002" for line in said)
    assert not any(line["event"] in ("lease_lost", "work_failed", "defect") for line in said)
    assert_each_arrived_once(box, ledger)


def _cut(postgres: Postgres) -> None:
    """End every connection to the ledger but our own, as a failover does."""
    with psycopg.connect(postgres.url, autocommit=True) as admin:
        admin.execute(b"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
                      b"AND backend_type = 'client backend'")  # fmt: skip


@contextmanager
def cut_after(ledger: Ledger, postgres: Postgres, words: str) -> Iterator[list[str]]:
    """Cut the line once, right after the first statement that begins so."""
    done: list[str] = []

    def look(_c: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if statement.startswith(words) and not done:
            done.append(statement)
            _cut(postgres)

    event.listen(ledger.engine, "after_cursor_execute", look)
    try:
        yield done
    finally:
        event.remove(ledger.engine, "after_cursor_execute", look)


@pytest.mark.parametrize(
    "words", ["UPDATE items", "INSERT INTO events", "INSERT INTO receipts", "UPDATE copies"]
)
def test_a_line_cut_inside_a_transaction_leaves_nothing_half_and_nothing_twice(
    box: World, postgres: Postgres, ledger: Ledger, words: str
) -> None:
    runner = planned(box, ledger)

    with cut_after(ledger, postgres, words) as cut:
        assert runner.advance_batch()

    assert cut
    assert_each_arrived_once(box, ledger)


def test_a_commit_whose_answer_is_lost_is_judged_by_looking(box: World, ledger: Ledger) -> None:
    """It was committed and we do not know: begun anew, each write finds its facts done and adds nothing."""
    runner = planned(box, ledger, files=3)
    dialect, lost = ledger.engine.dialect, list[str]()
    real, told = dialect.do_commit, list[str]()

    def look(_c: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        # A claim is no fact, nor is an intent: one whose answer is lost costs the time until its lease lapses.
        said = set(re.findall(r"\w+", str(parameters)))
        if statement.startswith("INSERT INTO events") and not {CLAIMED, SENDING} & said:
            told.append(statement)

    def commit(fairy: Any) -> None:
        """Every commit of a fact is answered by a dead line the first time."""
        real(fairy)
        if told:
            lost.append(told.pop())
            told.clear()
            fairy.dbapi_connection.close()
            raise psycopg.OperationalError("server closed the connection unexpectedly")

    event.listen(ledger.engine, "after_cursor_execute", look)
    dialect.do_commit = commit  # type: ignore[method-assign, assignment]
    try:
        assert runner.advance_batch()
    finally:
        dialect.do_commit = real  # type: ignore[method-assign]
        event.remove(ledger.engine, "after_cursor_execute", look)

    assert len(lost) >= 4  # sent, verified, published, recorded
    box.clock.advance(3600)
    with ledger.writing() as connection:
        connection.execute(text("UPDATE batches SET not_before = NULL"))
    box.settle(runner)
    assert_each_arrived_once(box, ledger, files=3)


def test_of_two_that_wait_for_each_other_ours_is_begun_anew(
    box: World, postgres: Postgres, ledger: Ledger
) -> None:
    """A deadlock, as PostgreSQL finds it: our transaction is undone, and succeeds the second time."""
    planned(box, ledger)
    claimed = ledger.claim_batch(60)
    assert claimed is not None
    lease, batch = claimed
    due = ledger.due_items(batch.id)
    with psycopg.connect(postgres.url) as other:
        other.execute("SET deadlock_timeout = '20s'")  # so that ours is the one that is undone
        last, first = due[-1].id, due[0].id
        other.execute("SELECT 1 FROM items WHERE id = %s FOR UPDATE", [last])

        def cross() -> None:
            other.execute("SELECT 1 FROM items WHERE id = %s FOR UPDATE", [first])
            other.commit()

        crossing = threading.Timer(0.3, cross)
        crossing.start()
        tries: list[int] = []

        def body(tx: Any) -> list[Any]:
            tries.append(1)
            moved: list[Any] = tx.move([Move(item=item, became=Status.SENT, partial="p") for item in due])
            return moved

        with capture_logs():
            moved = ledger.write(lease, body)
        crossing.join()

    assert len(tries) == 2
    assert len(moved) == FILES
    assert ask(ledger, "SELECT count(*) FROM events WHERE became = 'sent'") == [(FILES,)]


# ---- SQLite


def test_a_lock_that_outlasts_sqlites_own_patience_is_waited_for(tmp_path: Path) -> None:
    """A backup tool or a person's shell holds the file: the transaction is begun again until it is free."""
    ledger = open_ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    ledger.engine.dispose()

    @event.listens_for(ledger.engine, "connect")
    def impatient(dbapi: Any, _record: Any) -> None:
        dbapi.execute("PRAGMA busy_timeout=20")

    with closing(sqlite3.connect(tmp_path / "ledger.sqlite", check_same_thread=False)) as other:
        other.isolation_level = None
        other.execute("BEGIN IMMEDIATE")
        threading.Timer(0.5, lambda: other.execute("ROLLBACK")).start()
        with capture_logs() as said:
            ledger.set_watermark("mark", "value")

    assert [line["event"] for line in said] == ["ledger_away"]
    assert ledger.watermark("mark") == "value"
    ledger.engine.dispose()


# ---- our own disk is full


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 8 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("a small tmpfs can be mounted by root only")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(disk: Path, *, leave: int = 0) -> None:
    """Until nothing but `leave` bytes is free."""
    with (disk / "filler").open("wb", buffering=0) as filler:
        for size in (64 * 1024, 4096):
            while shutil.disk_usage(disk).free > leave + size - 1:
                try:
                    filler.write(bytes(size))
                except OSError:
                    break


def on_disk(box: World, disk: Path, *, room: int) -> Ledger:
    opened = open_ledger(f"sqlite:///{disk / 'ledger.sqlite'}")
    made = Ledger(opened.engine, clock=box.clock, monotonic=box.clock.monotonic, room=room)
    box._ledgers.append(made)
    return made


def test_before_the_disk_is_full_no_work_is_taken_and_it_is_said(box: World, small_disk: Path) -> None:
    """Below the mark claims, plans and rounds are refused with E-4010; with space again all goes on by itself."""
    ledger = on_disk(box, small_disk, room=2 * 1024**2)
    runner = planned(box, ledger)
    fill(small_disk, leave=1024**2)

    for take in (runner.advance_batch, runner.advance_session, runner.plan):
        with pytest.raises(LedgerDiskFull, match=r"MB are free on the disk with the ledger.*Free space"):
            take()
    with pytest.raises(LedgerDiskFull):
        claim_job(ledger, "scan x", when=ALWAYS, seconds=60)
    found = reports.check(ledger)
    assert not found.fine
    assert "E-4010" in status.check_line(found, box.clock.now - box.clock.now)
    assert box.stored_files() == []

    (small_disk / "filler").unlink()
    box.settle(runner)
    assert_each_arrived_once(box, ledger)
    assert reports.check(ledger).disk_full is None


@pytest.mark.parametrize("moment", ["put", "publish", "digests"])
def test_a_disk_that_fills_up_in_the_middle_of_a_batch_leaves_nothing_half(
    box: World, small_disk: Path, moment: str
) -> None:
    """Without a mark: SQLite itself says that it is full; what did not fit has left nothing behind."""
    ledger = on_disk(box, small_disk, room=0)
    filled: list[str] = []
    seen: list[str] = []

    def fill_up(operation: str, _subject: object) -> None:
        seen.append("digests" if operation == "get" else operation)
        if not filled and seen.count(moment) == _MIDDLE:
            filled.append(operation)
            fill(small_disk)

    def opened(_store: str) -> Effects:
        return Effects(LocalTransport(box.store, connections=1), after=fill_up)

    runner = planned(box, ledger, open_transport=opened)
    with (
        capture_logs() as said,
        suppress(LedgerDiskFull),
    ):  # not even the lease can be given back then: it lapses
        runner.advance_batch()

    assert filled
    assert any(line.get("code") == "E-4010" for line in said)
    assert box.lies() == []

    (small_disk / "filler").unlink()
    for _ in range(8):
        box.clock.advance(3600)
        box.settle(runner)
    assert_each_arrived_once(box, ledger)
    with ledger.reading() as connection:
        assert connection.execute(text("PRAGMA integrity_check")).scalar() == "ok"


def test_doctor_says_how_much_room_the_ledger_has(tmp_path: Path) -> None:
    with furnished(tmp_path) as lab:
        lab.furnish(sessions=1, files=1)
        settings = lab.settings()

        class Bench:
            """What a check is given."""

        bench: Any = Bench()
        bench.settings = settings
        look: Callable[[Any, str], str] = checks.ledger_room
        assert "are free where the ledger is" in look(bench, "")
        huge = settings.ledger.model_copy(update={"min_free": 10**18})
        bench.settings = settings.model_copy(update={"ledger": huge})
        with pytest.raises(LedgerDiskFull) as full:
            look(bench, "")
        assert full.value.code == "E-4010"
        assert "next step and a time" in checks.ledger_rows(bench, "")
