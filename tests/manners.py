"""A guest on a world's lab machine, whose clock is the world's: sleeping moves it on, nothing waits for real."""

from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.world import LAB_SERVER, World
from transfer.bandwidth import Plan
from transfer.guest import LOOK, Guest, Manners
from transfer.ledger import Ledger
from transfer.recording import Flag
from transfer.timetable import Rate, Timetable

FLAG = "recording.flag"
MB = 1_000_000


def guest(
    box: World,
    ledger: Ledger,
    *,
    rate: Rate = None,
    while_recording: Rate = 0,
    processes: int = 1,
    pattern: str = FLAG,
    **changes: Any,
) -> Guest:
    """One limit around the clock, and the flag below the lab's root."""
    flag = Flag(
        root=box.lab.root,
        pattern=pattern,
        stale_after=timedelta(hours=12),
        measure=box.clock.monotonic,
    )
    manners = Manners(
        plan=Plan(timetable=Timetable(otherwise=rate), while_recording=while_recording),
        flag=flag,
        processes=processes,
    )
    options: dict[str, Any] = {
        "clock": box.clock,
        "monotonic": box.clock.monotonic,
        "sleep": box.clock.advance,
    }
    return Guest(ledger, {LAB_SERVER: manners}, **(options | changes))


def record(box: World) -> Path:
    """The rig begins to record, and everybody has had the time to notice."""
    flag = box.lab.root / FLAG
    flag.touch()
    box.clock.advance(LOOK)
    return flag


def stop_recording(box: World) -> None:
    (box.lab.root / FLAG).unlink()
    box.clock.advance(LOOK)
