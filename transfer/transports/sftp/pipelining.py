"""Many jobs on one channel: every wait for an answer serves all of them.

Promises: at most `WINDOW` bytes and a few requests per job are under way, at most `most` jobs are begun;
what a failed job left unanswered is swallowed when it comes.  When the line is lost every job is told so.

A line and its jobs (see `jobs`) belong to one thread; only `resume` may be called by others.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol

from transfer.errors import ConnectionLost, TransferError
from transfer.transports.sftp.jobs import DRAIN, Ask, Called, Job, Post, Result, Room, Task
from transfer.transports.sftp.protocol import Conversation, Fields, refusal

WINDOW = 4 << 20  # bytes sent or asked for and not yet answered, per channel
MOST_JOBS = 128  # that move a file: each has one open at the server
MOST_ERRANDS = 1024  # that ask or rename: small requests, and far away each wait for an answer is felt
_TRIES_TO_CLEAN_UP = 9


class Supply(Protocol):
    """Where a line gets its tasks, and leaves what came of them."""

    def next(self, line: "Line", /) -> Task | None:
        """Something to begin, or None for now.  Whatever it raises ends the line."""
        ...

    def wait(self, line: "Line", /) -> bool:
        """Until there may be something for this line, which has nothing under way; False if never again."""
        ...

    def ended(self, task: Task, outcome: object) -> None:
        """`outcome` is the result, or the `TransferError`."""
        ...


class Line:
    """One channel at work."""

    def __init__(self, conversation: Conversation, *, sync_timeout: float, most: int = MOST_JOBS) -> None:
        self.conversation = conversation
        self.most = most
        self.tasks: set[Task] = set()
        self.inbox: deque[Task] = deque()
        self.wake: Callable[[], None] = lambda: None
        self._sync_timeout = sync_timeout
        self._patient = 0
        self._ready: deque[tuple[Task, Any]] = deque()
        self._wants_room: deque[tuple[Task, Post | Room]] = deque()
        self._under_way: dict[int, Called] = {}
        self._bytes = 0

    def roomy(self, weight: int) -> bool:
        """Whether so many bytes may be sent or asked for at once."""
        return self._bytes + weight <= WINDOW or self._bytes == 0

    def resume(self, task: Task) -> None:
        """From any thread: a parked task goes on."""
        self.inbox.append(task)
        self.wake()

    def work(self, supply: Supply) -> None:
        """Until the supply has no more.  Raises `ConnectionLost`, after it has told every job."""
        try:
            while True:
                self._advance(supply)
                if self._under_way:
                    self._hear()
                elif not self.inbox and not supply.wait(self):
                    return
        except ConnectionLost as error:
            self._perish(error, supply)
            raise
        finally:
            for task in self.tasks:
                task.job.close()

    # ---- jobs --------------------------------------------------------------------------------------------

    def _advance(self, supply: Supply) -> None:
        """All that can be done without waiting."""
        while True:
            while self.inbox:
                self._ready.append((self.inbox.popleft(), None))
            if self._ready:
                self._step(*self._ready.popleft(), supply)
            elif self._wants_room and self.roomy(self._wants_room[0][1].weight):
                task, wish = self._wants_room.popleft()
                self._step(task, self._begin(task, wish) if isinstance(wish, Post) else None, supply)
            elif len(self.tasks) < self.most and (begun := supply.next(self)) is not None:
                self.tasks.add(begun)
                self._ready.append((begun, None))
            else:
                return

    def _step(self, task: Task, value: Any, supply: Supply) -> None:
        """Let a job go on until it has to wait."""
        task.awaits = None
        while not task.ended:
            try:
                if task.refused is not None:
                    refused, task.refused = task.refused, None
                    task.chapter += 1
                    wish = task.job.throw(refused)
                else:
                    wish = task.job.send(value)
            except StopIteration as end:
                self._end(task, end.value, supply)
            except TransferError as error:
                self._end(task, error, supply)
            else:
                granted, value = self._grant(task, wish)
                if not granted:
                    return

    def _grant(self, task: Task, wish: Any) -> tuple[bool, Any]:
        """Whether the job may go on at once, and with what."""
        if isinstance(wish, Post):
            if wish.weight and (not self.roomy(wish.weight)):
                # In front: it holds a file open, and the others do not yet.
                self._wants_room.appendleft((task, wish))
                return False, None
            called = self._begin(task, wish)
            if type(wish) is not Ask:
                return True, called
            task.awaits = called
            return False, None
        if isinstance(wish, Called):
            if wish.answer is not None:
                return True, self._read(task, wish)
            task.awaits = wish
            return False, None
        if wish is DRAIN:
            task.awaits = DRAIN
            return task.unanswered == 0 or task.refused is not None, None
        if isinstance(wish, Room):
            if not self._wants_room and self.roomy(wish.weight):
                return True, None
            self._wants_room.append((task, wish))
            return False, None
        return not wish.signal.park(self, task, wish.seen), None

    def _end(self, task: Task, outcome: object, supply: Supply) -> None:
        task.ended = True
        self.tasks.discard(task)
        supply.ended(task, outcome)

    def _perish(self, error: ConnectionLost, supply: Supply) -> None:
        """The line is lost: every job hears it, and hears it again while it tries to clean up."""
        for task in list(self.tasks):
            for _ in range(_TRIES_TO_CLEAN_UP):
                try:
                    task.job.throw(error)
                except StopIteration as end:
                    self._end(task, end.value, supply)
                except TransferError as failure:
                    self._end(task, failure, supply)
                if task.ended:
                    break
            else:
                task.job.close()
                self._end(task, error, supply)

    # ---- requests ----------------------------------------------------------------------------------------

    def _begin(self, task: Task, post: Post) -> Called:
        called = Called(task, post)
        task.unanswered += 1
        self._bytes += post.weight
        if post.patient:
            self._patient += 1
            self.conversation.patience(self._sync_timeout)
        self._under_way[self.conversation.begin(post.kind, *post.fields)] = called
        # The bytes that were sent are not kept with what waits for their answer.
        post.fields = ()
        return called

    def _hear(self) -> None:
        for number, kind, body in self.conversation.collect():
            called = self._under_way.pop(number)
            post, task = called.post, called.task
            task.unanswered -= 1
            self._bytes -= post.weight
            if post.patient:
                self._patient -= 1
                if not self._patient:
                    self.conversation.patience()
            if type(post) is not Post:
                called.answer = kind, body
            elif refused := refusal(kind, body):
                if called.chapter == task.chapter:
                    task.refused = task.refused or refused
            elif post.then is not None:
                post.then()
            if task.awaits is called:
                self._ready.append((task, self._read(task, called)))
            elif task.awaits is DRAIN and (task.unanswered == 0 or task.refused is not None):
                self._ready.append((task, None))
                task.awaits = None

    def _read(self, task: Task, called: Called) -> Fields | None:
        assert called.answer is not None
        kind, body = called.answer
        called.answer = None
        if refused := refusal(kind, body):
            task.refused = refused
            return None
        return Fields(body)


class _List(Generic[Result]):
    """Jobs for one line, whose results are wanted in their order."""

    def __init__(self, jobs: Sequence[Job[Result]]) -> None:
        self._jobs = list(enumerate(jobs))[::-1]
        self.outcomes: list[Any] = [None] * len(jobs)

    def next(self, _line: Line, /) -> Task | None:
        if not self._jobs:
            return None
        index, job = self._jobs.pop()
        return Task(job, index)

    def wait(self, _line: Line, /) -> bool:
        return False

    def ended(self, task: Task, outcome: object) -> None:
        self.outcomes[task.request] = outcome


def run(
    conversation: Conversation, jobs: Sequence[Job[Result]], *, sync_timeout: float
) -> list[Result | TransferError]:
    """Do all this on one channel, in the caller's thread.  Raises `ConnectionLost`."""
    supply = _List(jobs)
    Line(conversation, sync_timeout=sync_timeout, most=MOST_ERRANDS).work(supply)
    return supply.outcomes


def run_one(conversation: Conversation, job: Job[Result], *, sync_timeout: float) -> Result:
    """Do this on one channel.  Raises what the job raises."""
    (outcome,) = run(conversation, [job], sync_timeout=sync_timeout)
    if isinstance(outcome, TransferError):
        raise outcome
    return outcome
