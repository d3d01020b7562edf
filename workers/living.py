"""Says that this worker process lives: when it begins, every so often, and when it stops of its own will.

A ring reaches one worker of many, so each process says it by itself.  What is said is for people; what is due and who
holds it is the leases' affair, and a ledger that is away keeps no worker from its work.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import structlog

from transfer.errors import TransferError
from transfer.ledger import Ledger, endpoints
from transfer.ledger.glance import crew

EVERY = 60.0
"""Seconds between two words; `crew.SILENT_AFTER` is three times as long."""

log = structlog.get_logger()


@contextmanager
def living(
    ledger: Ledger, *, version: str, hands: int, duty: str, latency: Callable[[], float | None]
) -> Iterator[None]:
    """While the `with` lasts this process lives, with so many hands; `latency` is Alyx's, in seconds."""
    over = threading.Event()

    def beat() -> None:
        while True:
            _say(lambda: crew.here(ledger, version=version, hands=hands, duty=duty))
            if (seconds := latency()) is not None:
                _say(partial(endpoints.learnt, ledger, endpoints.ALYX, latency_ms=round(seconds * 1000)))
            if over.wait(EVERY):
                return

    thread = threading.Thread(target=beat, name="living", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        _say(lambda: crew.gone(ledger))


def _say(word: Callable[[], object]) -> None:
    try:
        word()
    except TransferError as error:
        log.warning("not_said", because=error.sentence)
