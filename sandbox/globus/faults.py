"""Scripted faults: what goes wrong with the next requests, and with the next files that are moved.

A fault is met as often as it says (`times=None`: for ever), counts how often it was, and the script can be asked
whether everything in it was reached.
"""

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase


@dataclass(slots=True)
class RequestFault:
    """What happens to requests that match; `reached` counts them."""

    method: str
    path: re.Pattern[str]
    times: int | None
    status: int | None
    code: str
    drop: bool
    after_work: bool
    delay: float
    retry_after: int | None
    reached: int = 0

    def __str__(self) -> str:
        what = "drop" if self.drop else f"status {self.status}" if self.status else f"delay {self.delay} s"
        return f"{self.method} {self.path.pattern}: {what}, reached {self.reached} of {self.times or 'any'}"


@dataclass(slots=True)
class MovingFault:
    """What happens to files whose source path (of a deletion: path) matches; `reached` counts them."""

    pattern: str
    times: int | None
    code: str | None
    flip: bool
    rate: float | None
    reached: int = 0

    def __str__(self) -> str:
        what = self.code or ("one bit changed" if self.flip else f"{self.rate} bytes/s")
        return f"{self.pattern}: {what}, reached {self.reached} of {self.times or 'any'}"


_STATUS_CODES = {
    400: "BadRequest",
    401: "AuthenticationFailed",
    403: "PermissionDenied",
    404: "NotFound",
    409: "Conflict",
    429: "TooManyRequests",
    500: "InternalServerError",
    502: "BadGateway",
    503: "ServiceUnavailable",
    504: "GatewayTimeout",
}


class Faults:
    """The script.  Safe to change while the service runs."""

    def __init__(self) -> None:
        self._requests: list[RequestFault] = []
        self._moving: list[MovingFault] = []
        self._lock = threading.Lock()

    def request(
        self,
        method: str,
        path: str,
        times: int | None = 1,
        *,
        status: int | None = None,
        code: str = "",
        drop: bool = False,
        after_work: bool = False,
        delay: float = 0.0,
        retry_after: int | None = None,
    ) -> RequestFault:
        """Script a fault for requests whose path, without query, `path` is found in (a regex).

        `status` answers with it (and `code`, else a usual one); `drop` closes the connection without an answer.
        Both come instead of the work, or after it was done if `after_work`.  `delay` seconds pass first.
        """
        if status is None and not drop and not delay:
            raise ValueError("a fault needs a status, drop or delay")
        word = code or _STATUS_CODES.get(status or 0, "Error")
        fault = RequestFault(
            method, re.compile(path), times, status, word, drop, after_work, delay, retry_after
        )
        with self._lock:
            self._requests.append(fault)
        return fault

    def moving(self, pattern: str, code: str = "ENDPOINT_ERROR", times: int | None = 1) -> MovingFault:
        """Files that match the glob meet the error `code` (an event code) instead of being moved."""
        return self._add(MovingFault(pattern, times, code, flip=False, rate=None))

    def flip(self, pattern: str, times: int | None = 1) -> MovingFault:
        """One bit of files that match the glob changes on the way."""
        return self._add(MovingFault(pattern, times, None, flip=True, rate=None))

    def slow(self, pattern: str, bytes_per_second: float, times: int | None = None) -> MovingFault:
        """Files that match the glob are moved at this rate."""
        return self._add(MovingFault(pattern, times, None, flip=False, rate=bytes_per_second))

    def _add(self, fault: MovingFault) -> MovingFault:
        with self._lock:
            self._moving.append(fault)
        return fault

    def take(self, method: str, path: str) -> RequestFault | None:
        """The fault for this request, if the script has one; called by the server."""
        with self._lock:
            for fault in self._requests:
                if _waits(fault) and fault.method in (method, "*") and fault.path.search(path):
                    fault.reached += 1
                    return fault
        return None

    def take_error(self, path: str) -> str | None:
        """The event code that this file meets, if any; called by the mover before it opens the file."""
        fault = self._take(path, lambda fault: fault.code is not None)
        return fault.code if fault else None

    def take_flip(self, path: str) -> bool:
        """Whether this file is damaged on the way."""
        return self._take(path, lambda fault: fault.flip) is not None

    def take_rate(self, path: str) -> float | None:
        """The rate in bytes per second at which this file is moved, or None."""
        fault = self._take(path, lambda fault: fault.rate is not None)
        return fault.rate if fault else None

    def _take(self, path: str, wanted: Callable[[MovingFault], bool]) -> MovingFault | None:
        with self._lock:
            for fault in self._moving:
                if _waits(fault) and wanted(fault) and fnmatchcase(path, fault.pattern):
                    fault.reached += 1
                    return fault
        return None

    def clear(self) -> None:
        """Forget the script."""
        with self._lock:
            self._requests.clear()
            self._moving.clear()

    def assert_all_reached(self) -> None:
        """Raise AssertionError if a fault was not met as often as scripted (one without end: not once)."""
        with self._lock:
            script: list[RequestFault | MovingFault] = [*self._requests, *self._moving]
            missed = [str(fault) for fault in script if fault.reached < (fault.times or 1)]
        assert not missed, f"scripted faults not reached: {'; '.join(missed)}"


def _waits(fault: RequestFault | MovingFault) -> bool:
    return fault.times is None or fault.reached < fault.times
