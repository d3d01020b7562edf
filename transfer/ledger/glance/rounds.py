"""The schedule's memory: each round, when it was last walked and what came of it."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from transfer.ledger.ledger import Ledger
from transfer.ledger.tables import jobs


@dataclass(frozen=True, kw_only=True, slots=True)
class Round:
    """One row of `jobs`; when it is due is the schedule's affair, not the ledger's."""

    name: str
    last_run: datetime | None
    last_outcome: str | None
    holder: str | None


def rounds(ledger: Ledger) -> tuple[Round, ...]:
    """All that were ever walked, by name."""
    with ledger.reading() as connection:
        now = ledger.now(connection)
        found = connection.execute(select(jobs).order_by(jobs.c.name)).all()
    return tuple(
        Round(
            name=row.name,
            last_run=row.last_run,
            last_outcome=row.last_outcome,
            holder=row.lease_holder if row.lease_until and row.lease_until > now else None,
        )
        for row in found
    )
