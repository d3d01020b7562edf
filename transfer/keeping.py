"""Connections that are kept for the next batch.

Reaching a store far away takes seconds of handshakes, and batches follow one another.  What a batch leaves in
good order is lent to the next one; what failed is closed, and so is what nobody wanted for `IDLE` seconds.

Promises: one user at a time has a connection; nothing is lent that was left by an exception; after `close`
nothing is open.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from transfer.transports.base import StreamingTransport
from transfer.transports.delegated import DelegatedTransport

IDLE = 60.0  # seconds

Transport = StreamingTransport | DelegatedTransport


@dataclass(frozen=True, slots=True)
class _Kept:
    transport: Transport
    since: float


class Keeper:
    """Opens ways to stores, lends them, and keeps them for a while.  May be shared by threads."""

    def __init__(
        self, open: Callable[[str], Transport], *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._open = open
        self._monotonic = monotonic
        self._idle: dict[str, list[_Kept]] = defaultdict(list)
        self._closed = False
        self._guard = threading.Lock()

    @contextmanager
    def lend(self, store: str) -> Iterator[Transport]:
        """A connection that is open, alone for as long as the `with` lasts.  Raises what entering it raises."""
        self.close_idle()
        transport = self._kept(store)
        if transport is None:
            transport = self._open(store)
            transport.__enter__()
        try:
            yield transport
        except BaseException:
            transport.__exit__(None, None, None)
            raise
        self._keep(store, transport)

    def _kept(self, store: str) -> Transport | None:
        with self._guard:
            idle = self._idle[store]
            return idle.pop().transport if idle else None

    def _keep(self, store: str, transport: Transport) -> None:
        with self._guard:
            if not self._closed:
                self._idle[store].append(_Kept(transport, self._monotonic()))
                return
        transport.__exit__(None, None, None)

    def close_idle(self) -> None:
        """Close what nobody wanted for a while."""
        self._close_since(self._monotonic() - IDLE)

    def close(self) -> None:
        """Close everything that is not lent, and from now on what comes back."""
        self._closed = True
        self._close_since(float("inf"))

    def _close_since(self, moment: float) -> None:
        with self._guard:
            old = [kept for idle in self._idle.values() for kept in idle if kept.since <= moment]
            for idle in self._idle.values():
                idle[:] = [kept for kept in idle if kept.since > moment]
        for kept in old:
            kept.transport.__exit__(None, None, None)
