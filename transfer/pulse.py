"""A lease's heartbeat: a thread that renews it while its holder waits for bytes, hashes or answers.

Each beat also writes down how many bytes have moved since the last, so that progress and liveness are the
same write; while bytes move it beats every two seconds.  When a beat learns that the lease is lost it stops;
the holder notices by its own clock (`Lease.ensure`) before its next outside effect.  Pausing the process
pauses the heart as well.
"""

import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

from transfer.errors import LostRace, TransferError
from transfer.ledger.leases import Lease
from transfer.ledger.ledger import Ledger

_BEATS_PER_LEASE = 5
_PROGRESS = 2.0  # seconds between two beats while bytes move, for those who watch


class Pulse:
    """Beats while its `with` lasts."""

    def __init__(self, ledger: Ledger, lease: Lease) -> None:
        self._ledger = ledger
        self._lease = lease
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._moved = 0
        self._thread = threading.Thread(target=self._run, name=f"pulse-{lease.token}", daemon=True)

    def moved(self, count: int) -> None:
        """Bytes moved since the last call; from any thread."""
        with self._lock:
            self._moved += count

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        if kind is None and self._moved:
            with suppress(TransferError):  # only the count of bytes is at stake
                self._ledger.heartbeat(self._lease, self._taken())

    def _run(self) -> None:
        renewal = self._lease.seconds / _BEATS_PER_LEASE
        pause, quiet = min(renewal, _PROGRESS), 0.0
        while not self._stop.wait(pause):
            taken, quiet = self._taken(), quiet + pause
            if not taken and quiet < renewal:
                continue
            quiet = 0.0
            try:
                self._ledger.heartbeat(self._lease, taken)
            except LostRace:
                return
            except TransferError:
                self.moved(taken)  # the database is away for a moment: the lease decides how long we may act

    def _taken(self) -> int:
        with self._lock:
            taken, self._moved = self._moved, 0
        return taken
