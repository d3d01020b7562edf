"""The nouns of notices: what needs a person, what was told of it, who is silenced, and when somebody may be told.

Pure.  What is said of it, and when, is decided in `news`; the concerns are found by `transfer.ledger.concerns`.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, time
from zoneinfo import ZoneInfo

from transfer.timetable import Misread


@dataclass(frozen=True, kw_only=True, slots=True)
class Concern:
    """One thing that needs a person.  `lab` is None where it concerns every lab, `files` 0 where none is counted."""

    key: str
    lab: str | None
    sentence: str
    do: str
    files: int = 0
    since: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """What one target was told of a concern, and when; `gone_at` is when it was first found gone."""

    key: str
    lab: str | None
    sentence: str
    files: int
    at: datetime
    gone_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Silence:
    """Nothing is told of this lab until then; None: until somebody ends it."""

    lab: str
    until: datetime | None
    by: str
    why: str | None

    def holds(self, now: datetime) -> bool:
        return self.until is None or now < self.until


@dataclass(frozen=True, kw_only=True, slots=True)
class Hours:
    """From `begin` to before `end` by the clock on the wall; an end before the beginning is the next day's."""

    begin: time
    end: time

    def __contains__(self, wall: time) -> bool:
        if self.begin <= self.end:
            return self.begin <= wall < self.end
        return wall >= self.begin or wall < self.end


def read_time(words: str) -> time:
    """A time of day as people write it.  Raises `Misread`."""
    found = re.fullmatch(r"(\d{1,2}):(\d{2})", words.strip())
    if not found or int(found[1]) > 23 or int(found[2]) > 59:
        raise Misread(f'"{words}" is no time of day', 'Write for example "08:00".')
    return time(int(found[1]), int(found[2]))


def read_hours(words: str) -> Hours:
    """Hours as people write them: `22:00-07:00`.  Raises `Misread`."""
    begin, dash, end = words.replace("–", "-").partition("-")
    hours = Hours(begin=read_time(begin), end=read_time(end)) if dash else None
    if hours is None or hours.begin == hours.end:
        raise Misread(f'"{words}" names no hours', 'Write for example "22:00-07:00".')
    return hours


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """When a target may be told, and when it is reminded.  `link` is where a person looks."""

    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    at: time = time(8)
    quiet: Hours | None = None
    link: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """What a target gets."""

    title: str
    body: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Digest:
    """A message, if there is something to say, and what is remembered.

    `keep` and `forget` are written down in any case; `tell` and `over` when the message was sent, and not before.
    """

    message: Message | None = None
    tell: tuple[Told, ...] = ()
    over: tuple[str, ...] = ()
    keep: tuple[Told, ...] = ()
    forget: tuple[str, ...] = ()

    def remembered(self, told: Iterable[Told], *, sent: bool) -> tuple[Told, ...]:
        """What is remembered after it."""
        after = {one.key: one for one in told} | {one.key: one for one in self.keep}
        gone = set(self.forget)
        if sent:
            after |= {one.key: one for one in self.tell}
            gone |= set(self.over)
        return tuple(one for key, one in after.items() if key not in gone)
