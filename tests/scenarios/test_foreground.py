"""Pushing in the foreground: Ctrl-C at any moment, and what a person's request wakes."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.world import LAB_SERVER, STORE, World, world
from transfer import foreground
from transfer.errors import EndpointUnreachable, LedgerUnavailable, LoginRefused
from transfer.ledger import Ledger, endpoints
from transfer.runner import Runner

NAME = "alf/spikes.times.npy"


@pytest.fixture
def box(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


def push(box: World, runner: Runner, session: Path) -> None:
    with foreground.CtrlC() as keys:
        runner.interruptible = keys.welcome
        foreground.push(runner, [box.see(runner, session)])


# ---- Ctrl-C


class Struck:
    """Presses Ctrl-C before or after the n-th transaction of a ledger, which is when it hurts."""

    def __init__(self, at: int) -> None:
        self.left = at
        self.pressed = False

    def step(self) -> None:
        self.left -= 1
        if self.left == 0:
            self.pressed = True
            signal.raise_signal(signal.SIGINT)

    def watch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("writing", "reading"):
            self._watch(monkeypatch, name, getattr(Ledger, name))

    def _watch(self, monkeypatch: pytest.MonkeyPatch, name: str, real: Any) -> None:
        @contextmanager
        def watched(ledger: Ledger) -> Iterator[Any]:
            self.step()
            with real(ledger) as connection:
                yield connection
                self.step()
            self.step()

        monkeypatch.setattr(Ledger, name, watched)


def test_ctrl_c_at_any_moment_leaves_no_lease_and_the_next_push_ends_the_work(
    box: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before, inside or after each transaction of a push, one after the other, until none is left."""
    moment, pressed, times = 0, True, 0
    while pressed:
        moment, times = moment + 4, times + 1  # there are three moments to a transaction
        session = box.session(times)
        box.write(session, NAME, b"spikes %d" % times)
        runner = box.runner()
        struck = Struck(moment)
        with monkeypatch.context() as patch:
            number = box.see(runner, session)
            struck.watch(patch)
            with foreground.CtrlC() as keys:
                runner.interruptible = keys.welcome
                with suppress(KeyboardInterrupt):
                    foreground.push(runner, [number])
                keys._asked = False  # what came too late to be taken is raised at the end of a command
        pressed = struck.pressed
        for table in ("sessions", "batches"):
            assert box.rows(f"SELECT id FROM {table} WHERE lease_token IS NOT NULL") == [], moment
        push(box, box.runner(), session)
        assert box.facts() == {}
        assert box.lies() == []
    assert moment > 60
    assert len(box.ends()) == times


def pressed_outside(after: list[str]) -> None:
    with foreground.CtrlC() as keys:
        signal.raise_signal(signal.SIGINT)
        after.append("went on")
        with keys.welcome():
            after.append("was not taken")


def pressed_at_the_end(after: list[str]) -> None:
    with foreground.CtrlC():
        signal.raise_signal(signal.SIGINT)
        after.append("went on")


def pressed_inside(after: list[str]) -> None:
    with foreground.CtrlC() as keys, keys.welcome():
        signal.raise_signal(signal.SIGINT)
        after.append("was not taken")


@pytest.mark.parametrize(
    ("act", "went"),
    [(pressed_outside, ["went on"]), (pressed_at_the_end, ["went on"]), (pressed_inside, [])],
)
def test_ctrl_c_waits_where_it_is_not_welcome(act: Callable[[list[str]], None], went: list[str]) -> None:
    """A claim that is just being committed is not torn in two; at the next welcome, or the end, it is taken."""
    before = signal.getsignal(signal.SIGINT)
    after: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        act(after)
    assert after == went
    assert signal.getsignal(signal.SIGINT) is before


def test_a_process_that_ignores_ctrl_c_goes_on_doing_so() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with foreground.CtrlC() as keys, keys.welcome():
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


# ---- what a person's request wakes


def test_what_the_program_keeps_back_is_tried_again_and_what_a_person_paused_is_not(box: World) -> None:
    ledger = box.runner().ledger
    away = EndpointUnreachable("the server cannot be reached", to="sftp://store")
    refused = LoginRefused("login refused", to="alyx")
    box.clock.advance(1)
    endpoints.failed(ledger, STORE, away, retry_at=box.clock.now.replace(year=2030))
    endpoints.pause(ledger, endpoints.ALYX, by=endpoints.PROGRAM, reason=refused.sentence, code=refused.code)
    endpoints.pause(ledger, LAB_SERVER, by="person:anne", reason="new disks")

    kept = {place.name: (place.code, place.paused_by) for place in foreground.kept_back(ledger, [box.lab])}
    assert kept == {
        endpoints.ALYX: ("E-2003", None),
        STORE: ("E-2002", None),
        LAB_SERVER: (None, "person:anne"),
    }

    assert sorted(foreground.try_again(ledger, [box.lab])) == sorted([endpoints.ALYX, STORE])
    assert [place.name for place in foreground.kept_back(ledger, [box.lab])] == [LAB_SERVER]
    assert foreground.try_again(ledger, [box.lab]) == []


