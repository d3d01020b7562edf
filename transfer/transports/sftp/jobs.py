"""What a job may wish for.

A *job* is a generator that does one thing (send a file, rename one, look at one) and yields what it wishes:

    fields = yield Ask(STAT, ...)         one request, and its answer
    yield Post(WRITE, ...)                a request whose answer is of interest only if it is a refusal
    call = yield Call(READ, ...)          a request whose answer is fetched later, by `yield call`
    yield DRAIN                           all answers to what this job has posted
    yield Room(bytes)                     a place in the window, in the order of asking
    yield Park(signal, seen)              to sleep until the signal is given once more than `seen` times

A refusal is thrown into the job where it waits.  The return value is the job's result; a `TransferError` that
leaves it is its failure, and no other job's.

`pipelining.Line` grants the wishes of hundreds of jobs on one channel.
"""

import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from transfer.transports.sftp.protocol import Refusal

Result = TypeVar("Result")
Job = Generator[Any, Any, Result]
"""What it yields and is given depends on the wish; see above."""


class Sleeper(Protocol):
    """Whoever runs a job, and can be told from any thread that it may go on."""

    def resume(self, task: "Task") -> None: ...


class Post:
    """A request.  `weight` bytes of the window are its own until it is answered; `then` is called when it is granted.

    `patient`: the server may take longer than usual, it has to reach its disk.
    """

    __slots__ = ("fields", "kind", "patient", "then", "weight")

    def __init__(
        self,
        kind: int,
        *fields: bytes | memoryview,
        weight: int = 0,
        patient: bool = False,
        then: Callable[[], None] | None = None,
    ) -> None:
        self.kind = kind
        self.fields = fields
        self.weight = weight
        self.patient = patient
        self.then = then


class Ask(Post):
    __slots__ = ()


class Call(Post):
    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Room:
    weight: int


class Drain:
    pass


DRAIN = Drain()


class Signal:
    """Something has changed that jobs of several lines may be waiting for."""

    def __init__(self) -> None:
        self.given = 0
        self._parked: list[tuple[Sleeper, Task]] = []
        self._guard = threading.Lock()

    def give(self) -> None:
        with self._guard:
            self.given += 1
            parked, self._parked = self._parked, []
        for line, task in parked:
            line.resume(task)

    def park(self, line: Sleeper, task: "Task", seen: int) -> bool:
        """False if it was given meanwhile."""
        with self._guard:
            if self.given == seen:
                self._parked.append((line, task))
            return self.given == seen


@dataclass(frozen=True, slots=True)
class Park:
    signal: Signal
    seen: int


class Called:
    """The answer to a `Call`, once it is there."""

    __slots__ = ("answer", "chapter", "post", "task")

    def __init__(self, task: "Task", post: Post) -> None:
        self.task = task
        self.chapter = task.chapter
        self.post = post
        self.answer: tuple[int, memoryview] | None = None


class Task:
    """A job under way.  `request` is what it is for; the line does not look at it.

    Each refusal that a job has heard begins a new `chapter`: what it posted before is of no interest any more.
    """

    __slots__ = ("awaits", "chapter", "ended", "job", "refused", "request", "unanswered")

    def __init__(self, job: Job[Any], request: Any = None) -> None:
        self.job = job
        self.request = request
        self.unanswered = 0
        self.chapter = 0
        self.refused: Refusal | None = None
        self.awaits: object = None
        self.ended = False
