"""A transport that fails as it is told to, and one that tells of each thing it does: for tests and rehearsals.

`Faulty` plays a script of failures around the real transport and counts them; `Effects` calls back before and
after everything that has an effect outside.  Neither is ever opened by a config.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from types import TracebackType
from typing import Literal, Protocol, Self, TypeVar

from transfer.digests import Algorithm
from transfer.errors import TransferError
from transfer.transports.base import (
    Capabilities,
    Digested,
    Download,
    Failed,
    Got,
    Moved,
    Published,
    RemoteFile,
    Rename,
    Sent,
    StreamingTransport,
    Upload,
)

Operation = Literal[
    "connect", "put", "get", "publish", "digests", "stat", "list_leftovers", "remove", "link", "free_space"
]


class Keyed(Protocol):
    @property
    def key(self) -> int: ...


Wanted = TypeVar("Wanted", bound=Keyed)
Outcome = TypeVar("Outcome", bound=Keyed)
Answer = TypeVar("Answer")
Fault = TransferError | Callable[[object], TransferError | None]


class _Around:
    """The real transport, with `_before` and `_after` called around every request, or call where there is none.

    A failure that they return takes the place of the request, or of its outcome.
    """

    def __init__(self, transport: StreamingTransport) -> None:
        self._real = transport

    def _before(self, operation: Operation, subject: object, key: int | None) -> TransferError | None:
        raise NotImplementedError

    def _after(self, operation: Operation, subject: object, key: int | None) -> TransferError | None:
        raise NotImplementedError

    @property
    def capabilities(self) -> Capabilities:
        return self._real.capabilities

    def __enter__(self) -> Self:
        self._call("connect", None, self._real.__enter__)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._real.__exit__(kind, error, trace)

    def put(self, uploads: Iterable[Upload], moved: Moved) -> Iterator[Sent | Failed]:
        return self._sift("put", uploads, lambda some: self._real.put(some, moved))

    def get(self, downloads: Iterable[Download], moved: Moved) -> Iterator[Got | Failed]:
        return self._sift("get", downloads, lambda some: self._real.get(some, moved))

    def publish(self, renames: Iterable[Rename]) -> Iterator[Published | Failed]:
        return self._sift("publish", renames, lambda some: self._real.publish(some))

    def digests(self, paths: Sequence[PurePosixPath], algorithm: Algorithm = "md5") -> Iterator[Digested]:
        yield from self._call("digests", paths, lambda: list(self._real.digests(paths, algorithm)))

    def stat(self, paths: Sequence[PurePosixPath]) -> Iterator[RemoteFile | None]:
        yield from self._call("stat", paths, lambda: list(self._real.stat(paths)))

    def list_leftovers(self, folders: Sequence[PurePosixPath]) -> Iterator[RemoteFile]:
        yield from self._call("list_leftovers", folders, lambda: list(self._real.list_leftovers(folders)))

    def remove(self, paths: Sequence[PurePosixPath]) -> Iterator[Failed]:
        for index, path in enumerate(paths):
            for failed in self._call("remove", path, partial(self._remove_one, path)):
                yield Failed(key=index, error=failed.error)

    def _remove_one(self, path: PurePosixPath) -> list[Failed]:
        return list(self._real.remove([path]))

    def link(self, existing: PurePosixPath, new: PurePosixPath) -> bool:
        return self._call("link", new, lambda: self._real.link(existing, new))

    def free_space(self) -> int | None:
        return self._call("free_space", None, self._real.free_space)

    def _call(self, operation: Operation, subject: object, act: Callable[[], Answer]) -> Answer:
        if (error := self._before(operation, subject, None)) is not None:
            raise error
        answer = act()
        if (error := self._after(operation, subject, None)) is not None:
            raise error
        return answer

    def _sift(
        self,
        operation: Operation,
        requests: Iterable[Wanted],
        begin: Callable[[Iterable[Wanted]], Iterator[Outcome | Failed]],
    ) -> Iterator[Outcome | Failed]:
        failed: deque[Failed] = deque()

        def passed() -> Iterator[Wanted]:
            for request in requests:
                error = self._before(operation, request, request.key)
                if error is None:
                    yield request
                else:
                    failed.append(Failed(key=request.key, error=error))

        for outcome in begin(passed()):
            error = self._after(operation, outcome, outcome.key)
            yield outcome if error is None else Failed(key=outcome.key, error=error)
        yield from failed


@dataclass
class _Cue:
    operation: Operation
    fault: Fault
    times: int
    key: int | None
    after: bool


class Faulty(_Around):
    """Plays the faults of a script, each as often as it says, and counts them in `played`."""

    def __init__(self, transport: StreamingTransport) -> None:
        super().__init__(transport)
        self._script: list[_Cue] = []
        self.played = 0

    def script(
        self,
        operation: Operation,
        fault: Fault,
        *,
        times: int = 1,
        key: int | None = None,
        after: bool = False,
    ) -> None:
        """Fail the next `times` requests of `operation` (those with `key`, if given) with `fault`.

        With `after` the thing is really done and only the good news is lost.  A callable is given the request,
        path or outcome and may do as it likes; what it returns is the failure, None lets things go on.
        """
        self._script.append(_Cue(operation, fault, times, key, after))

    def assert_all_played(self) -> None:
        """Raises AssertionError if part of the script was never reached."""
        left = [(cue.operation, cue.times) for cue in self._script if cue.times]
        if left:
            raise AssertionError(f"never played: {left}")

    def _before(self, operation: Operation, subject: object, key: int | None) -> TransferError | None:
        return self._play(operation, subject, key, after=False)

    def _after(self, operation: Operation, subject: object, key: int | None) -> TransferError | None:
        return self._play(operation, subject, key, after=True)

    def _play(
        self, operation: Operation, subject: object, key: int | None, *, after: bool
    ) -> TransferError | None:
        for cue in self._script:
            meant = cue.operation == operation and cue.after == after and cue.key in (None, key)
            if meant and cue.times:
                cue.times -= 1
                self.played += 1
                return cue.fault if isinstance(cue.fault, TransferError) else cue.fault(subject)
        return None


Tell = Callable[[Operation, object], None]


class Effects(_Around):
    """Calls `before` and `after` with the operation and its request, path or outcome.

    They may raise: an exception that is no TransferError goes through everything, as the death of a process
    would.  What happens within one file is told by `LocalTransport(observe=...)`.
    """

    def __init__(
        self, transport: StreamingTransport, *, before: Tell | None = None, after: Tell | None = None
    ) -> None:
        super().__init__(transport)
        self._tell_before = before
        self._tell_after = after

    def _before(self, operation: Operation, subject: object, key: int | None) -> None:
        if self._tell_before is not None:
            self._tell_before(operation, subject)

    def _after(self, operation: Operation, subject: object, key: int | None) -> None:
        if self._tell_after is not None:
            self._tell_after(operation, subject)
