"""One file's way: what happened to it, and where its time went."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from transfer.ledger.ledger import Ledger


class Phase(StrEnum):
    """Where time goes, in the order of the journey."""

    WAITING = "waiting"
    HASHING = "hashing"
    CONNECTING = "connecting"
    SENDING = "sending"
    VERIFYING = "verifying"
    WRITING_BACK = "writing back"


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """One stretch of time; `end` None while it goes on."""

    phase: Phase
    begin: datetime
    end: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """One claim that touched the file, or one failure: what came of it."""

    attempt: str | None
    began_at: datetime
    actor: str
    outcome: str  # a status, or "failed", "given back"
    code: str | None
    text: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Receipt:
    """What was proved about one copy."""

    id: int
    kind: str
    md5: str
    size: int
    proof: str
    proved_at: datetime
    read_back_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Happening:
    """One event, as the ledger wrote it down."""

    id: int
    at: datetime
    what: str
    was: str | None
    became: str | None
    actor: str
    why: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Timeline:
    """Everything of one file's newest item."""

    dataset: int
    item: int | None
    spans: tuple[Span, ...]
    attempts: tuple[Attempt, ...]
    receipts: tuple[Receipt, ...]
    events: tuple[Happening, ...]


def timeline(ledger: Ledger, dataset: int) -> Timeline:
    """The way of one file.  Raises `NothingFound`."""
    raise NotImplementedError
