"""Sessions and their files, page by page."""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from transfer.ledger.files import FileRow
from transfer.ledger.glance.pages import Page
from transfer.ledger.ledger import Ledger
from transfer.ledger.reports import SessionRow


class State(StrEnum):
    """What a session is asked for by."""

    MOVING = "moving"  # files of it wait or move
    HELD = "held"  # it, or a file of it, waits for a person
    ARRIVED = "arrived"  # all that can arrive has arrived
    NEW = "new"  # seen and not yet complete: no file of it is known


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """Which sessions; None takes all.  `subject` is its beginning."""

    lab: str | None = None
    subject: str | None = None
    since: date | None = None
    until: date | None = None
    state: State | None = None


def sessions(
    ledger: Ledger, wanted: Wanted, *, after: str | None = None, limit: int = 50
) -> Page[SessionRow]:
    """The newest first.  Raises `NothingFound` for a cursor of another list."""
    raise NotImplementedError


def files(
    ledger: Ledger,
    *,
    session: int | None = None,
    status: str | None = None,
    held: bool = False,
    after: str | None = None,
    limit: int = 100,
) -> Page[FileRow]:
    """Files in the order they were found: of a session, at a status, or held; at least one is named."""
    raise NotImplementedError
