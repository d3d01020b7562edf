"""One batch on several lines.

Requests go to whichever line has a place for them.  A job that finds its file large `offers` it: every other
line is asked whether it takes a share, and lines that are not open yet are opened for it.

Promises: requests are pulled only in the thread that iterates, and never more than `AHEAD` ahead of the results;
every request has one result; once a line is lost no further request is begun, and all that were not fail with
`ConnectionLost`.  When the iteration ends early, for whatever reason, the work under way is told to stop and no
thread outlives it.  What else a job raises (the caller's own errors) is raised again by the iteration.
"""

import contextlib
import itertools
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from transfer.errors import ConnectionLost, TransferError
from transfer.transports.base import Failed
from transfer.transports.sftp.channels import Channels
from transfer.transports.sftp.jobs import Job, Park, Signal, Task
from transfer.transports.sftp.pipelining import Line
from transfer.transports.sftp.protocol import Conversation

AHEAD = 384
FEW = 8  # waiting requests for which one line more is worth its opening
MOST_LARGE = 2  # large files that are shared by the lines at a time


class Keyed(Protocol):
    @property
    def key(self) -> int: ...


Request = TypeVar("Request", bound=Keyed)
Result = TypeVar("Result")


class Shared(Protocol):
    """A file in which several lines may take part."""

    def share(self, line: Line) -> Job[None] | None:
        """What this line can do for it; None if nothing is left."""
        ...


@dataclass(frozen=True, slots=True)
class _Raised:
    error: BaseException


class _Reinforce:
    """A line says that more lines would have something to do."""


