"""What people did: the events whose actor is a person."""

from dataclasses import dataclass
from datetime import datetime

from transfer.ledger.glance.pages import Page
from transfer.ledger.ledger import Ledger


@dataclass(frozen=True, kw_only=True, slots=True)
class Act:
    """One thing a person did.  `name` is the thing's name for people."""

    id: int
    at: datetime
    person: str
    what: str
    subject: str
    subject_id: str
    name: str
    was: str | None
    became: str | None
    why: str | None


def acts(
    ledger: Ledger, *, person: str | None = None, after: str | None = None, limit: int = 50
) -> Page[Act]:
    """The newest first."""
    raise NotImplementedError
