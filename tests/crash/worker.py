"""A worker process that may die or stand still at a point, and that hears every ring twice and out of order.

It is the worker of `alyx-transfer worker --embedded-beat`: the same config file, the same wiring, the same
service.  Three things differ: its effects are met (`seams`), its rings are doubled and shuffled, and its lease and
its schedule are shorter than a config may say, so that a round need not wait for them.
"""

import ctypes
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from config import doorbell, logs, wiring
from config.sections import Settings
from config.settings import load
from tests.crash import seams
from tests.crash.points import Fault, Points
from workers.assembly import worker_app
from workers.service import run_worker

LEASE = 2  # seconds; nothing that is judged depends on it, nor on the next two
LOOK = 0.5  # seconds between two sweeps
HANDS = 2
_ECHO = 0.3  # seconds within which a doubled ring is heard again
_PR_SET_PDEATHSIG = 1

Ring = Callable[..., bool]


def work(config: Path, folder: Path, name: str, fault: Fault | None, seed: int) -> None:
    """Be the worker `name` until told to stop.  What it says is in `<name>.log`, its points in `<name>.points`."""
    _end_with_the_harness()
    _say_into(folder / f"{name}.log")
    seams.install(Points(points_of(folder, name), fault))
    echo: Any = _Echo(doorbell.ring, random.Random(seed))
    doorbell.ring = echo
    settings = shortened(load(config, {}))
    logs.configure(settings.logs)
    ledger = wiring.ledger(settings)
    try:
        with closing(wiring.catalog(settings)) as catalog:
            app, crew = worker_app(settings, ledger=ledger, catalog=catalog, hands=HANDS)
            with closing(crew.rounds.runner):
                crew.rounds.start()
                run_worker(app, concurrency=HANDS, embedded_beat=True)
    finally:
        ledger.engine.dispose()


def points_of(folder: Path, name: str) -> Path:
    """The file in which a worker announces where it is."""
    return folder / f"{name}.points"


def shortened(settings: Settings) -> Settings:
    """The same settings with a lease that lapses soon and rounds that are walked often."""
    journey = settings.journey.model_copy(update={"lease_seconds": LEASE})
    schedule = settings.schedule.model_copy(update={"sweep_seconds": LOOK, "scan": "every second"})
    return settings.model_copy(update={"journey": journey, "schedule": schedule})


def _end_with_the_harness() -> None:
    """A process that stands still could not even notice that nobody will ever wake it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _say_into(file: Path) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)


class _Echo:
    """Rings everything twice: now or later, and once more within a moment, in whatever order comes of it."""

    def __init__(self, ring: Ring, chance: random.Random) -> None:
        self._ring = ring
        self._chance = chance
        self._waiting: list[tuple[float, tuple[tuple[object, ...], dict[str, str]]]] = []
        self._guard = threading.Lock()
        threading.Thread(target=self._repeat, name="echo", daemon=True).start()

    def __call__(self, *ring: object, **queue: str) -> bool:
        now = time.monotonic()
        with self._guard:
            for _ in range(2):
                self._waiting.append((now + self._chance.uniform(0, _ECHO), (ring, queue)))
        return True

    def _repeat(self) -> None:
        while True:
            now = time.monotonic()
            with self._guard:
                due = [ring for at, ring in self._waiting if at <= now]
                self._waiting = [(at, ring) for at, ring in self._waiting if at > now]
            for words, queue in due:
                self._ring(*words, **queue)
            time.sleep(0.02)
