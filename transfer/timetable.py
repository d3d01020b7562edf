"""A weekly timetable of bandwidth: what a lab manager writes, and which limit holds at a moment.

    bandwidth = ["mon-fri 08:00-19:00 20 MB/s", "sat,sun 50 MB/s", "otherwise unlimited"]

The first entry that fits holds; where none fits, what `otherwise` says, else no limit.  A window that ends before
it begins (`22:00-06:00`) ends the next day.  Hours are those of a named time zone, and each window of each day
holds exactly once, also when the clocks change:

    the doubled hour   a time means its first occurrence: `02:00-02:30` holds the first time it is 02:00
    the missing hour   a window that only begins or ends in it begins or ends when the clocks jump; one that lies
                       wholly in it holds by the old clock, right after the jump

So at every instant exactly one limit holds.  Pure: no clock, no disk but the system's time zones.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

Rate = int | None
"""Bytes a second; None is no limit, 0 is nothing at all."""

SMALLEST = 100_000
"""Below this a piece of a file takes so long that servers take the line for dead."""

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY_RANGE = re.compile(r"([a-z]+)(?:-([a-z]+))?")
_HOURS = re.compile(r"(\d{1,2}):(\d{2})-(\d{1,2}):(\d{2})")
_RATE = re.compile(r"(\d+(?:\.\d+)?) *([A-Za-z]+)(?:/s|ps)?")
_UNITS = {
    "B": 1,
    **{prefix + "B": 1000**power for prefix, power in (("k", 1), ("K", 1), ("M", 2), ("G", 3))},
    **{prefix + "iB": 1024**power for prefix, power in (("K", 1), ("M", 2), ("G", 3))},
    **{prefix + "bit": 1000**power // 8 for prefix, power in (("k", 1), ("M", 2), ("G", 3))},
}
_SHOWN = (("GB/s", 10**9), ("MB/s", 10**6), ("kB/s", 1000))
_EXAMPLE = 'Write for example "mon-fri 08:00-19:00 20 MB/s" or "otherwise unlimited".'
_MIDNIGHT = 24 * 60
_FAR_ENOUGH = 16  # days: the pattern is weekly, and one window may be hidden in the week the clocks change


class Misread(ValueError):
    """What a person wrote is no bandwidth: `what` is wrong with it and what to `do` about it."""

    def __init__(self, what: str, do: str) -> None:
        self.what, self.do = what, do
        super().__init__(f"{what}. {do}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """Some hours of some days (Monday is 0), in minutes after midnight; an end above 24:00 is the next day."""

    days: frozenset[int]
    start: int
    end: int
    rate: Rate


@dataclass(frozen=True, slots=True)
class _Span:
    """One window of one day, from `begin` to before `end`."""

    begin: datetime
    end: datetime
    place: int
    rate: Rate


@dataclass(frozen=True, kw_only=True, slots=True)
class Timetable:
    """The limits of a week."""

    windows: tuple[Window, ...] = ()
    otherwise: Rate = None
    zone: ZoneInfo | None = None

    def rate_at(self, moment: datetime) -> Rate:
        """The limit that holds at an aware moment."""
        return self._among(self._spans(moment, 2), moment)

    def next_change(self, moment: datetime) -> tuple[datetime, Rate] | None:
        """When the limit next becomes another one, and which; None if it never does.  Always after `moment`."""
        spans = self._spans(moment, _FAR_ENOUGH)
        now = self._among(spans, moment)
        last = moment + timedelta(days=_FAR_ENOUGH - 2)
        for at in sorted({at for span in spans for at in (span.begin, span.end) if moment < at <= last}):
            rate = self._among(spans, at)
            if rate != now:
                return at, rate
        return None

    def _among(self, spans: Sequence[_Span], moment: datetime) -> Rate:
        fitting = [span for span in spans if span.begin <= moment < span.end]
        return min(fitting, key=lambda span: span.place).rate if fitting else self.otherwise

    def _spans(self, moment: datetime, days: int) -> list[_Span]:
        """Every window that may hold within so many days after `moment`."""
        if not self.windows:
            return []
        assert self.zone is not None, "hours need a time zone"
        today = moment.astimezone(self.zone).date()
        return [
            _Span(*_instants(self.zone, day, window), place, window.rate)
            for day in (today + timedelta(days=ahead) for ahead in range(-2, days))
            for place, window in enumerate(self.windows)
            if day.weekday() in window.days
        ]


def _instants(zone: ZoneInfo, day: date, window: Window) -> tuple[datetime, datetime]:
    midnight = datetime(day.year, day.month, day.day)  # noqa: DTZ001 - the wall's time: a zone makes an instant of it
    start, end = (midnight + timedelta(minutes=minutes) for minutes in (window.start, window.end))
    begin, finish = _instant(zone, start), _instant(zone, end)
    if finish <= begin:  # wholly in the missing hour
        begin = start.replace(tzinfo=zone).astimezone(UTC)
        finish = begin + (end - start)
    return begin, finish


def _instant(zone: ZoneInfo, wall: datetime) -> datetime:
    """The first time the clock on the wall shows `wall`, or the moment it jumps over it."""
    after = wall.replace(tzinfo=zone).astimezone(UTC)
    if _wall(zone, after) == wall:
        return after
    before = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
    while after - before > timedelta(seconds=1):
        middle = before + timedelta(seconds=(after - before) // timedelta(seconds=2))
        if _wall(zone, middle) > wall:
            after = middle
        else:
            before = middle
    return after


def _wall(zone: ZoneInfo, instant: datetime) -> datetime:
    return instant.astimezone(zone).replace(tzinfo=None, fold=0)


# ---- what people write --------------------------------------------------------------------------------------


def written(entries: Sequence[str]) -> list[str]:
    """The entries one by one: a person may type several in a line with semicolons between, or each in its own."""
    parts = (part.strip() for entry in entries for line in entry.splitlines() for part in line.split(";"))
    return [part for part in parts if part]


def read_timetable(entries: Sequence[str], zone: ZoneInfo | None) -> Timetable:
    """The timetable that `entries` mean.  Raises `Misread`."""
    windows: list[Window] = []
    for place, entry in enumerate(entries):
        words = entry.replace("–", "-").split()
        last = place == len(entries) - 1
        if words[:1] == ["otherwise"] or (last and place == 0 and _is_rate(words)):
            if not last:
                raise Misread(
                    f'"{entry}" is not the last entry', "Move it to the end: nothing after it can hold."
                )
            return Timetable(
                windows=tuple(windows),
                otherwise=_rate_of(entry, words[words[0] == "otherwise" :]),
                zone=zone,
            )
        if zone is None:
            do = 'Set timezone, for example "Europe/London".'
            raise Misread(f'"{entry}" needs to know whose hours these are', do)
        windows.append(_window(entry, words))
    return Timetable(windows=tuple(windows), zone=zone)


def read_rate(words: str) -> Rate:
    """The limit that `words` mean: `20 MB/s`, `unlimited`, `0`.  Raises `Misread`."""
    said = words.strip()
    if said.lower() == "unlimited":
        return None
    if said in ("0", "nothing"):
        return 0
    found = _RATE.fullmatch(said)
    if not found or found[2] not in _UNITS:
        bits = found and found[2].lower() in ("kb", "mb", "gb")
        do = (
            "Write MB/s for bytes or Mbit/s for bits."
            if bits
            else 'Write for example "20 MB/s", "100 Mbit/s", "unlimited" or "0".'
        )
        raise Misread(f'"{said}" is no bandwidth', do)
    rate = int(float(found[1]) * _UNITS[found[2]])
    if 0 < rate < SMALLEST or (rate == 0 and float(found[1])):
        do = f'Write at least {shown(SMALLEST)}, or "0" for nothing at all.'
        raise Misread(f'"{said}" is so little that servers would take the line for dead', do)
    return rate


def shown(rate: Rate) -> str:
    """A limit for people."""
    if rate is None:
        return "unlimited"
    for unit, size in _SHOWN:
        if rate >= size:
            return f"{rate / size:.4g} {unit}"
    return f"{rate} B/s" if rate else "nothing"


def _window(entry: str, words: Sequence[str]) -> Window:
    days = frozenset(range(7))
    if words and words[0][:1].isalpha():
        days, words = _days(entry, words[0].lower()), words[1:]
    elif not words or not _HOURS.fullmatch(words[0]):
        raise Misread(f'"{entry}" names neither days nor hours', _EXAMPLE)
    start, end = 0, _MIDNIGHT
    if words and (found := _HOURS.fullmatch(words[0])):
        start, end = _minutes(entry, found[1], found[2]), _minutes(entry, found[3], found[4])
        words = words[1:]
        if start in (end, _MIDNIGHT):
            raise Misread(f'"{entry}" has no length', "Leave the hours out for a whole day.")
        end += _MIDNIGHT if end < start else 0
    return Window(days=days, start=start, end=end, rate=_rate_of(entry, words))


def _rate_of(entry: str, words: Sequence[str]) -> Rate:
    try:
        return read_rate(" ".join(words))
    except Misread as wrong:
        if entry.strip() == " ".join(words):
            raise
        raise Misread(
            f'in "{entry}", {wrong.what}' if words else f'"{entry}" names no bandwidth', wrong.do
        ) from wrong


def _is_rate(words: Sequence[str]) -> bool:
    return (
        bool(words)
        and (words[0][0].isdigit() or words[0] in ("unlimited", "nothing"))
        and not any(_HOURS.fullmatch(word) for word in words)
    )


def _days(entry: str, words: str) -> frozenset[int]:
    if words == "daily":
        return frozenset(range(7))
    found: set[int] = set()
    for part in words.split(","):
        match = _DAY_RANGE.fullmatch(part)
        if not match:
            raise Misread(f'in "{entry}", "{part}" is no day', _EXAMPLE)
        first, last = _day(entry, match[1]), _day(entry, match[2] or match[1])
        found |= {day % 7 for day in range(first, last + (1 if last >= first else 8))}
    return frozenset(found)


def _day(entry: str, word: str) -> int:
    for number, name in enumerate(_DAYS):
        if word == name or (len(word) > 3 and _LONG[number].startswith(word)):
            return number
    raise Misread(f'in "{entry}", "{word}" is no day', f"The days are {', '.join(_DAYS)}, and daily for all.")


_LONG = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def _minutes(entry: str, hours: str, minutes: str) -> int:
    whole = int(hours) * 60 + int(minutes)
    if int(minutes) > 59 or whole > _MIDNIGHT:
        raise Misread(f'in "{entry}", {hours}:{minutes} is no time of day', "Write 00:00 to 24:00.")
    return whole
