"""A transport that connects again by itself.

This is the one layer that answers `ConnectionLost` (see `errors`), and it repeats only what may be repeated:
to connect, to look, to hash, to read, to remove.  Promises: at most `RETRIES` repeats, each on a fresh connection;
results that were given are not given again.

It does not repeat `put`, `publish` and `link`: a partial's name belongs to one try, and only the steps know
what a lost rename may have done.  Their failures pass through, and the next call finds a fresh connection.
"""

import time
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import PurePosixPath
from types import TracebackType
from typing import Self, TypeVar

from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from transfer.digests import Algorithm
from transfer.errors import Cure, TransferError
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

RETRIES = 3
FIRST_WAIT, LONGEST_WAIT = 0.5, 5.0  # seconds, drawn at random up to a bound that doubles

Outcome = TypeVar("Outcome")
Wanted = TypeVar("Wanted")
Name = TypeVar("Name", bound=Hashable)


class Reconnecting:
    """A `StreamingTransport` over as many connections as it takes; `open` makes one, not yet entered."""

    def __init__(
        self, open: Callable[[], StreamingTransport], *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._open = open
        self._sleep = sleep
        self._inner: StreamingTransport | None = None

    def __enter__(self) -> Self:
        self._persist(lambda transport: transport)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._drop()

    @property
    def capabilities(self) -> Capabilities:
        """What the connection can do; asked of it when somebody wants to know."""
        return self._persist(lambda transport: transport.capabilities)

    # ---- passed through ---------------------------------------------------------------------------------

    def put(self, uploads: Iterable[Upload], moved: Moved) -> Iterator[Sent | Failed]:
        return self._once(lambda transport: transport.put(uploads, moved))

    def publish(self, renames: Iterable[Rename]) -> Iterator[Published | Failed]:
        return self._once(lambda transport: transport.publish(renames))

    def link(self, existing: PurePosixPath, new: PurePosixPath) -> bool:
        transport = self._persist(lambda transport: transport)
        return self._dropping(lambda: transport.link(existing, new))

    # ---- repeated ---------------------------------------------------------------------------------------

    def get(self, downloads: Iterable[Download], moved: Moved) -> Iterator[Got | Failed]:
        pending = {download.key: download for download in downloads}
        try:
            yield from self._resume(
                pending, lambda transport, left: transport.get(left, moved), lambda outcome: outcome.key
            )
        except TransferError as error:
            if not _wants_fresh_connection(error):
                raise
            for key in pending:
                yield Failed(key=key, error=error)

    def digests(self, paths: Sequence[PurePosixPath], algorithm: Algorithm = "md5") -> Iterator[Digested]:
        return self._resume(
            {path: path for path in paths},
            lambda transport, left: transport.digests(left, algorithm),
            lambda outcome: outcome.path,
        )

    def stat(self, paths: Sequence[PurePosixPath]) -> Iterator[RemoteFile | None]:
        yield from self._persist(lambda transport: list(transport.stat(paths)))

    def list_leftovers(self, folders: Sequence[PurePosixPath]) -> Iterator[RemoteFile]:
        for folder in folders:
            yield from self._persist(partial(_partials_in, folder))

    def remove(self, paths: Sequence[PurePosixPath]) -> Iterator[Failed]:
        yield from self._persist(lambda transport: _all_answered(transport.remove(paths)))

    def free_space(self) -> int | None:
        return self._persist(lambda transport: transport.free_space())

    # ---- connections ------------------------------------------------------------------------------------

    def _persist(self, act: Callable[[StreamingTransport], Outcome]) -> Outcome:
        """Act, again on a fresh connection if that is what would help."""
        again = Retrying(
            stop=stop_after_attempt(1 + RETRIES),
            wait=wait_random_exponential(multiplier=FIRST_WAIT, max=LONGEST_WAIT),
            retry=retry_if_exception(_wants_fresh_connection),
            sleep=self._sleep,
            reraise=True,
        )
        return again(lambda: self._dropping(lambda: act(self._connected())))

    def _resume(
        self,
        pending: dict[Name, Wanted],
        begin: Callable[[StreamingTransport, list[Wanted]], Iterator[Outcome]],
        name: Callable[[Outcome], Name],
    ) -> Iterator[Outcome]:
        """Each outcome once, in a row of batches that each ask for what is still pending."""
        batch: Iterator[Outcome] = iter(())
        under_way = False

        def next_outcome(transport: StreamingTransport) -> Outcome:
            nonlocal batch, under_way
            if not under_way:
                _close(batch)
                batch = begin(transport, list(pending.values()))
            under_way = False
            outcome = next(batch, None)
            if outcome is None:
                raise RuntimeError(f"{type(transport).__name__} left {len(pending)} requests unanswered")
            if isinstance(outcome, Failed) and _wants_fresh_connection(outcome.error):
                raise outcome.error
            under_way = True
            return outcome

        try:
            while pending:
                outcome = self._persist(next_outcome)
                del pending[name(outcome)]
                yield outcome
        finally:
            _close(batch)

    def _once(
        self, begin: Callable[[StreamingTransport], Iterator[Outcome | Failed]]
    ) -> Iterator[Outcome | Failed]:
        transport = self._persist(lambda transport: transport)
        lost = False
        try:
            for outcome in self._dropping(lambda: begin(transport)):
                lost = lost or (isinstance(outcome, Failed) and _wants_fresh_connection(outcome.error))
                yield outcome
        except TransferError as error:
            lost = lost or _wants_fresh_connection(error)
            raise
        finally:
            if lost:
                self._drop()

    def _dropping(self, act: Callable[[], Outcome]) -> Outcome:
        try:
            return act()
        except TransferError as error:
            if _wants_fresh_connection(error):
                self._drop()
            raise

    def _connected(self) -> StreamingTransport:
        if self._inner is None:
            transport = self._open()
            self._inner = transport.__enter__()
        return self._inner

    def _drop(self) -> None:
        inner, self._inner = self._inner, None
        if inner is not None:
            inner.__exit__(None, None, None)


def _close(batch: Iterator[object]) -> None:
    """End a batch that is not read to its end, and its threads with it: now, not when it is forgotten."""
    if isinstance(batch, Generator):
        batch.close()


def _wants_fresh_connection(error: BaseException) -> bool:
    return isinstance(error, TransferError) and error.cure is Cure.FRESH_CONNECTION


def _partials_in(folder: PurePosixPath, transport: StreamingTransport) -> list[RemoteFile]:
    return list(transport.list_leftovers([folder]))


def _all_answered(failures: Iterable[Failed]) -> list[Failed]:
    answered = list(failures)
    for failure in answered:
        if _wants_fresh_connection(failure.error):
            raise failure.error
    return answered
