"""A task: what was asked, what has been done of it, and the document that says so.

Numbers follow recorded task documents: one subtask for looking at each item asked for, one for each file and
each folder found there.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from sandbox.globus.errors import DESCRIPTIONS

Status = Literal["ACTIVE", "INACTIVE", "SUCCEEDED", "FAILED"]


class State(StrEnum):
    """How far a subtask is."""

    PENDING = "pending"
    RETRYING = "retrying"
    SUCCEEDED = "succeeded"
    SKIPPED = "skipped_errors"
    FAILED = "failed"
    CANCELED = "canceled"
    EXPIRED = "expired"

    @property
    def open(self) -> bool:
        """Whether there is something left to do."""
        return self in (State.PENDING, State.RETRYING)


@dataclass
class Event:
    """One line of a task's history."""

    code: str
    is_error: bool
    details: str
    time: datetime


@dataclass
class Item:
    """One thing asked for; of a deletion, `source` is the path."""

    source: str
    destination: str
    recursive: bool | None
    external_checksum: str | None = None
    algorithm: str = "MD5"
    state: State = State.PENDING


@dataclass
class Move:
    """One file or folder found below an item."""

    item: Item
    source: str
    destination: str
    folder: bool
    state: State = State.PENDING
    size: int = 0
    checksum: str | None = None
    unchanged: bool = False
    """Left alone by the sync level."""


@dataclass
class SkippedError:
    """A path that was left out because of skip_source_errors."""

    move: Move
    code: str
    details: str
    time: datetime


@dataclass
class Task:
    """One task.  Changed only under the service's lock."""

    id: str
    kind: Literal["TRANSFER", "DELETE"]
    owner_id: str
    document: dict[str, Any]
    source_id: str
    destination_id: str | None
    requested: datetime
    deadline: datetime
    items: list[Item]
    label: str | None = None
    status: Status = "ACTIVE"
    moves: list[Move] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    skipped: list[SkippedError] = field(default_factory=list)
    delivered: list[Move] = field(default_factory=list)
    """Files carried, in the order of their arrival."""
    completed: datetime | None = None
    fatal: str | None = None
    faults: int = 0
    trouble: str | None = None
    """The code of the last error, until a pass without one."""
    bytes_transferred: int = 0
    bytes_checksummed: int = 0
    started: bool = False
    running: bool = False
    canceling: bool = False
    suspended: bool = False
    paused: bool = False
    not_before: float = 0.0
    """When the next pass may begin (monotonic seconds)."""

    @property
    def parts(self) -> list[Item | Move]:
        """The subtasks."""
        return [*self.items, *self.moves]

    @property
    def halted(self) -> bool:
        """Whether work on it must stop at the next piece."""
        return self.canceling or self.suspended or self.paused

    @property
    def ended(self) -> bool:
        """Whether nothing will happen any more."""
        return self.status in ("SUCCEEDED", "FAILED")

    def option(self, name: str) -> bool:
        """A flag of the submitted document; absent means False."""
        return bool(self.document.get(name, False))

    def note(self, code: str, details: str, now: datetime, *, is_error: bool = False) -> None:
        """Add to the history; an error counts as a fault."""
        self.events.append(Event(code, is_error, details, now))
        if is_error:
            self.faults += 1
            self.trouble = code

    def end(self, code: str, now: datetime, details: str = "") -> None:
        """SUCCEEDED, or FAILED because of `code`."""
        for part in self.parts:
            if part.state.open:
                part.state = {"CANCELED": State.CANCELED, "EXPIRED": State.EXPIRED}.get(code, State.FAILED)
        self.status = "SUCCEEDED" if code == "SUCCEEDED" else "FAILED"
        self.completed = now
        self.trouble = None
        self.fatal = None if code == "SUCCEEDED" else code
        if not (self.events and self.events[-1].code == code):
            self.events.append(Event(code, False, details or DESCRIPTIONS.get(code, code), now))

    def count(self, state: State | None = None) -> int:
        """Subtasks in a state, or all."""
        return sum(1 for part in self.parts if state in (None, part.state))