class Batch(Generic[Request, Result]):
    """Runs `begin(line, request)` for each request on up to `most` lines."""

    def __init__(
        self,
        channels: Channels,
        begin: Callable[[Line, Request], Job[Result]],
        *,
        most: int,
        sync_timeout: float,
    ) -> None:
        self._channels = channels
        self._begin = begin
        self._most = most
        self._sync_timeout = sync_timeout
        self._bell = threading.Condition()
        self._todo: deque[Request] = deque()
        self._shared: list[Shared] = []
        self._offers = 0
        self._checked: dict[Line, int] = {}
        self._large = 0
        self._turn = Signal()
        self._done: queue.SimpleQueue[Result | Failed | _Raised | _Reinforce] = queue.SimpleQueue()
        self._lost: ConnectionLost | None = None
        self._ahead = 0
        self._over = self._given_up = False
        self._lines: list[tuple[Conversation, threading.Thread]] = []

    # ---- for the caller ----------------------------------------------------------------------------------

    def results(self, requests: Iterable[Request]) -> Iterator[Result | Failed]:
        waiting = iter(requests)
        first = list(itertools.islice(waiting, 1))
        if not first:
            return
        with contextlib.ExitStack() as lent:
            try:
                self._reach(1, lent)
            except TransferError as error:
                for request in itertools.chain(first, waiting):
                    yield Failed(key=request.key, error=error)
                return
            with self._ending():
                yield from self._spread(itertools.chain(first, waiting), lent)

    def _spread(self, requests: Iterable[Request], lent: contextlib.ExitStack) -> Iterator[Result | Failed]:
        for request in requests:
            self._add(request)
            if self._ahead >= AHEAD:
                self._grow(lent)
            while self._ahead and (self._ahead >= AHEAD or not self._done.empty()):
                yield from self._next(lent)
        self._grow(lent)
        while self._ahead:
            yield from self._next(lent)

    def _next(self, lent: contextlib.ExitStack) -> list[Result | Failed]:
        """The next result, or none when lines had to be opened instead."""
        match self._done.get():
            case _Raised(error):
                raise error
            case _Reinforce():
                self._reinforce(self._most, lent)
                return []
            case outcome:
                self._ahead -= 1
                return [outcome]

    def _add(self, request: Request) -> None:
        self._ahead += 1
        with self._bell:
            if self._lost is None:
                self._todo.append(request)
                self._bell.notify()
                return
        self._done.put(Failed(key=request.key, error=self._lost))

    def _grow(self, lent: contextlib.ExitStack) -> None:
        """Open further lines if the files that are waiting are worth it."""
        self._reinforce(min(self._most, -(-self._ahead // FEW)), lent)

    def _reinforce(self, wanted: int, lent: contextlib.ExitStack) -> None:
        # Fewer lines than wished for only take longer; what was refused is not asked for again.
        if wanted > len(self._lines):
            with contextlib.suppress(TransferError):
                self._reach(wanted, lent)
            if len(self._lines) < wanted:
                self._most = len(self._lines)

    def _reach(self, wanted: int, lent: contextlib.ExitStack) -> None:
        """Have so many lines, or as many as the server allows."""
        for hand in lent.enter_context(self._channels.several(wanted - len(self._lines))):
            thread = threading.Thread(target=self._toil, args=[hand], name="transport-hand", daemon=True)
            self._lines.append((hand, thread))
            thread.start()

    @contextlib.contextmanager
    def _ending(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            # Who has the last result need not ask whether there is another.
            self._given_up = self._ahead > 0
            for hand, _thread in self._lines if self._given_up else ():
                hand.interrupt()
            raise
        finally:
            with self._bell:
                self._over = True
                self._bell.notify_all()
            for _hand, thread in self._lines:
                if thread.ident is not None:
                    thread.join()

    # ---- for jobs ----------------------------------------------------------------------------------------

    def my_turn(self) -> Job[None]:
        """Wait until one more large file may be shared; whoever was given a turn says `turn_over`."""
        while True:
            seen = self._turn.given
            with self._bell:
                if self._large < MOST_LARGE:
                    self._large += 1
                    return
            yield Park(self._turn, seen)

    def turn_over(self) -> None:
        with self._bell:
            self._large -= 1
        self._turn.give()

    def offer(self, shared: Shared) -> None:
        with self._bell:
            self._shared.append(shared)
            self._offers += 1
            self._bell.notify_all()
        if len(self._lines) < self._most:
            self._done.put(_Reinforce())

    def withdraw(self, shared: Shared) -> None:
        with self._bell:
            self._shared.remove(shared)

    # ---- for lines ---------------------------------------------------------------------------------------

    def next(self, line: Line, /) -> Task | None:
        with self._bell:
            if self._lost is not None:
                return None
            self._checked[line] = self._offers
            shared = list(self._shared)
        for one in shared:
            if (share := one.share(line)) is not None:
                return Task(share)
        with self._bell:
            if not self._todo:
                return None
            request = self._todo.popleft()
        return Task(self._begin(line, request), request)

    def wait(self, line: Line, /) -> bool:
        def news() -> bool:
            free = self._lost is None and len(line.tasks) < line.most
            wanted = bool(self._todo) or self._checked.get(line) != self._offers
            return self._over or bool(line.inbox) or (free and wanted)

        with self._bell:
            self._bell.wait_for(news)
            return not self._over

    def ended(self, task: Task, outcome: object) -> None:
        if task.request is None:
            return  # a share in a file: the one who offered it reports
        if isinstance(outcome, TransferError):
            if isinstance(outcome, ConnectionLost):
                self._lose(outcome)
            self._done.put(Failed(key=task.request.key, error=outcome))
        else:
            self._done.put(outcome)  # type: ignore[arg-type]

    def _toil(self, hand: Conversation) -> None:
        line = Line(hand, sync_timeout=self._sync_timeout)
        line.wake = self._ring
        try:
            line.work(self)
        except ConnectionLost as error:
            self._lose(error)
        except BaseException as error:  # noqa: BLE001
            self._done.put(_Raised(error))

    def _ring(self) -> None:
        with self._bell:
            self._bell.notify_all()

    def _lose(self, error: ConnectionLost) -> None:
        # A line that was told to stop is not a lost one.
        if self._given_up:
            return
        self._channels.note(error)
        with self._bell:
            self._lost = self._lost or error
            left, self._todo = self._todo, deque()
        for request in left:
            self._done.put(Failed(key=request.key, error=error))
