"""The lab machine's limit is kept by every transport, by all threads together, and is changed while bytes move."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.store import SftpStore
from tests.manners import MB, guest, record, stop_recording
from tests.world import LAB_SERVER, Clock, World, md5, world
from transfer.bandwidth import BURST, GivenBack
from transfer.errors import LedgerUnavailable, LostRace, RigRecording
from transfer.guest import ASK, SLICE, Guest
from transfer.ledger import bandwidth
from transfer.ledger.leases import Lease
from transfer.status import Status
from transfer.transports.base import Sent, StreamingTransport, Upload
from transfer.transports.local import LocalTransport
from transfer.transports.sftp import continuing, stripes_out
from transfer.transports.sftp import transport as sftp
from transfer.transports.sftp.options import SftpOptions
from transfer.transports.sftp.sharing import STRIPE

NAME = "alf/probe00/spikes.times.npy"
MIB = 1 << 20
SPAN = 2 * STRIPE


@pytest.fixture
def box(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


@pytest.fixture
def _small_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is worth its effort above 64 MiB is done above 4 here."""
    monkeypatch.setattr(stripes_out, "SPAN", SPAN)
    monkeypatch.setattr(continuing, "SPAN", SPAN)
    monkeypatch.setattr(continuing, "WORTH_CONTINUING", 4 * MIB)
    monkeypatch.setattr(sftp, "LARGE", MIB)


def patient(box: World, seconds: float = 1e9) -> Lease:
    return Lease("batch", 1, seconds=seconds, monotonic=box.clock.monotonic)


def line(stack: ExitStack, box: World, kind: str) -> StreamingTransport:
    if kind == "local":
        return stack.enter_context(LocalTransport(box.store, connections=1, chunk=255 << 10))
    server = "embedded" if kind == "sftp" else "sshd"
    return stack.enter_context(sftp.SftpTransport(behind(stack, box, server)))


def behind(stack: ExitStack, box: World, server: Any) -> SftpOptions:
    """The world's store behind an SSH server."""
    store = stack.enter_context(SftpStore(box.store, home=box.root / "home", server=server))
    return SftpOptions.model_validate(
        {
            "host": store.host,
            "port": store.port,
            "user": store.user,
            "root": str(store.root),
            "key": store.key,
            "known_hosts": store.known_hosts,
            "connections": 1,
        }
    )


def uploads(box: World, sizes: list[int]) -> list[Upload]:
    made = []
    for key, size in enumerate(sizes):
        file = box.lab.root / f"{key}.bin"
        file.write_bytes(os.urandom(size))
        partial = PurePosixPath(f"{key}.part")
        made.append(Upload(key=key, source=file, partial=partial, size=size, mtime_ns=10**18))
    return made


# ---- every byte is asked for


@pytest.mark.usefixtures("_small_measures")
@pytest.mark.parametrize("kind", ["local", "sftp"])
def test_the_limit_is_asked_for_every_byte_of_small_and_large_files(box: World, kind: str) -> None:
    """Whatever carries the bytes, each is counted before the next piece goes: the time is that of the limit."""
    # Given a limit of 1 MB/s, and a transport with its real engine
    asked: list[int] = []
    files = uploads(box, [10, 40_000, 3 * MIB + 17, 0])
    total = sum(upload.size for upload in files)
    polite = guest(box, box.new_ledger(), rate=MB)
    begun = box.clock.monotonic()

    # When files go over it
    with ExitStack() as stack:
        transport = line(stack, box, kind)
        outcomes = list(transport.put(files, polite.held_to(LAB_SERVER, patient(box), asked.append)))

    # Then the limit saw every byte, and the bytes took their time by the clock they were measured with
    assert all(isinstance(outcome, Sent) for outcome in outcomes)
    assert sum(asked) == total
    took = box.clock.monotonic() - begun
    assert total / MB - BURST <= took <= total / MB + 0.1


@pytest.mark.usefixtures("_small_measures")
def test_a_large_file_goes_on_from_where_the_recording_stopped_it(box: World, sshd_path: str) -> None:
    """Through a real sshd: what had arrived of the file when the flag appeared is proved and not sent again."""
    # Given a large file on its way whose rig begins to record
    size = 12_345_678
    session = box.session()
    content = os.urandom(size)
    box.write(session, NAME, content)
    moved: list[int] = []
    with ExitStack() as stack:
        options = behind(stack, box, "sshd")
        box.open_store = lambda: sftp.SftpTransport(options)
        ledger = box.new_ledger()

        def count(number: int) -> None:
            before = sum(moved)
            moved.append(number)
            if before < 8 * MIB <= sum(moved):
                record(box)

        runner = box.runner(ledger=ledger, guest=guest(box, ledger))
        box.see(runner, session)
        assert runner.advance_session()
        runner.plan()
        runner.on_moved = count

        # When the batch is given back, and taken again after the recording
        assert runner.advance_batch()
        assert not runner.advance_batch()
        first = sum(moved)
        (partial,) = box.stored_files()
        stands = partial.stat().st_size
        moved.clear()
        stop_recording(box)
        runner.on_moved = moved.append
        box.settle(runner)

    # Then it arrived whole, and only the rest of it was sent
    assert {status for _, status in box.ends()} == {Status.RECORDED}
    assert md5(box.stored(f"KS023/2019-12-10/001/{NAME}").read_bytes()) == md5(content)
    assert 8 * MIB <= first < size
    assert sum(moved) <= size - stands + SPAN + STRIPE


