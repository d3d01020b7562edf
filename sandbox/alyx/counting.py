"""Who asked for what: requests counted by method and path template, and throttled per user."""

import math
import threading
import time
from collections import Counter, deque

from sandbox.alyx.errors import Refused

_WINDOW = 60.0


class Requests:
    """Every request the server received, as (method, path template), e.g. ("PATCH", "/files/<id>")."""

    def __init__(self) -> None:
        self._seen: list[tuple[str, str]] = []
        self._lock = threading.Lock()

    def note(self, method: str, template: str) -> None:
        """Remember one request; called by the server."""
        with self._lock:
            self._seen.append((method, template))

    def count(self, method: str | None = None, template: str | None = None) -> int:
        """How many there were; None means any."""
        with self._lock:
            return sum(1 for m, t in self._seen if method in (None, m) and template in (None, t))

    def all(self) -> list[tuple[str, str]]:
        """All of them, in the order of arrival."""
        with self._lock:
            return list(self._seen)

    def counter(self) -> Counter[tuple[str, str]]:
        """How often each was made."""
        return Counter(self.all())

    def reset(self) -> None:
        """Forget them."""
        with self._lock:
            self._seen.clear()


class Throttle:
    """At most `limit` requests in any 60 seconds per user (per address if anonymous); None is no limit.

    Refused requests do not count.
    """

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self._seen: dict[str, deque[float]] = {}

    def reset(self) -> None:
        """Forget everybody's past."""
        self._seen.clear()

    def admit(self, who: str) -> None:
        """Count a request, or raise the 429 with its Retry-After."""
        if self.limit is None:
            return
        at = time.monotonic()
        seen = self._seen.setdefault(who, deque())
        while seen and seen[0] <= at - _WINDOW:
            seen.popleft()
        if len(seen) < self.limit:
            seen.append(at)
            return
        wait = math.ceil(_WINDOW - (at - seen[0]))
        seconds = "second" if wait == 1 else "seconds"
        detail = f"Request was throttled. Expected available in {wait} {seconds}."
        raise Refused(429, {"detail": detail, "status_code": 429}, {"retry-after": str(wait)})
