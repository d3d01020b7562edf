"""Reads one file from a web server, over as many requests as it takes.

A line that breaks is taken up where it broke: the rest is asked for by a range, on the condition (`If-Range`) that
the file is still the one we began with.  A server that does not take part (it ignores the range, answers
with another one, tells no version) is asked for the whole file, from the beginning.

Promised: the bytes of two versions are never mixed by us; what a `Continued` download found on the disk counts as
the beginning of the file, and its caller compares the hash of the whole.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

import httpx2

from transfer.digests import BUFFER
from transfer.errors import ConnectionLost, Cure, StoreRefused, TransferError
from transfer.transports.base import Download, Got, Moved
from transfer.transports.http import answers
from transfer.transports.http.growing import Growing
from transfer.transports.http.line import Line

RETRIES = 3
FIRST_WAIT, LONGEST_WAIT = 0.5, 5.0  # seconds, drawn at random up to a bound that doubles
LONGEST_ASKED = 60.0  # seconds a server may ask us to wait before the wait is the caller's
_PROGRESS = BUFFER  # a try that brought so much was a good one
_SLICE = 0.2  # seconds between two signs of life while waiting


@dataclass(frozen=True, kw_only=True, slots=True)
class Continued(Download):
    """A download whose `into` may hold the file's first bytes from an earlier try, and keeps them for the next.

    Who asks for it compares the hash: the bytes may be of another version.  A transport that cannot go on takes
    it for a `Download` and begins anew.
    """


class Persistence:
    """Repeats what may be gone in a moment, `RETRIES` times in a row."""

    def __init__(self, sleep: Callable[[float], None], alive: Callable[[], None]) -> None:
        self._sleep = sleep
        self._alive = alive
        self._failed = 0

    def went_on(self) -> None:
        """A good try: those that failed before do not count."""
        self._failed = 0

    def again(self, error: TransferError) -> None:
        """Wait, or raise `error` when that will not help."""
        asked = error.after.total_seconds() if error.after else 0.0
        hopeful = error.cure is Cure.FRESH_CONNECTION or error.after is not None
        self._failed += 1
        if not hopeful or asked > LONGEST_ASKED or self._failed > RETRIES:
            raise error
        bound = min(FIRST_WAIT * 2 ** (self._failed - 1), LONGEST_WAIT)
        left = max(asked, random.uniform(0, bound))  # noqa: S311 - jitter, no secret
        while left > 0:
            self._alive()
            self._sleep(min(left, _SLICE))
            left -= _SLICE
        self._alive()


class Fetching:
    """One download.  `moved` is told each piece, and raises when nobody waits any more."""

    def __init__(self, line: Line, address: str, download: Download, moved: Moved) -> None:
        self._line, self._address, self._download, self._moved = line, address, download, moved
        self._landing = Growing(download.into, keep=isinstance(download, Continued))
        self._version: str | None = None
        self._total: int | None = None
        self._found = 0  # bytes that stood there before we began
        self._in_parts = True

    def run(self, sleep: Callable[[float], None]) -> Got:
        persistence = Persistence(sleep, lambda: self._moved(0))
        with self._landing as landing:
            self._found = landing.size
            while True:
                before = landing.size
                try:
                    if self._try():
                        return Got(key=self._download.key, size=landing.size, md5=landing.finish())
                except TransferError as error:
                    if landing.size - before >= _PROGRESS:
                        persistence.went_on()
                    persistence.again(error)

    def _try(self) -> bool:
        """Ask once; whether the file is whole now."""
        landing = self._landing
        if landing.size and not self._may_continue():
            self._begin_again()
        wanted = {"Range": f"bytes={landing.size}-"} if landing.size else {}
        if wanted and self._version:
            wanted["If-Range"] = self._version
        with self._line.ask("GET", self._address, wanted) as answer:
            if not self._agreed(answer):
                return self._total is not None and landing.size == self._total
            # As it comes: in pieces of a fixed size, what a broken line brought last would be lost.
            for piece in answer.iter_raw():
                self._must_fit(len(piece))
                landing.add(piece)
                self._moved(len(piece))
        if self._total is not None and landing.size < self._total:
            raise ConnectionLost(
                f"the file ended after {landing.size} of {self._total} bytes", to=self._address
            )
        return True

    def _may_continue(self) -> bool:
        """With a version the server judges; without one only what stood on the disk before, once."""
        return self._in_parts and (self._version is not None or self._landing.size == self._found)

    def _begin_again(self) -> None:
        self._landing.begin_again()
        self._version = self._total = None
        self._found = 0

    def _agreed(self, answer: httpx2.Response) -> bool:
        """Whether the answer's body goes on where we are; False when there is nothing left to read.

        Raises `ConnectionLost` when it does not fit and we must ask again from the beginning.
        """
        landing, status = self._landing, answer.status_code
        said = answers.span(answer.headers)
        if status == 200:
            if landing.size:
                self._begin_again()
            self._total = answers.length(answer.headers)
            self._version = answers.validator(answer.headers)
            return True
        if status == 206 and said is not None and said.start == landing.size and self._same(answer, said):
            self._total = said.total
            self._version = answers.validator(answer.headers)
            return True
        if status == 416 and landing.size and said is not None and said.total == landing.size == self._found:
            self._total = said.total
            return False
        if status in (206, 416):
            self._in_parts = False
            self._begin_again()
            raise ConnectionLost("the web server's answer does not fit what was asked", to=self._address)
        raise answers.refusal(
            status, answer.headers, to=self._address, with_login=self._line.knows(self._address)
        )

    def _same(self, answer: httpx2.Response, said: answers.Span) -> bool:
        """Whether a part belongs to the version we began with."""
        if self._version is not None and answers.validator(answer.headers) != self._version:
            return False
        return self._total is None or said.total is None or self._total == said.total

    def _must_fit(self, count: int) -> None:
        if self._total is not None and self._landing.size + count > self._total:
            raise StoreRefused(
                f"the web server sent more than the {self._total} bytes it said", to=self._address
            )
