"""The schedule's memory: each round, when it was last walked and what came of it."""

from dataclasses import dataclass
from datetime import datetime

from transfer.ledger.ledger import Ledger


@dataclass(frozen=True, kw_only=True, slots=True)
class Round:
    """One row of `jobs`; when it is due is the schedule's affair, not the ledger's."""

    name: str
    last_run: datetime | None
    last_outcome: str | None
    holder: str | None


def rounds(ledger: Ledger) -> tuple[Round, ...]:
    """All that were ever walked, by name."""
    raise NotImplementedError
