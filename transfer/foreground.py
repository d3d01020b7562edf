"""Pushing named sessions now, in this process and before a person's eyes: what `alyx-transfer push` runs.

It shares every line with the workers.  What a worker holds is only watched; what must wait (a file still
being written, an endpoint that is away) is left to the ledger and shown.

A person who asks for it now is answered now: what waits for its time is tried again at once, and so is an
endpoint that the program itself keeps back, because the person may just have cured it.  What a *person* paused
or what is held stays so: that has commands of its own.

Ctrl-C is taken only while a lease is held that will be given back, or while nothing is held; in the moments
between (a claim that is just being committed) it is remembered.
"""

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from types import FrameType, TracebackType
from typing import Self

from transfer.ledger import actions, endpoints
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
    while True:
        if runner.advance_session(only=sessions):
            continue
        runner.plan(only=sessions)
        batches = runner.ledger.batches_of(sessions)
        if batches and runner.advance_batch(only=batches):
            continue
        others = runner.ledger.busy("session", sessions) + runner.ledger.busy("batch", batches)
        if watching:
            watching(others)
        if not others:
            return
        with runner.interruptible():
            runner.sleep(_LOOK_AGAIN)


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
