"""Scripted faults: what goes wrong with the next requests to a path.

A fault is taken by the first requests that match it, as many times as it says, and the script can be asked
whether everything in it was reached.
"""

import re
import threading
from dataclasses import dataclass


@dataclass(slots=True)
class Fault:
    """One scripted fault; `left` counts down, `met` up."""

    method: str
    path: re.Pattern[str]
    left: int
    status: int | None
    drop: bool
    after_work: bool
    delay: float
    retry_after: int | None
    detail: str
    met: int = 0

    def __str__(self) -> str:
        what = "drop" if self.drop else f"status {self.status}" if self.status else f"delay {self.delay} s"
        return f"{self.method} {self.path.pattern}: {what}, {self.left} times more"


class Faults:
    """The script. Safe to change while the server runs."""

    def __init__(self) -> None:
        self._script: list[Fault] = []
        self._lock = threading.Lock()

    def add(
        self,
        method: str,
        path: str,
        times: int = 1,
        *,
        status: int | None = None,
        drop: bool = False,
        after_work: bool = False,
        delay: float = 0.0,
        retry_after: int | None = None,
        detail: str = "scripted fault",
    ) -> Fault:
        """Script a fault for the next `times` requests whose path, without query, `path` matches (a regex).

        `status` answers with it; `drop` closes the connection without an answer. Both come instead of the
        work, or after it was done if `after_work`. `delay` seconds pass first. Method "*" means any.
        """
        if status is None and not drop and not delay:
            raise ValueError("a fault needs a status, drop or delay")
        fault = Fault(method, re.compile(path), times, status, drop, after_work, delay, retry_after, detail)
        with self._lock:
            self._script.append(fault)
        return fault

    def take(self, method: str, path: str) -> Fault | None:
        """The fault for this request, if the script has one; called by the server."""
        with self._lock:
            for fault in self._script:
                if fault.left and fault.method in (method, "*") and fault.path.match(path):
                    fault.left -= 1
                    fault.met += 1
                    return fault
        return None

    def clear(self) -> None:
        """Forget the script."""
        with self._lock:
            self._script.clear()

    def assert_all_reached(self) -> None:
        """Raise AssertionError if any scripted fault was not met as often as scripted."""
        with self._lock:
            waiting = [str(fault) for fault in self._script if fault.left]
        assert not waiting, f"scripted faults not reached: {'; '.join(waiting)}"