# ---- all of a process together


@settings(max_examples=40, deadline=None)
@given(
    pieces=st.lists(st.integers(1, 2 * MB), min_size=4, max_size=12),
    rate=st.integers(100_000, 3 * MB),
    processes=st.integers(1, 3),
)
def test_several_batches_share_one_limit(pieces: list[int], rate: int, processes: int) -> None:
    """Three batches in turn, one guest: in no window do more bytes move than the limit, the burst and a piece each."""
    clock = Clock()
    polite = detached(clock, rate=rate, processes=processes)
    part = max(rate // processes, 1)
    sent: list[tuple[float, int]] = []

    def note(count: int) -> None:
        sent.append((clock.monotonic(), count))

    batches = [polite.held_to(LAB_SERVER, Lease("batch", 1, seconds=1e9), note) for _ in range(3)]
    for number, piece in enumerate(pieces):
        batches[number % 3](piece)

    for first, (begin, _) in enumerate(sent):
        total = 0
        for end, count in sent[first:]:
            total += count
            assert total <= part * (end - begin) + part * BURST + 3 * max(pieces) + 1


def test_each_of_several_processes_takes_its_part() -> None:
    """They do not see one another: with two of them, each keeps to half of the limit."""
    clock = Clock()
    moved = detached(clock, rate=MB, processes=2).held_to(
        LAB_SERVER, Lease("batch", 1, seconds=1e9), lambda _count: None
    )
    begun = clock.monotonic()

    for _ in range(10):
        moved(MB // 2)

    assert clock.monotonic() - begun == pytest.approx(10 - BURST, abs=0.1)


def test_threads_that_wait_together_are_let_go_one_after_another() -> None:
    """Four real threads on a clock that only their sleeping moves: all bytes pass, none faster than the limit."""
    clock, guard = Clock(), threading.Lock()

    def sleep(seconds: float) -> None:
        with guard:
            clock.advance(
                seconds / 4
            )  # four sleep at a time: together they let as much time pass as each alone

    polite = detached(clock, rate=MB, sleep=sleep)
    total: list[int] = []

    def batch() -> None:
        moved = polite.held_to(LAB_SERVER, Lease("batch", 1, seconds=1e9), total.append)
        for _ in range(5):
            moved(200_000)

    begun = clock.monotonic()
    threads = [threading.Thread(target=batch) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert sum(total) == 4 * MB
    assert clock.monotonic() - begun >= 4 - BURST - 0.01


def detached(
    clock: Clock, *, rate: int, processes: int = 1, sleep: Callable[[float], None] | None = None
) -> Guest:
    """A guest that has no ledger to ask: it is away."""
    from transfer.bandwidth import Plan
    from transfer.guest import Manners
    from transfer.timetable import Timetable

    manners = Manners(plan=Plan(timetable=Timetable(otherwise=rate)), processes=processes)
    return Guest(
        Away(),  # type: ignore[arg-type]
        {LAB_SERVER: manners},
        clock=clock,
        monotonic=clock.monotonic,
        sleep=sleep or clock.advance,
    )


class Away:
    """A ledger whose database is gone."""

    def reading(self) -> Any:
        raise LedgerUnavailable("the ledger's database does not answer", to="sqlite:///ledger.sqlite")


# ---- who waits still looks around


def test_nobody_sleeps_long_and_a_lost_lease_ends_the_waiting(box: World) -> None:
    """The lease is looked at before each sleep, a slice at most; then the work stops without a failed file."""
    slices: list[float] = []

    def sleep(seconds: float) -> None:
        slices.append(seconds)
        box.clock.advance(seconds)

    polite = guest(box, box.new_ledger(), rate=100_000, sleep=sleep)
    begun = box.clock.monotonic()
    moved = polite.held_to(LAB_SERVER, patient(box, seconds=10), lambda _count: None)

    with pytest.raises(GivenBack) as stopped:
        moved(10 * MB)

    assert isinstance(stopped.value.error, LostRace)
    assert max(slices) <= SLICE
    assert box.clock.monotonic() - begun <= 8 + SLICE


def test_a_batch_whose_lease_lapsed_while_it_waited_fails_no_file(box: World) -> None:
    """Without a heart the lease lapses under a crawl: the worker leaves, and the next one finishes the work."""
    session = box.session()
    content = os.urandom(4 * MB)
    box.write(session, NAME, content)
    box.open_store = lambda: LocalTransport(box.store, connections=1, chunk=MB // 2)
    ledger = box.new_ledger()
    runner = box.runner(ledger=ledger)
    box.see(runner, session)
    assert runner.advance_session()
    runner.plan()

    slow = box.runner(ledger=ledger, guest=guest(box, ledger, rate=100_000), lease_seconds=20)
    assert slow.advance_batch()

    assert [(row.tries, row.error) for row in box.rows("SELECT tries, error FROM items")] == [(0, None)]
    box.clock.advance(20)
    box.settle(runner)
    assert {status for _, status in box.ends()} == {Status.RECORDED}


def test_a_recording_that_begins_while_one_waits_ends_the_waiting(box: World) -> None:
    def sleep(seconds: float) -> None:
        box.clock.advance(seconds)
        if box.clock.monotonic() - begun > 2:
            (box.lab.root / "recording.flag").touch()

    polite = guest(box, box.new_ledger(), rate=100_000, sleep=sleep)
    begun = box.clock.monotonic()

    with pytest.raises(GivenBack) as stopped:
        polite.held_to(LAB_SERVER, patient(box), lambda _count: None)(100 * MB)

    assert isinstance(stopped.value.error, RigRecording)
    assert box.clock.monotonic() - begun <= 4


def test_ctrl_c_waits_for_nobody(box: World) -> None:
    polite = guest(box, box.new_ledger(), rate=100_000)
    moved = polite.held_to(LAB_SERVER, patient(box), lambda _count: None)
    polite.hurried = lambda: True
    begun = box.clock.monotonic()

    moved(100 * MB)

    assert box.clock.monotonic() == begun


def test_a_sign_of_life_costs_no_time(box: World) -> None:
    """`moved(0)` while a store hashes: it is no byte, and must not pay for those of others."""
    polite = guest(box, box.new_ledger(), rate=100_000)
    polite.held_to(LAB_SERVER, patient(box), lambda _count: None)(40_000)
    begun = box.clock.monotonic()

    polite.held_to(LAB_SERVER, patient(box), lambda _count: None)(0)

    assert box.clock.monotonic() == begun


# ---- live change


def test_a_person_s_limit_counts_within_seconds_for_those_who_wait(box: World) -> None:
    """Another process writes it into the ledger while this one waits for a hundred seconds' worth of bytes."""
    other = box.new_ledger()
    polite = guest(box, box.new_ledger(), rate=100_000, sleep=lambda seconds: sleep(seconds))
    begun = box.clock.monotonic()

    def sleep(seconds: float) -> None:
        box.clock.advance(seconds)
        if not changed and box.clock.monotonic() - begun > 10:
            changed.append(box.clock.monotonic())
            bandwidth.set_limit(
                other, LAB_SERVER, None, lasting=timedelta(hours=1), until=None, why="it is late"
            )

    changed: list[float] = []
    box.runner()  # makes the endpoints' rows
    polite.held_to(LAB_SERVER, patient(box), lambda _count: None)(10 * MB)

    assert changed
    assert box.clock.monotonic() - changed[0] <= ASK + 1 + SLICE


def test_a_person_s_limit_ends_by_itself(box: World) -> None:
    box.runner()
    ledger = box.new_ledger()
    bandwidth.set_limit(ledger, LAB_SERVER, MB, lasting=timedelta(hours=2), until=None, why=None)
    polite = guest(box, ledger, rate=5 * MB)
    assert (polite.standing(LAB_SERVER).rate, polite.standing(LAB_SERVER).then) == (MB, 5 * MB)

    box.clock.advance(2 * 3600)

    assert polite.standing(LAB_SERVER).rate == 5 * MB


def test_what_a_person_does_to_a_limit_is_an_event_with_name_and_reason(box: World) -> None:
    box.runner()
    ledger = box.new_ledger()
    ledger.actor = "person:anne"

    bandwidth.set_limit(ledger, LAB_SERVER, MB, lasting=None, until=None, why="a talk")
    assert bandwidth.clear_limit(ledger, LAB_SERVER, why="it is over")
    assert not bandwidth.clear_limit(ledger, LAB_SERVER, why="again")

    rows = box.rows("SELECT what, was, became, actor, why FROM events WHERE subject = 'endpoint' ORDER BY id")
    assert [tuple(row) for row in rows] == [
        ("limited", None, "1 MB/s", "person:anne", "a talk"),
        ("limit cleared", "1 MB/s", None, "person:anne", "it is over"),
    ]


def test_a_ledger_that_is_away_changes_no_limit(box: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A person's limit stays in force while the database cannot be asked."""
    box.runner()
    ledger = box.new_ledger()
    bandwidth.set_limit(ledger, LAB_SERVER, MB, lasting=None, until=None, why=None)
    polite = guest(box, ledger)
    assert polite.standing(LAB_SERVER).rate == MB

    monkeypatch.setattr(type(ledger), "reading", Away.reading)
    box.clock.advance(60)

    assert polite.standing(LAB_SERVER).rate == MB
