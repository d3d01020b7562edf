"""Endpoints as an operator looks at them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from transfer.ledger.ledger import Ledger


@dataclass(frozen=True, kw_only=True, slots=True)
class Reason:
    """One change of the pace, and why."""

    at: datetime
    at_once: int  # batches
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """One endpoint.  `standing` is one word: well, waiting (failed, tried again at `retry_at`), looking, paused."""

    name: str
    standing: str
    breaker: str
    failures: int
    retry_at: datetime | None
    paused_by: str | None
    pause_reason: str | None
    last_error: str | None
    last_error_text: str | None
    at_once: int  # how many batches may move to it at once
    reasons: tuple[Reason, ...]
    capabilities: Mapping[str, Any]
    free_bytes: int | None
    probed_at: datetime | None
    credential_until: datetime | None
    backlog_files: int
    backlog_bytes: int


def places(ledger: Ledger) -> tuple[Place, ...]:
    """All of them, by name."""
    raise NotImplementedError
