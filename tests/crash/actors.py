"""Worker processes as the harness holds them: started, met at their points, woken, ended.

They are forked from a process that has imported everything and has no threads, which saves each of them a second.
"""

import multiprocessing
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.crash.points import Fault, passed, struck
from tests.crash.worker import points_of, work

PATIENCE = 60.0  # seconds until what must happen is said not to happen
_STOPPED = "T"


class Never(Exception):
    """What must happen did not."""


def until(happened: Callable[[], object], what: str, *, tell: Callable[[], str] = str) -> None:
    """Look until it is so.  Raises `Never` with `what`, and what there is to tell, when it is not."""
    deadline = time.monotonic() + PATIENCE
    while not happened():
        if time.monotonic() > deadline:
            raise Never(what + tell())
        time.sleep(0.02)


def _crowd() -> "multiprocessing.context.ForkServerContext":
    crowd = multiprocessing.get_context("forkserver")
    crowd.set_forkserver_preload(["tests.crash.worker", "tests.crash.everything"])
    return crowd


class Worker:
    """One worker process."""

    def __init__(
        self, config: Path, folder: Path, name: str, *, fault: Fault | None = None, seed: int
    ) -> None:
        self.name = name
        self.fault = fault
        self._points = points_of(folder, name)
        self._log = folder / f"{name}.log"
        self._process = _crowd().Process(target=work, args=(config, folder, name, fault, seed), daemon=True)
        self._process.start()

    @property
    def alive(self) -> bool:
        return self._process.is_alive()

    @property
    def harmless(self) -> bool:
        """Whether nothing more will befall it."""
        return self.fault is None or not self.alive or struck(self._points)

    @property
    def struck(self) -> bool:
        """Whether its fault has struck, and it is dead or stands still."""
        if self.fault is None or not struck(self._points):
            return False
        return not self.alive if self.fault.action == "kill" else self._stands_still()

    def _stands_still(self) -> bool:
        with suppress(OSError):
            stat = Path(f"/proc/{self._process.pid}/stat").read_text()
            return stat.rpartition(")")[2].split()[0] == _STOPPED
        return False

    @property
    def passed(self) -> Counter[str]:
        """The points it came by."""
        return passed(self._points)

    @property
    def said(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def kill(self) -> None:
        """As the kernel kills, from outside, whatever it is at."""
        self._process.kill()
        self._process.join()

    def wake(self) -> None:
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it as a service manager does: what is in hand is finished first, if it had begun at all."""
        self._signal(signal.SIGTERM)
        self._process.join(PATIENCE)
        if self._process.exitcode not in (0, -signal.SIGTERM):
            raise Never(f"worker {self.name} ended with {self._process.exitcode}")

    def _signal(self, which: signal.Signals) -> None:
        assert self._process.pid is not None
        if self.alive:
            os.kill(self._process.pid, which)

    def close(self) -> None:
        """Nothing of it is left."""
        if self.alive:
            self._process.kill()
        self._process.join()
        self._process.close()
