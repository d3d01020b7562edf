"""Watching the demo's main job: what stands where, shown live, and when it is over.

Everything is asked of the ledger, as `alyx-transfer status` does.  The job is over when a scan has looked at
the lab since we began and every file that can be registered has arrived or waits for a person; it is given up
when nothing changes any more.
"""

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from cli import output

if TYPE_CHECKING:
    from sandbox.box import Box
    from transfer.ledger import Ledger

_LOOK = 0.2  # seconds between two looks at the ledger
_LINE = 3.0  # seconds between two lines where there is no terminal
_STILL = 60.0  # seconds without any change after which we give up; every wait in the demo's config is shorter
_STILL_HELD = 10.0  # the same when nothing waits and a session is held
_THERE = ("sent", "verified", "published", "recorded")


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the files stand: by status, held ones apart; `there` are the bytes at the store."""

    counts: tuple[tuple[str, int], ...] = ()
    there: int = 0

    @property
    def recorded(self) -> int:
        return self.count("recorded")

    @property
    def ended(self) -> int:
        """Files that nothing more will happen to without a person."""
        return self.recorded + self.count("abandoned") + self.count("held")

    @property
    def waiting(self) -> int:
        return sum(files for _, files in self.counts) - self.ended

    def count(self, word: str) -> int:
        return dict(self.counts).get(word, 0)

    def __str__(self) -> str:
        return ", ".join(f"{files} {word}" for word, files in self.counts) or "looking for sessions"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the job ended.  `moved` files arrived in `seconds`; `gave_up` says why it was not over."""

    standing: Standing
    moved: int
    seconds: float
    gave_up: str | None = None


Show = Callable[[Standing], None]


def standing(ledger: "Ledger", store: str) -> Standing:
    """Ask the ledger."""
    from transfer.ledger.standing import tally

    rows = tally(ledger, store)
    counts: Counter[str] = Counter()
    for row in rows:
        counts["held" if row.held else row.status.value] += row.files
    there = sum(row.bytes for row in rows if row.status.value in _THERE)
    return Standing(tuple(sorted(counts.items())), there)


def watch(ledger: "Ledger", box: "Box", show: Show, *, begun: datetime) -> Outcome:
    """Show how the work gets on until it is over or given up.  `begun` is the ledger's time."""
    from sandbox.box import LAB, STORE
    from transfer.ledger.jobs import last_run
    from transfer.ledger.standing import arrivals

    expected = sum(len(session.registrable) for session in box.sessions)
    before = arrivals(ledger, STORE)
    started = changed = time.monotonic()
    seen = Standing()
    while True:
        time.sleep(_LOOK)
        now, latest = time.monotonic(), standing(ledger, STORE)
        if latest != seen:
            changed, seen = now, latest
        show(seen)
        scanned = last_run(ledger, f"scan {LAB}")
        over = scanned is not None and scanned >= begun and seen.ended >= expected and not seen.waiting
        gave_up = None if over else _given_up(ledger, seen, expected, still=now - changed)
        if over or gave_up:
            return Outcome(seen, arrivals(ledger, STORE) - before, now - started, gave_up)


def _given_up(ledger: "Ledger", seen: Standing, expected: int, *, still: float) -> str | None:
    """Why to wait no longer, None to go on."""
    from transfer.ledger import reports

    stuck = still >= _STILL
    if not stuck and still >= _STILL_HELD and not seen.waiting:
        stuck = bool(reports.held(ledger, limit=1).sessions)
    if not stuck:
        return None
    return f"nothing changed for {still:.0f} s, and {seen.recorded} of {expected} files are recorded ({seen})"


# ---- showing


@contextmanager
def display(box: "Box") -> Iterator[Show]:
    """A bar on a terminal, else a line every few seconds; both on standard error."""
    files = sum(len(session.registrable) for session in box.sessions)
    size = sum(
        (session.path / name).stat().st_size for session in box.sessions for name in session.registrable
    )
    output.complain(f"{len(box.sessions)} sessions, {files} files to move ({output.size(size)})")
    if not sys.stderr.isatty():
        yield _Lines(files, size)
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=Console(stderr=True), refresh_per_second=5) as progress:
        task = progress.add_task("", total=size)
        yield lambda seen: progress.update(task, completed=seen.there, description=str(seen))


class _Lines:
    """A line when something changed, every few seconds at most."""

    def __init__(self, files: int, size: int) -> None:
        self._files, self._size = files, size
        self._begun = self._said_at = time.monotonic()
        self._said = Standing()
        self._first: int | None = None

    def __call__(self, seen: Standing) -> None:
        now = time.monotonic()
        self._first = seen.there if self._first is None else self._first
        if seen == self._said or now - self._said_at < _LINE:
            return
        rate = (seen.there - self._first) / (now - self._begun)
        output.complain(
            f"{now - self._begun:4.0f} s: {seen.recorded} of {self._files} files recorded, "
            f"{output.size(seen.there)} of {output.size(self._size)} at the store, "
            f"{output.size(int(rate))}/s ({seen})"
        )
        self._said, self._said_at = seen, now
