"""While the rig records nothing of its lab is hashed or sent; afterwards all goes on, and nothing is sent twice."""

import errno
import os
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from tests.manners import FLAG, guest, record, stop_recording
from tests.world import LAB_SERVER, STORE, World, world
from transfer import digests, foreground
from transfer.errors import RigRecording, SourceRootMissing
from transfer.guest import LOOK
from transfer.ledger import bandwidth, endpoints
from transfer.ledger.finding import Target
from transfer.ledger.why import why
from transfer.runner import Runner
from transfer.status import Status
from transfer.steps import discover as discovering
from transfer.transports.local import LocalTransport

FILES = [f"alf/probe0{number}/spikes.times.npy" for number in range(6)]
SIZE = 4_000
PIECE = 1_000


@pytest.fixture
def box(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


@pytest.fixture
def session(box: World) -> Path:
    folder = box.session()
    for name in FILES:
        box.write(folder, name, name.encode() * (SIZE // len(name)))
    return folder


class Watched:
    """The store's disk: counts what is written to each partial, and does something at the n-th piece."""

    def __init__(self, box: World, *, at: int = 0, act: Callable[[], object] | None = None) -> None:
        self.pieces: Counter[str] = Counter()
        self.opened: Counter[str] = Counter()
        self._left, self._act = at, act
        box.open_store = lambda: LocalTransport(box.store, connections=1, chunk=PIECE, observe=self._seen)

    def _seen(self, what: str, path: PurePosixPath) -> None:
        dataset = path.name.split(".")[1].replace("-", "") if path.name.endswith(".part") else ""
        if what == "partial-opened":
            self.opened[dataset] += 1
        if what == "chunk-written":
            self.pieces[dataset] += 1
            self._left -= 1
            if self._left == 0 and self._act:
                self._act()


def polite(box: World, **manners: Any) -> Runner:
    ledger = box.new_ledger()
    return box.runner(ledger=ledger, guest=guest(box, ledger, **manners))


def back(box: World) -> Any:
    (row,) = box.rows(f"SELECT retry_at, failures, paused_by FROM endpoints WHERE name = '{LAB_SERVER}'")
    return row


def told(box: World, what: str) -> int:
    return len(box.rows(f"SELECT 1 FROM events WHERE what = '{what}'"))


def test_nothing_is_begun_while_the_rig_records(
    box: World, session: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No session and no batch is claimed, no byte of the lab's disk is read, and the ledger says why."""
    # Given a session that is due, and a rig that records
    runner = polite(box)
    number = box.see(runner, session)
    record(box)
    monkeypatch.setattr(discovering, "digest_file", _must_not_be_called)

    # When the worker looks for work all day
    for _ in range(20):
        assert not runner.work()
        assert (runner.due_sessions(), runner.due_batches()) == ([], [])
        box.clock.advance(1500)

    # Then nothing was touched, no failure counts, and a person can read why
    assert back(box).failures == 0
    assert back(box).paused_by is None
    assert box.stored_files() == []
    runner.due_sessions()
    explained = why(runner.ledger, Target(kind="session", name="", id=number))
    assert f"{LAB_SERVER} is left alone until" in explained.sentence
    assert FLAG in explained.sentence
    assert endpoints.last_failure(runner.ledger, LAB_SERVER)[0] == RigRecording.code

    # When the flag is gone, then all goes on at once
    monkeypatch.undo()
    stop_recording(box)
    box.settle(runner)
    assert {status for _, status in box.ends()} == {Status.RECORDED}


def _must_not_be_called(*_: object, **__: object) -> Any:
    raise AssertionError("the rig's disk was read while it records")


def test_a_running_batch_is_given_back_and_continued_when_the_flag_is_gone(box: World, session: Path) -> None:
    """The flag appears in the middle of the third file: at once nothing moves any more, no try is lost, and afterwards
    every file arrives; only what was not yet written down as sent is sent again.
    """
    # Given a batch on its way whose rig begins to record after ten pieces
    store = Watched(box, at=10, act=lambda: record(box))
    runner = polite(box)
    box.see(runner, session)
    assert runner.advance_session()
    assert runner.plan()

    # When the worker moves it
    assert runner.advance_batch()

    # Then it stopped at that piece, and gave the batch back without a failure
    assert sum(store.pieces.values()) == 10
    (batch,) = box.rows("SELECT lease_token, tries, not_before, error FROM batches")
    assert (batch.lease_token, batch.tries, batch.not_before, batch.error) == (None, 0, None, "E-1012")
    assert [row.tries for row in box.rows("SELECT tries FROM items")] == [0] * len(FILES)
    assert not runner.work()
    assert sum(store.pieces.values()) == 10

    # When the flag is gone, then all of them arrive
    arrived = {row.path for row in box.rows(_SENT)}
    before = Counter(store.opened)
    stop_recording(box)
    box.settle(runner)
    assert {status for _, status in box.ends()} == {Status.RECORDED}
    assert box.lies() == []
    again = {name for name, count in store.opened.items() if before[name] and count > before[name]}
    assert len(again) <= 1
    assert not arrived & again


_SENT = """SELECT datasets.dataset_uuid AS path FROM items JOIN copies ON copies.id = items.copy
JOIN datasets ON datasets.id = copies.dataset WHERE items.status = 'sent'"""


def test_a_visit_is_given_back_in_the_middle_of_its_hashing_and_hashes_nothing_twice(
    box: World, session: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hashing a session of terabytes may take longer than the rig ever rests: what is hashed stays hashed."""
    # Given a rig that begins to record while the fourth file is hashed
    read: list[str] = []
    real = digests.digest_file

    def watched(path: Path, **options: Any) -> digests.FileDigest:
        read.append(path.relative_to(session).as_posix())
        if len(read) == 4:
            record(box)
        return real(path, **options)

    monkeypatch.setattr(discovering, "digest_file", watched)
    runner = polite(box)
    box.see(runner, session)

    # When the visit is begun, broken off, and begun again after the recording
    assert runner.advance_session()
    assert (len(read), told(box, "given back"), box.facts()) == (4, 1, {})
    assert not runner.work()
    stop_recording(box)
    box.settle(runner)

    # Then only the file in hand was hashed again, and all arrived
    assert read == [*FILES[:4], *FILES[3:]]
    assert {status for _, status in box.ends()} == {Status.RECORDED}


def test_a_trickle_goes_on_while_the_rig_records(box: World, session: Path) -> None:
    """With a rate of its own, recording only slows the work down."""
    runner = polite(box, while_recording=100_000, rate=None)
    total = len(FILES) * SIZE
    Watched(box)
    box.see(runner, session)
    record(box)
    begun = box.clock.monotonic()

    box.settle(runner)

    assert {status for _, status in box.ends()} == {Status.RECORDED}
    # Hashed, sent and read back: three times through the lab machine, less the burst.
    assert box.clock.monotonic() - begun > (3 * total - 60_000) / 100_000
    assert told(box, "given back") == 0


def test_a_recording_is_one_event_however_long_it_lasts(box: World, session: Path) -> None:
    runner = polite(box)
    box.see(runner, session)
    record(box)

    for _ in range(60):
        runner.due_sessions()
        box.clock.advance(20)

    assert told(box, "failed") == 1
    assert back(box).retry_at is not None


def test_the_lab_is_not_kept_back_for_long_when_the_worker_that_said_so_dies(
    box: World, session: Path
) -> None:
    """A worker that looks no more cannot take its word back: it lapses, and another worker looks for itself."""
    dead = polite(box)
    box.see(dead, session)
    record(box)
    assert not dead.work()
    (box.lab.root / FLAG).unlink()
    box.clock.advance(61)

    plain = box.runner()

    assert plain.advance_session()


def test_another_failure_of_the_lab_keeps_its_own_time(box: World, session: Path) -> None:
    """The end of a recording says nothing about a root that is missing."""
    runner = polite(box)
    missing = SourceRootMissing("the lab's data folder is not there", to=box.lab.root)
    later = box.clock() + timedelta(hours=1)
    endpoints.failed(runner.ledger, LAB_SERVER, missing, retry_at=later)

    record(box)
    runner.due_sessions()
    stop_recording(box)
    runner.due_sessions()

    state = endpoints.state(runner.ledger, LAB_SERVER)
    assert state is not None
    assert state.retry_at == later


def test_a_persons_push_says_that_the_rig_records_and_moves_nothing(box: World, session: Path) -> None:
    runner = polite(box)
    record(box)

    foreground.push(runner, [box.see(runner, session)])

    (place,) = foreground.kept_back(runner.ledger, [box.lab])
    assert (place.name, place.code) == (LAB_SERVER, RigRecording.code)
    assert FLAG in place.sentence
    assert box.stored_files() == []


# ---- the flag


def test_a_stale_flag_holds_and_is_called_stale(box: World) -> None:
    polite_guest = guest(box, box.new_ledger())
    flag = record(box)
    os.utime(flag, (box.clock.monotonic() - 13 * 3600,) * 2)
    box.clock.advance(LOOK)

    found = polite_guest.standing(LAB_SERVER)

    assert found.silent
    assert found.recording is not None
    assert found.recording.stale


def test_a_flag_may_be_a_pattern_and_the_newest_counts(box: World, session: Path) -> None:
    """Yesterday's forgotten flag does not make today's recording look stale."""
    polite_guest = guest(box, box.new_ledger(), pattern="*/*/*/rec*.flag")
    assert not polite_guest.standing(LAB_SERVER).silent

    old, new = session / "recording.flag", session / "rec2.flag"
    old.touch()
    os.utime(old, (0, 0))
    box.clock.advance(LOOK)
    stale = polite_guest.standing(LAB_SERVER).recording
    assert stale is not None
    assert stale.stale

    new.touch()
    os.utime(new, (box.clock.monotonic(),) * 2)
    box.clock.advance(LOOK)
    fresh = polite_guest.standing(LAB_SERVER).recording
    assert fresh is not None
    assert (fresh.flag, fresh.stale) == (str(new), False)


def test_a_flag_that_cannot_be_looked_at_counts_as_recording_and_says_so(
    box: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    polite_guest = guest(box, box.new_ledger())
    assert not polite_guest.standing(LAB_SERVER).silent
    real = Path.stat

    def refused(self: Path, **options: Any) -> os.stat_result:
        if self.name == FLAG:
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(self, **options)

    monkeypatch.setattr(Path, "stat", refused)
    box.clock.advance(LOOK)
    found = polite_guest.standing(LAB_SERVER)

    assert found.silent
    assert "cannot be seen (Permission denied)" in found.error.sentence


def test_a_look_that_takes_long_is_repeated_less_often(box: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking for flags in many folders may not become a load on the rig's disk itself."""
    looks: list[float] = []

    def slow(_self: Path, _pattern: str) -> list[Path]:
        looks.append(box.clock.monotonic())
        box.clock.advance(2)
        return []

    monkeypatch.setattr(Path, "glob", slow)
    polite_guest = guest(box, box.new_ledger(), pattern="*/*.flag")
    begun = box.clock.monotonic()
    while box.clock.monotonic() - begun < 400:
        polite_guest.standing(LAB_SERVER)
        box.clock.advance(1)

    assert len(looks) <= 11


# ---- a person's limit of nothing


def test_a_person_may_silence_a_lab_for_a_while(box: World, session: Path) -> None:
    """`bandwidth LAB 0 --for 2h`: nothing is begun for two hours, and then all by itself."""
    runner = polite(box)
    box.see(runner, session)
    bandwidth.set_limit(
        runner.ledger, LAB_SERVER, 0, lasting=timedelta(hours=2), until=None, why="a demonstration"
    )
    box.clock.advance(5)

    assert not runner.work()
    state = endpoints.state(runner.ledger, LAB_SERVER)
    assert state is not None
    assert state.retry_at is not None
    assert state.retry_at > box.clock() + timedelta(hours=1, minutes=50)

    box.clock.advance(2 * 3600)
    box.settle(runner)
    assert {status for _, status in box.ends()} == {Status.RECORDED}
    assert STORE not in {place.name for place in foreground.kept_back(runner.ledger, [box.lab])}


def test_clearing_a_persons_limit_counts_at_once(box: World, session: Path) -> None:
    runner = polite(box)
    box.see(runner, session)
    bandwidth.set_limit(runner.ledger, LAB_SERVER, 0, lasting=None, until=None, why=None)
    box.clock.advance(5)
    assert not runner.work()

    assert bandwidth.clear_limit(box.new_ledger(), LAB_SERVER, why=None)
    box.clock.advance(5)

    assert runner.work()
