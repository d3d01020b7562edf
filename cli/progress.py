"""Live progress of sessions: one bar of bytes and the count of files, on a terminal only.

What is shown is what the ledger says, and between two of its facts the bytes that went by.  It looks from a
thread of its own, so the work is never kept waiting by the display.
"""

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from transfer.errors import TransferError

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from transfer.ledger import Ledger

_LOOK = 0.25  # seconds between two looks at the ledger


@dataclass(frozen=True, slots=True)
class Watcher:
    """What the work tells: bytes as they move, and who else is at it."""

    moved: Callable[[int], None]
    watching: Callable[[Sequence[str]], None]


@dataclass(frozen=True, slots=True)
class Standing:
    """What the ledger says of the sessions: files recorded and known, bytes at the store and known."""

    recorded: int = 0
    files: int = 0
    arrived: int = 0
    total: int = 0


class Estimate:
    """How many bytes to show: those that arrived, and those that went by since the last known fact.

    Bytes go by while files are hashed, sent and read back.  Only sending counts, and nobody says which it is;
    so whenever files are recorded or new ones become known the count begins again from the ledger's.
    """

    def __init__(self) -> None:
        self.standing = Standing()
        self._mark = 0

    def shown(self, standing: Standing, moved: int) -> int:
        """Bytes to show now; `moved` are all bytes that went by so far."""
        before, self.standing = self.standing, standing
        if (before.recorded, before.files, before.total) != (
            standing.recorded,
            standing.files,
            standing.total,
        ):
            self._mark = moved
        else:
            self._mark = min(moved, self._mark + standing.arrived - before.arrived)
        return min(standing.total, standing.arrived + moved - self._mark)


@contextmanager
def watch(ledger: "Ledger", sessions: Sequence[int], *, quiet: bool = False) -> Iterator[Watcher]:
    """Show how the sessions get on until the `with` ends."""
    if quiet or not sys.stderr.isatty():
        yield Watcher(lambda _count: None, lambda _others: None)
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), refresh_per_second=4) as shown:
        live = _Live(ledger, sessions, shown, shown.add_task("looking at the files", total=None))
        with live.running():
            yield Watcher(live.moved, live.watching)


class _Live:
    """The bar's thread."""

    def __init__(
        self, ledger: "Ledger", sessions: Sequence[int], progress: "Progress", task: "TaskID"
    ) -> None:
        self._ledger, self._sessions = ledger, sessions
        self._progress, self._task = progress, task
        self._estimate = Estimate()
        self._guard = threading.Lock()
        self._moved = 0
        self._others: Sequence[str] = ()
        self._stop = threading.Event()

    def moved(self, count: int) -> None:
        """Bytes went by; from any thread."""
        with self._guard:
            self._moved += count

    def watching(self, others: Sequence[str]) -> None:
        self._others = tuple(others)

    @contextmanager
    def running(self) -> Iterator[None]:
        thread = threading.Thread(target=self._run, name="progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()
        self._look()

    def _run(self) -> None:
        while not self._stop.wait(_LOOK):
            self._look()

    def _look(self) -> None:
        from transfer.ledger.standing import arrived_of

        try:
            standing = Standing(*arrived_of(self._ledger, self._sessions))
        except TransferError:
            return  # the ledger is busy or away: the work itself will say so
        with self._guard:
            moved = self._moved
        done = self._estimate.shown(standing, moved)
        self._progress.update(
            self._task,
            description=description(standing, self._others),
            completed=done if standing.total else moved,
            total=standing.total or None,
        )


def description(standing: Standing, others: Sequence[str]) -> str:
    """What stands before the bar."""
    told = f"{standing.recorded} of {standing.files} files recorded" if standing.files else "hashing files"
    return f"watching {', '.join(others)}: {told}" if others else told
