"""How many bytes a second may leave the lab machine now, why, and until when: pure decisions.

Three things have a say, the strongest first:

    the rig records   at most `while_recording`, whatever else holds
    a person          `alyx-transfer bandwidth LAB 10MB/s --for 2h`: instead of the timetable, until it ends
    the timetable     a person's, from the dashboard or `alyx-transfer bandwidth timetable`; else the config's

`Bucket` is the arithmetic of a limit: over any length of time at most rate x time bytes move, and `BURST` seconds'
worth besides.  The caller brings the clock; whoever waits between two pieces of a file is in `guest`.
"""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from zoneinfo import ZoneInfo

from transfer.errors import QuietHours, RigRecording, TransferError
from transfer.timetable import Misread, Rate, Timetable, read_timetable, shown

BURST = 0.5
"""Seconds' worth of bytes that an idle line may send at once."""


class GivenBack(BaseException):
    """The work must stop here and now, and be given back; `error` says why.

    Not an Exception, so that no transport takes it for the failure of a file and removes what has arrived of it.
    """

    def __init__(self, error: TransferError) -> None:
        self.error = error
        super().__init__(error.sentence)


class Origin(StrEnum):
    """Who said so."""

    NOBODY = "no limit is set"
    TIMETABLE = "timetable"
    PERSON = "person"
    RECORDING = "recording"


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """A person's limit, above the timetable's; without `until` it holds until somebody clears it."""

    rate: Rate
    by: str
    since: datetime
    until: datetime | None = None
    why: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Recording:
    """The rig records: `flag` says so, since its time `since` (None when it cannot be looked at).

    A `stale` flag is older than any recording should last: it holds all the same, and people are told.
    """

    flag: str
    since: datetime | None
    stale: bool = False
    trouble: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Written:
    """A timetable that a person wrote instead of the config's, and whose hours these are."""

    entries: tuple[str, ...]
    timezone: str | None
    by: str
    since: datetime
    why: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """The timetable of one lab machine, who wrote it, and what holds while the rig records."""

    timetable: Timetable = field(default_factory=Timetable)
    while_recording: Rate = 0
    author: str = "the timetable of the config"

    def under(self, written: Written) -> "Plan":
        """The same with a person's timetable.  Raises `Misread`, also where this machine has no such time zone."""
        reason = f": {written.why}" if written.why else ""
        return replace(
            self,
            timetable=read_timetable(written.entries, _zone(written.timezone)),
            author=f"the timetable that {written.by.removeprefix('person:')} set{reason}",
        )


def _zone(name: str | None) -> ZoneInfo | None:
    try:
        return ZoneInfo(name) if name else None
    except (KeyError, ValueError, OSError) as error:
        raise Misread(f'there is no time zone "{name}"', "Install the system's time zones.") from error


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """The limit in force.  `changes_at` is None when only an event can change it, and then `then` means nothing."""

    rate: Rate
    origin: Origin
    because: str
    changes_at: datetime | None = None
    then: Rate = None
    recording: Recording | None = None

    @property
    def silent(self) -> bool:
        """Whether nothing at all may be hashed or sent."""
        return self.rate == 0

    @property
    def error(self) -> TransferError:
        """Why nothing moves, while `silent`."""
        if self.origin is Origin.RECORDING and self.recording is not None:
            return RigRecording(self.because, to=self.recording.flag)
        return QuietHours(f"nothing may be sent now ({self.because})")


def standing(now: datetime, plan: Plan, *, wish: Wish | None, recording: Recording | None) -> Standing:
    """The limit in force at `now`."""
    chosen = _wished(plan.timetable, wish) if wish and _holds(wish, now) else _planned(now, plan)
    if recording is None:
        return chosen
    if _at_most(chosen.rate, plan.while_recording):
        return replace(chosen, recording=recording)
    return Standing(
        rate=plan.while_recording,
        origin=Origin.RECORDING,
        because=recording.trouble or "the rig is recording",
        recording=recording,
    )


def _holds(wish: Wish, now: datetime) -> bool:
    return wish.until is None or now < wish.until


def _at_most(rate: Rate, limit: Rate) -> bool:
    return limit is None or (rate is not None and rate <= limit)


def _planned(now: datetime, plan: Plan) -> Standing:
    change = plan.timetable.next_change(now)
    rate = plan.timetable.rate_at(now)
    nobody = rate is None and change is None
    return Standing(
        rate=rate,
        origin=Origin.NOBODY if nobody else Origin.TIMETABLE,
        because="no limit is set" if nobody else plan.author,
        changes_at=change[0] if change else None,
        then=change[1] if change else None,
    )


def _wished(timetable: Timetable, wish: Wish) -> Standing:
    reason = f": {wish.why}" if wish.why else ""
    chosen = Standing(
        rate=wish.rate, origin=Origin.PERSON, because=f"set by {wish.by.removeprefix('person:')}{reason}"
    )
    if wish.until is None:
        return chosen
    then = timetable.rate_at(wish.until)
    change = (wish.until, then) if then != wish.rate else timetable.next_change(wish.until)
    return replace(chosen, changes_at=change[0], then=change[1]) if change else chosen


def sentence(found: Standing) -> str:
    """The limit in force in words: what holds, why, and the next change."""
    words = f"{shown(found.rate)} ({found.because}"
    if found.recording is not None:
        words += f": {found.recording.flag}" if found.origin is Origin.RECORDING else "; the rig is recording"
    words += ")"
    if found.changes_at is not None:
        words += f"; {shown(found.then)} from {found.changes_at.astimezone(UTC):%Y-%m-%d %H:%MZ}"
    elif found.origin is Origin.RECORDING:
        words += " until the flag is gone"
    if found.recording is not None and found.recording.stale:
        since = found.recording.since
        when = f" since {since.astimezone(UTC):%Y-%m-%d %H:%MZ}" if since else ""
        words += f". The flag stands{when}: if nothing records, remove it"
    return words


class Bucket:
    """Who may go on when: each piece that moved takes a place in a queue, which the rate pays off in order.

    Not for several threads at once, and it knows no clock: `now` is any clock that never goes back.
    """

    def __init__(self, now: float) -> None:
        self._taken = 0.0  # bytes that moved, ever
        self._paid = 0.0  # bytes of these for which the time has come
        self._at = now

    def take(self, count: int, *, now: float, rate: Rate) -> float:
        """Note that `count` bytes moved; answers their place."""
        self._pay(now, rate)
        self._taken += count
        return self._taken

    def wait(self, place: float, *, now: float, rate: Rate) -> float:
        """Seconds until whoever holds `place` may go on; 0 at once.  `rate` is not 0: nothing moves then."""
        self._pay(now, rate)
        if rate is None:
            return 0.0
        assert rate > 0, "nothing waits for a limit of nothing"
        return max(0.0, (place - rate * BURST - self._paid) / rate)

    def _pay(self, now: float, rate: Rate) -> None:
        """A rate that changed counts from the moment it is known."""
        passed, self._at = max(0.0, now - self._at), max(now, self._at)
        self._paid = self._taken if rate is None else min(self._taken, self._paid + rate * passed)
