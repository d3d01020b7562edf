"""What bears on where a file or a session is: the facts an explanation is made of, and its form."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from transfer.status import Status


class Owner(StrEnum):
    """Who has the next move."""

    NOBODY = "nobody"  # it is finished
    WORKER = "worker"  # one is busy with it now
    PROGRAM = "alyx-transfer"  # it goes on by itself
    PERSON = "a person"


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    """One sentence, who has the next move, what it is, and when: None only where it is a person's."""

    sentence: str
    owner: Owner
    next_step: str
    at: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Lease:
    """Who is busy, and until when unless renewed."""

    holder: str
    until: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """The state of one place a step needs."""

    name: str
    paused_by: str | None = None
    pause_reason: str | None = None
    retry_at: datetime | None = None
    quiet: str | None = None  # why the lab machine must not be disturbed, where that keeps it back


@dataclass(frozen=True, kw_only=True, slots=True)
class Visit:
    """The session as a piece of work: discover and register."""

    path: str
    hold: str | None = None
    hold_text: str | None = None
    not_before: datetime | None = None
    lease: Lease | None = None
    error_text: str | None = None
    looked_at: datetime | None = None
    complete_at: datetime | None = None
    by_alyx: bool = False  # Alyx says what is missing at the store; the folder alone makes no work
    endpoints: tuple[Endpoint, ...] = ()
    ahead: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Carriage:
    """The batch as a piece of work: push to record.

    `ahead` batches are taken before it; `note` is what a mover says of its task, while it has one.
    """

    id: int
    note: str | None = None
    not_before: datetime | None = None
    cancel_at: datetime | None = None
    lease: Lease | None = None
    error_text: str | None = None
    endpoints: tuple[Endpoint, ...] = ()
    ahead: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class End:
    """How an item ended."""

    at: datetime
    proof: str | None = None
    receipt: int | None = None
    successor: int | None = None  # the item that replaced it
    by: str | None = None
    why: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class FileFacts:
    """Everything the ledger knows that bears on one file.  `status` is None where the file has no item."""

    now: datetime
    name: str
    visit: Visit
    status: Status | None = None
    item: int | None = None
    hold: str | None = None
    hold_text: str | None = None
    not_before: datetime | None = None
    tries: int = 0
    error_text: str | None = None
    carriage: Carriage | None = None
    end: End | None = None
    unregistrable: str | None = None
    gone_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionFacts:
    """A session, the counts of its files, and the file that explains best why it is not done."""

    now: datetime
    visit: Visit
    files: int = 0
    recorded: int = 0
    waiting: int = 0
    held: int = 0
    unregistrable: int = 0
    foremost: FileFacts | None = None
