"""When something regular is next to be done: after an interval, or at the moments of a cron expression.

    "every 5 minutes"     so long after the last time it was done
    "15 2 * * mon-fri"    at these moments of a named time zone: minute, hour, day, month, weekday

Whatever was missed while nobody looked is made up once: what is due is decided from the last time alone.  When the
clocks change, a moment in the missing hour comes right after the jump and one in the doubled hour once, as Debian's
cron has it (that is `cronsim`'s rule).  Pure: no clock, no disk but the system's time zones.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from transfer.timetable import Misread

_EVERY = re.compile(r"every(?: (\d{1,6}))? (second|minute|hour|day)s?")
_UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}
_EXAMPLE = 'Write for example "every 5 minutes", or "0 3 * * *" for every day at 03:00.'


class Recurrence(Protocol):
    """When something regular is due."""

    def after(self, last: datetime) -> datetime:
        """The first moment it is due again, in UTC, when it was last done at `last`."""

    @property
    def shortest(self) -> timedelta:
        """The least time between two moments, as far as that is known."""


@dataclass(frozen=True, slots=True)
class Interval:
    """So long after the last time."""

    length: timedelta

    def after(self, last: datetime) -> datetime:
        return last + self.length

    @property
    def shortest(self) -> timedelta:
        return self.length

    def __str__(self) -> str:
        seconds = round(self.length.total_seconds())
        unit = next(name for name in reversed(_UNITS) if seconds % _UNITS[name] == 0)
        count = seconds // _UNITS[unit]
        return f"every {unit}" if count == 1 else f"every {count} {unit}s"


@dataclass(frozen=True, slots=True)
class Cron:
    """At the moments of a cron expression, by the clock of a time zone."""

    expression: str
    zone: ZoneInfo

    def after(self, last: datetime) -> datetime:
        return next(CronSim(self.expression, last.astimezone(self.zone))).astimezone(UTC)

    @property
    def shortest(self) -> timedelta:
        return timedelta(minutes=1)

    def __str__(self) -> str:
        return f"{self.expression} ({self.zone.key})"


ALWAYS = Interval(timedelta(0))
"""Due whenever somebody asks."""


def is_due(recurrence: Recurrence, last: datetime | None, now: datetime) -> bool:
    """Whether it is to be done now; what was never done is."""
    return last is None or recurrence.after(last) <= now


def read_recurrence(words: str, zone: ZoneInfo) -> Recurrence:
    """What a person wrote.  Raises `Misread`, also for an expression that no day fits."""
    told = " ".join(words.lower().split())
    if told.startswith("every"):
        return _interval(told, words)
    if len(told.split()) != 5:
        raise Misread(f'"{words}" is neither an interval nor a cron expression of five fields', _EXAMPLE)
    try:
        CronSim(words, _ANY_DAY.astimezone(zone))
    except CronSimError as error:
        raise Misread(
            f'"{words}" is neither an interval nor a cron expression ({error})', _EXAMPLE
        ) from error
    found = Cron(" ".join(words.split()), zone)
    try:
        found.after(_ANY_DAY)
    except StopIteration as error:
        raise Misread(f'no day fits "{words}"', _EXAMPLE) from error
    return found


_ANY_DAY = datetime(2026, 1, 1, tzinfo=UTC)


def _interval(told: str, words: str) -> Interval:
    match = _EVERY.fullmatch(told)
    length = int(match[1] or 1) * _UNITS[match[2]] if match else 0
    if not length:
        raise Misread(f'"{words}" is no interval', _EXAMPLE)
    return Interval(timedelta(seconds=length))
