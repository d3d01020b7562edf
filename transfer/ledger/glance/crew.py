"""Workers: those that say they live, those that fell silent, and what each holds."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from transfer.ledger.ledger import Ledger

SILENT_AFTER = timedelta(minutes=3)


@dataclass(frozen=True, kw_only=True, slots=True)
class Holding:
    """One lease."""

    kind: str  # session, batch, job
    id: str
    name: str
    until: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Worker:
    """One worker process.  `standing`: alive, silent (not heard of for `SILENT_AFTER`), stopped."""

    holder: str
    host: str
    pid: int
    version: str
    hands: int
    started_at: datetime
    seen_at: datetime
    standing: str
    holds: tuple[Holding, ...]


def here(ledger: Ledger, *, version: str, hands: int) -> None:
    """Say that this process lives; called at the start and with every sweep."""
    raise NotImplementedError


def gone(ledger: Ledger) -> None:
    """Say that this process stops, of its own will."""
    raise NotImplementedError


def workers(ledger: Ledger, *, since: timedelta = timedelta(days=7)) -> tuple[Worker, ...]:
    """Those heard of since then, the living first; leases of processes that never said so are shown as well."""
    raise NotImplementedError
