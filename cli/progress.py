"""Live progress of sessions: one bar of bytes and a line of counts, on a terminal only."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from transfer.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Watcher:
    """What the work tells: bytes as they move, and who else is at it."""

    moved: Callable[[int], None]
    watching: Callable[[Sequence[str]], None]


def _ignore(_told: object) -> None:
    """No terminal, no bar."""


@contextmanager
def watch(ledger: "Ledger", sessions: Sequence[int], *, quiet: bool = False) -> Iterator[Watcher]:
    """Show how the sessions get on until the `with` ends."""
    if quiet or not sys.stderr.isatty():
        yield Watcher(_ignore, _ignore)
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

    from transfer.ledger.standing import arrived_of

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), refresh_per_second=4) as progress:
        task = progress.add_task("looking", total=None)

        def moved(_count: int) -> None:
            _refresh(progress, task, *arrived_of(ledger, sessions))

        def watching(others: Sequence[str]) -> None:
            progress.update(task, description=f"watching {', '.join(others)}")
            moved(0)

        yield Watcher(_seldom(moved), watching)
        moved(0)


def _refresh(progress: "Progress", task: "TaskID", done: int, files: int, arrived: int, total: int) -> None:
    progress.update(
        task, description=f"{done} of {files} files recorded", completed=arrived, total=max(total, 1)
    )


def _seldom(run: Callable[[int], None]) -> Callable[[int], None]:
    """At most four times a second, whoever calls how often."""
    import time

    last = 0.0

    def sometimes(count: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= 0.25:
            last = now
            run(count)

    return sometimes
