"""Batches: what moves now and how fast, and what moved last."""

from dataclasses import dataclass
from datetime import datetime

from transfer.ledger.glance.pages import Page
from transfer.ledger.ledger import Ledger


@dataclass(frozen=True, kw_only=True, slots=True)
class Transfer:
    """One batch.  `holder` is the worker that moves it now; `rate` and `done_at` are told only while it moves.

    `doing` is one word for people: waiting, sending, verifying, recording, cancelled, done.  `done_at` is an honest
    guess from the bytes moved since the lease began; None where too little has moved to tell.
    """

    id: int
    source: str
    target: str
    lab: str | None
    transport: str
    files: int
    bytes: int
    bytes_moved: int
    files_recorded: int
    files_held: int
    priority: int
    open: bool
    doing: str
    holder: str | None
    not_before: datetime | None
    rate: float | None  # bytes/s
    done_at: datetime | None
    tries: int
    error: str | None
    error_text: str | None
    task: str | None  # the mover's
    note: str | None


def moving(ledger: Ledger, *, limit: int = 50) -> tuple[Transfer, ...]:
    """Batches that a worker or a mover moves at this moment."""
    raise NotImplementedError


def transfers(
    ledger: Ledger, *, open_only: bool = False, after: str | None = None, limit: int = 50
) -> Page[Transfer]:
    """The newest first."""
    raise NotImplementedError


def transfer(ledger: Ledger, batch: int) -> Transfer:
    """One.  Raises `NothingFound`."""
    raise NotImplementedError
