"""Pushing named sessions now, in this process and before a person's eyes: what `alyx-transfer push` runs.

It shares every line with the workers.  What a worker holds is only watched; what must wait (a file still
being written, an endpoint that is away) is left to the ledger and shown.

A person who asks for it now is answered now: what waits for its time is tried again at once, and so is an
endpoint that the program itself keeps back, because the person may just have cured it.  What a *person* paused
or what is held stays so: that has commands of its own.

Two batches move at a time, so that one is verified and recorded while the bytes of the next are on their way.

Ctrl-C is taken only while a lease is held that will be given back, or while nothing is held; in the moments
between (a claim that is just being committed) it is remembered.
"""

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import datetime
from types import FrameType, TracebackType
from typing import Self

from transfer.ledger import actions, endpoints, submissions
from transfer.ledger.finding import Target
from transfer.ledger.ledger import Ledger
from transfer.model import Lab
from transfer.runner import Runner

_LOOK_AGAIN = 1.0  # seconds between looks at what somebody else holds
_WHY = "alyx-transfer push"


def push(
    runner: Runner, sessions: Sequence[int], *, watching: Callable[[Sequence[str]], None] | None = None
) -> None:
    """Take these sessions as far as they go now.  `watching` is told who else works on them while we wait."""
    for session in sessions:
        _hasten(runner.ledger, session)
    with _SecondHand(runner) as second:
        while True:
            if runner.advance_session(only=sessions):
                continue
            runner.plan(only=sessions)
            batches = runner.ledger.batches_of(sessions)
            second.help_with(batches)
            if batches and runner.advance_batch(only=batches):
                continue
            if second.busy():
                continue
            others = runner.ledger.busy("session", sessions) + runner.ledger.busy("batch", batches)
            others += submissions.at_the_mover(runner.ledger, batches)
            if watching:
                watching(others)
            if not others:
                return
            with runner.interruptible():
                runner.sleep(_LOOK_AGAIN)


class _SecondHand:
    """A thread that takes batches while there are at least two.

    What ends it is raised in the main thread, which says it to the person.

    Ctrl-C reaches the main thread only; what this one holds is then forfeited and given back, and the thread, which
    stops at its next outside effect, is not waited for.
    """

    def __init__(self, runner: Runner) -> None:
        self._runner = replace(runner, interruptible=nullcontext, held=[])
        self._first = runner
        self._thread: threading.Thread | None = None
        self._ended = False
        self._failure: Exception | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended = True
        for lease in list(self._runner.held):
            lease.forfeit()
            self._runner.ledger.release(lease)

    def help_with(self, batches: Sequence[int]) -> None:
        """Begin, if there is enough to do and it has not begun."""
        if self._is_alive() or len(set(self._runner.due_batches()) & set(batches)) < 2:
            return
        self._runner.on_moved = self._first.on_moved
        self._thread = threading.Thread(
            target=self._work, args=(list(batches),), name="second-hand", daemon=True
        )
        self._thread.start()

    def _work(self, batches: Sequence[int]) -> None:
        try:
            while not self._ended and self._runner.advance_batch(only=batches):
                continue
        except Exception as error:  # noqa: BLE001
            self._failure = error

    def busy(self) -> bool:
        """Wait a little for it, if it is at work.  Raises, once, what ended it."""
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        if self._thread is None or not self._is_alive():
            return False
        with self._first.interruptible():
            self._thread.join(_LOOK_AGAIN)
        return True

    def _is_alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()


def _hasten(ledger: Ledger, session: int) -> None:
    """Make due what waits for its time only."""
    actions.retry(ledger, Target(kind="session", name=str(session), id=session), why=_WHY)
    ledger.make_due(session)


# ---- the places the sessions need


def names_of(labs: Sequence[Lab]) -> list[str]:
    """The endpoints these labs' sessions need, Alyx first."""
    return list(
        dict.fromkeys([endpoints.ALYX, *(name for lab in labs for name in (lab.repository, lab.store))])
    )


def try_again(ledger: Ledger, labs: Sequence[Lab]) -> list[str]:
    """Use again, from now on, what the program itself keeps back; answers their names.

    Each leaves an event of its own, with the person's name: `ledger.actor`.
    """
    resumed = []
    for name in names_of(labs):
        state = endpoints.state(ledger, name)
        if state is None or state.paused_by not in (None, endpoints.PROGRAM):
            continue
        if (state.paused_by or state.retry_at) and endpoints.resume(ledger, name):
            resumed.append(name)
    return resumed


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptBack:
    """A place that is not used now.  `code` is the error's, None when a person paused it."""

    name: str
    code: str | None
    sentence: str
    paused_by: str | None
    retry_at: datetime | None


def kept_back(ledger: Ledger, labs: Sequence[Lab]) -> list[KeptBack]:
    """What these labs' sessions need and cannot have now, and why."""
    now = ledger.moment()
    found = []
    for name in names_of(labs):
        state = endpoints.state(ledger, name)
        if state is None or not (state.paused_by or (state.retry_at and state.retry_at > now)):
            continue
        ours = state.paused_by in (None, endpoints.PROGRAM)
        code, sentence = endpoints.last_failure(ledger, name) if ours else (None, None)
        found.append(
            KeptBack(
                name=name,
                code=code,
                sentence=sentence or state.pause_reason or "no reason was written down",
                paused_by=None if ours else state.paused_by,
                retry_at=state.retry_at if state.paused_by is None else None,
            )
        )
    return found


# ---- Ctrl-C


class CtrlC:
    """Takes SIGINT while its `with` lasts: where `welcome` is open it raises KeyboardInterrupt, elsewhere it waits.

    In a process that ignores SIGINT, and outside the main thread, it changes nothing.
    """

    def __init__(self) -> None:
        self._asked = False
        self._open = False
        self._installed = False

    def __enter__(self) -> Self:
        self._before = signal.getsignal(signal.SIGINT)
        main = threading.current_thread() is threading.main_thread()
        if main and self._before is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, self._heard)
            self._installed = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._installed:
            signal.signal(signal.SIGINT, self._before)
        if self._asked and kind is None:
            raise KeyboardInterrupt

    def asked(self) -> bool:
        """Whether it came; from any thread."""
        return self._asked

    @contextmanager
    def welcome(self) -> Iterator[None]:
        """Here it may come: whoever opens this gives back what it holds."""
        self._open = True
        try:
            if self._asked:
                raise KeyboardInterrupt
            yield
        finally:
            self._open = False

    def _heard(self, _number: int, _frame: FrameType | None) -> None:
        self._asked = True
        if self._open:
            raise KeyboardInterrupt
