"""Keeps a client below a server's throttle: at most so many requests in any sliding minute.

Alyx's default is 550 a minute and user, counted when a request arrives.  A caller reserves its moment under
the lock and sleeps outside it, so callers go in turn and nobody waits for another's sleep.  It does not know
what other programs of the same user ask; for those there is Retry-After.
"""

import threading
from collections import deque
from collections.abc import Callable


class Limiter:
    """`clock` gives seconds that never go back.  Safe to share between threads."""

    def __init__(
        self,
        requests: int,
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
        seconds: float = 60.0,
    ) -> None:
        if requests < 1:
            raise ValueError(f"at least one request must be allowed, not {requests}")
        self._requests = requests
        self._seconds = seconds
        self._clock = clock
        self._sleep = sleep
        self._moments: deque[float] = deque(maxlen=requests)
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Return when one more request may be sent."""
        with self._lock:
            now = self._clock()
            moment = now
            if len(self._moments) == self._requests:
                moment = max(now, self._moments[0] + self._seconds)
            self._moments.append(moment)
        if moment > now:
            self._sleep(moment - now)