def test_a_store_that_refuses_every_file_stays_kept_back(box: World) -> None:
    """The failure of single files that reaches the whole store is not forgotten because the batch ended."""
    from transfer.errors import StoreFull
    from transfer.transports.local import LocalTransport

    class Full(LocalTransport):
        def put(self, uploads: Any, moved: Any) -> Iterator[Any]:
            from transfer.transports.base import Failed

            for upload in uploads:
                yield Failed(key=upload.key, error=StoreFull("no space left at the store", to=upload.partial))

    box.open_store = lambda: Full(box.store, connections=1)
    session = box.session()
    box.write(session, NAME, b"spikes")
    runner = box.runner()
    push(box, runner, session)

    (place,) = foreground.kept_back(runner.ledger, [box.lab])
    assert (place.name, place.code) == (STORE, "E-2006")
    assert not runner.work()


# ---- two batches at a time


def test_two_batches_move_at_a_time_and_everything_is_recorded_once(box: World) -> None:
    """While the first batch is held up at its store the second one goes on."""
    from transfer.planning import Limits
    from transfer.transports.local import LocalTransport

    meeting = threading.Barrier(2, timeout=30)
    met: list[str] = []

    class Slow(LocalTransport):
        def put(self, uploads: Any, moved: Any) -> Iterator[Any]:
            if len(met) < 2:
                meeting.wait()  # neither goes on before the other has come
                met.append(threading.current_thread().name)
            yield from super().put(uploads, moved)

    box.open_store = lambda: Slow(box.store, connections=1)
    session = box.session()
    for probe in range(4):
        box.write(session, f"alf/probe{probe:02d}/spikes.times.npy", b"spikes %d" % probe)
    push(box, box.runner(limits=Limits(files=1)), session)

    assert sorted(met) == ["MainThread", "second-hand"]
    assert [end for _, end in box.ends()] == ["recorded"] * 4
    assert box.lies() == []


def test_what_ends_the_second_hand_is_told_by_the_first(
    box: World, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A person reads it as the command's own failure: no thread dies with a traceback."""
    from transfer.planning import Limits

    advance, away = Runner.advance_batch, threading.Event()

    def advance_batch(runner: Runner, **only: Any) -> bool:
        if threading.current_thread() is threading.main_thread():
            away.wait(30)
            return advance(runner, **only)
        away.set()
        raise LedgerUnavailable("the ledger's database failed", to="a ledger")

    monkeypatch.setattr(Runner, "advance_batch", advance_batch)
    session = box.session()
    for probe in range(4):
        box.write(session, f"alf/probe{probe:02d}/spikes.times.npy", b"spikes %d" % probe)
    with pytest.raises(LedgerUnavailable):
        push(box, box.runner(limits=Limits(files=1)), session)
    assert "Traceback" not in capfd.readouterr().err


def test_ctrl_c_gives_back_what_the_second_hand_holds(box: World) -> None:
    """The thread that is not waited for does nothing more outside, and no lease is left."""
    from transfer.planning import Limits
    from transfer.transports.local import LocalTransport

    both, go_on, ended = threading.Barrier(2, timeout=30), threading.Event(), threading.Event()

    class Held(LocalTransport):
        def put(self, uploads: Any, moved: Any) -> Iterator[Any]:
            both.wait()
            if threading.current_thread() is threading.main_thread():
                signal.raise_signal(signal.SIGINT)
            go_on.wait(30)
            try:
                yield from super().put(uploads, moved)
            finally:
                ended.set()

    box.open_store = lambda: Held(box.store, connections=1)
    session = box.session()
    for probe in range(2):
        box.write(session, f"alf/probe{probe:02d}/spikes.times.npy", b"spikes %d" % probe)
    with pytest.raises(KeyboardInterrupt):
        push(box, box.runner(limits=Limits(files=1)), session)
    assert box.rows("SELECT id FROM batches WHERE lease_token IS NOT NULL") == []
    go_on.set()
    assert ended.wait(30)
    for thread in threading.enumerate():
        if thread.name == "second-hand":
            thread.join(30)
    assert box.stored_files() == []

    box.open_store = None
    push(box, box.runner(), session)
    assert [end for _, end in box.ends()] == ["recorded"] * 2


def test_a_push_through_a_mover_stays_until_the_files_have_arrived(box: World) -> None:
    from tests.mover import FolderMover, Service

    service = Service(lab=box.lab.root, store=box.store)
    session = box.session()
    box.write(session, NAME, b"spikes")
    runner = box.runner(open_transport=lambda _store: FolderMover(service), transports={STORE: "globus"})
    seen: list[str] = []

    def watching(others: Any) -> None:
        seen.extend(others)
        service.work()

    foreground.push(runner, [box.see(runner, session)], watching=watching)
    assert box.facts() == {}
    assert box.lies() == []
    assert seen[0].startswith("the mover, batch 1")
