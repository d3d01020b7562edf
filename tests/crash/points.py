"""The places at which a worker process may die or stand still, as the process itself comes by them.

Each outside effect has a class (its label) and two sides, before and after; `Points` counts them, announces each
in a file that outlives the process, and at the one that was chosen the process dies (`os._exit`) or stops (SIGSTOP).
The parent reads the file: a fault is known to have struck only because it is written there.
"""

import os
import signal
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Side = Literal["before", "after"]
Action = Literal["kill", "pause", "ambush"]

DIED = 77
"""The exit code of a process that died at its point."""
_STRUCK = "struck"


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """Die or stand still `side` the `nth` effect of class `label`.

    An `ambush` stands still before it, for as long as another client needs to write, and goes on in time; with the
    side "after" it dies once the effect is done.
    """

    label: str
    side: Side
    nth: int
    action: Action

    def __str__(self) -> str:
        return f"{self.action} {self.side} {self.label} #{self.nth}"


class Points:
    """One process's points, written to `file`."""

    def __init__(self, file: Path, fault: Fault | None) -> None:
        self._descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._fault = fault
        self._counts: Counter[str] = Counter()
        self._guard = threading.Lock()
        self.in_transaction = threading.RLock()
        """Held in each transaction of the ledger, and by whoever makes the process stand still."""

    def before(self, label: str, *, may_die: bool = True) -> int:
        """Answers which of its class this one is; without `may_die` the process dies elsewhere."""
        with self._guard:
            self._counts[label] += 1
            nth = self._counts[label]
            self._write(f"before\t{label}\t{nth}")
        fault = self._fault
        if fault is not None and (fault.label, fault.nth) == (label, nth):
            if fault.action == "ambush" or (fault.action, fault.side) == ("pause", "before"):
                self._stand_still(label, nth)
            elif may_die:
                self.die_before(label, nth)
        return nth

    def die_before(self, label: str, nth: int) -> None:
        """Die here if this is the place."""
        if self._is(label, nth, "kill", "before"):
            self._die(label, nth)

    def after(self, label: str, nth: int) -> None:
        """The effect was done and its answer has come."""
        self._write(f"after\t{label}\t{nth}")
        if self._is(label, nth, "kill", "after") or self._is(label, nth, "ambush", "after"):
            self._die(label, nth)
        if self._is(label, nth, "pause", "after"):
            self._stand_still(label, nth)

    def _is(self, label: str, nth: int, action: Action, side: Side) -> bool:
        return self._fault == Fault(label=label, side=side, nth=nth, action=action)

    def _die(self, label: str, nth: int) -> None:
        self._write(f"{_STRUCK}\t{label}\t{nth}")
        os._exit(DIED)

    def _stand_still(self, label: str, nth: int) -> None:
        with self.in_transaction:
            self._write(f"{_STRUCK}\t{label}\t{nth}")
            # To this thread, which stops before it goes on; sent to the process, another may take it, and late.
            signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)

    def _write(self, line: str) -> None:
        os.write(self._descriptor, f"{line}\n".encode())


def passed(file: Path) -> Counter[str]:
    """How often each class was come by, on its near side."""
    return Counter(label for side, label in _lines(file) if side == "before")


def struck(file: Path) -> bool:
    """Whether the fault of that process has struck."""
    return any(side == _STRUCK for side, _ in _lines(file))


def _lines(file: Path) -> list[tuple[str, str]]:
    if not file.exists():
        return []
    rows = (line.split("\t") for line in file.read_text().splitlines())
    return [(row[0], row[1]) for row in rows if len(row) == 3]
