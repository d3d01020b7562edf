"""Many requests at once, on a few hands.

`Crew.spread` gives each request to a free hand (an open channel, or nothing at all for a mounted disk) and
yields the results as they complete.

Promises: requests are pulled only in the thread that iterates, and never more than twice the number of hands
ahead of the results: pulling one may commit intent to the ledger, and the batch may be larger than memory.
When the iteration ends early, for whatever reason, the work under way is told to stop and no thread outlives
it.  With one hand there is no thread at all: everything happens in the caller's.

What the work raises is raised again by the iteration: a work returns the failures that belong to one request.
"""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Hand = TypeVar("Hand")
Request = TypeVar("Request")
Result = TypeVar("Result")


class Abandoned(BaseException):
    """Nobody waits for the result any more.  Not an Exception, so that no `except` on the way keeps it."""


@dataclass(frozen=True, slots=True)
class _Raised:
    error: BaseException


class Crew(Generic[Hand]):
    """Hands that work on one batch.  `wake` frees a hand blocked on its line when the batch is given up."""

    def __init__(self, hands: Sequence[Hand], *, wake: Callable[[Hand], None] | None = None) -> None:
        self._hands = hands
        self._wake = wake
        self._given_up = threading.Event()

    def check(self) -> None:
        """For long work: raises `Abandoned` once the iteration has ended."""
        if self._given_up.is_set():
            raise Abandoned

    def give_up(self) -> None:
        """Tell the work under way to stop.  From any thread, any number of times."""
        self._given_up.set()
        if self._wake is not None:
            for hand in self._hands:
                self._wake(hand)

    def spread(
        self, requests: Iterable[Request], work: Callable[[Hand, Request], Result]
    ) -> Iterator[Result]:
        """The result of each request, in any order."""
        if len(self._hands) == 1:
            yield from self._alone(requests, work)
        else:
            yield from self._together(requests, work)

    def _alone(
        self, requests: Iterable[Request], work: Callable[[Hand, Request], Result]
    ) -> Iterator[Result]:
        for request in requests:
            yield work(self._hands[0], request)

    def _together(
        self, requests: Iterable[Request], work: Callable[[Hand, Request], Result]
    ) -> Iterator[Result]:
        todo: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        done: queue.SimpleQueue[Result | _Raised] = queue.SimpleQueue()
        threads: list[threading.Thread] = []
        ahead = 0
        finished = False
        try:
            for request in requests:
                if len(threads) < len(self._hands):
                    threads.append(self._engage(self._hands[len(threads)], todo, done, work))
                todo.put(request)
                ahead += 1
                while ahead and (ahead >= 2 * len(self._hands) or not done.empty()):
                    yield _unwrap(done.get())
                    ahead -= 1
            for _ in range(ahead):
                yield _unwrap(done.get())
            finished = True
        finally:
            # One for each hand, not for each thread we know: Ctrl-C may strike while one is being started.
            for _ in self._hands:
                todo.put(None)
            if not finished:
                self.give_up()
            for thread in threads:
                thread.join()

    def _engage(
        self,
        hand: Hand,
        todo: "queue.SimpleQueue[Request | None]",
        done: "queue.SimpleQueue[Result | _Raised]",
        work: Callable[[Hand, Request], Result],
    ) -> threading.Thread:
        def toil() -> None:
            while (request := todo.get()) is not None and not self._given_up.is_set():
                try:
                    done.put(work(hand, request))
                except BaseException as error:  # noqa: BLE001
                    done.put(_Raised(error))

        thread = threading.Thread(target=toil, name="transport-hand", daemon=True)
        thread.start()
        return thread


def _unwrap(result: Result | _Raised) -> Result:
    if isinstance(result, _Raised):
        raise result.error
    return result
