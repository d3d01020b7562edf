"""Being a good guest on a lab's acquisition machine: its bandwidth, its disk and its processors belong to the rig.

A `Guest` is shared by all threads of a process.  `held_to` wraps the `moved` that every transport, and the hashing of
new files, calls as bytes go by: there the limit is kept, and there work is given back at once when nothing may move
any more.  `silent` is asked before anything is claimed.

PROMISES
- threads of one process share one limit for each lab; several processes each take the part that the config gives them;
- a limit that a person changes, a flag that comes or goes, and the timetable count within `LOOK` or `ASK` seconds,
  also for those who wait;
- nobody sleeps longer than `SLICE` without looking whether the lease still holds, and nothing happens outside while
  one waits: who has lost the lease is told by `GivenBack`, not by a failed file;
- a ledger that is away changes nothing: what was last known holds.

It does not decide which limit holds (see `bandwidth`) nor read the config.
"""

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import structlog

from transfer.bandwidth import Bucket, GivenBack, Plan, Standing, Wish, Written, standing
from transfer.errors import LostRace, TransferError
from transfer.ledger import bandwidth as kept
from transfer.ledger.leases import Lease
from transfer.ledger.ledger import Ledger
from transfer.recording import Flag
from transfer.timetable import Misread

log = structlog.get_logger()

LOOK = 1.0  # seconds between looks at the flag and the timetable
ASK = 5.0  # seconds between questions to the ledger
SLICE = 0.25  # seconds, the longest sleep
_SHORTEST = 0.001  # seconds; less is lost in the clock's own steps
_KEEP = timedelta(seconds=60)  # so long work stays kept back if the worker that said so dies
_RENEW = timedelta(seconds=30)  # what is left of that when it is said again

Moved = Callable[[int], None]


@dataclass(frozen=True, kw_only=True)
class Manners:
    """How to behave on one lab machine.  `processes` share its limit, each taking an equal part."""

    plan: Plan = field(default_factory=Plan)
    flag: Flag | None = None
    processes: int = 1


def _now() -> datetime:
    return datetime.now(UTC)


class Guest:
    """The manners of one process, by the lab's repository.  May be shared by threads."""

    def __init__(
        self,
        ledger: Ledger,
        manners: Mapping[str, Manners],
        *,
        clock: Callable[[], datetime] = _now,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._hosts = {
            name: _Host(ledger, name, one, clock=clock, monotonic=monotonic) for name, one in manners.items()
        }
        self._sleep = sleep
        self.hurried: Callable[[], bool] = lambda: False
        """Whether everybody is about to stop, so that nobody should wait: Ctrl-C."""

    def standing(self, name: str) -> Standing:
        """The limit in force at a lab machine."""
        return self._hosts[name].standing()

    def silent(self, name: str) -> bool:
        """Whether nothing of this lab may be begun now; the ledger is told, so that people can read why."""
        host = self._hosts.get(name)
        return host is not None and host.tell().silent

    def held_to(self, name: str, lease: Lease, moved: Moved) -> Moved:
        """`moved` at the lab machine's pace.  What it answers raises `GivenBack` when the work must stop."""
        host = self._hosts.get(name)
        if host is None:
            return moved

        def paced(count: int) -> None:
            moved(count)
            self._wait(host, lease, count)

        return paced

    def _wait(self, host: "_Host", lease: Lease, count: int) -> None:
        place = host.take(count)
        while not self.hurried():
            found = host.standing()
            if found.silent:
                raise GivenBack(found.error)
            left = host.left(place) if count else 0.0
            if left <= 0:
                return
            try:
                lease.ensure()
            except LostRace as lost:
                raise GivenBack(lost) from lost
            self._sleep(min(max(left, _SHORTEST), SLICE))


class _Host:
    """One lab machine as this process knows it."""

    def __init__(
        self,
        ledger: Ledger,
        name: str,
        manners: Manners,
        *,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
    ) -> None:
        self._ledger = ledger
        self._name = name
        self._manners = manners
        self._clock = clock
        self._monotonic = monotonic
        self._guard = threading.Lock()
        self._bucket = Bucket(monotonic())
        self._found: Standing | None = None
        self._looked = self._asked = float("-inf")
        self._wish: Wish | None = None
        self._plan = manners.plan
        self._unread: Written | None = None  # a person's timetable that this machine cannot read, told once
        self._told_until: datetime | None = None
        self._told = False  # whether the ledger has heard of us at all

    def standing(self) -> Standing:
        with self._guard:
            return self._standing()

    def take(self, count: int) -> float:
        with self._guard:
            return self._bucket.take(count, now=self._monotonic(), rate=self._rate())

    def left(self, place: float) -> float:
        """Seconds until whoever holds `place` may go on."""
        with self._guard:
            rate = self._rate()
            return self._bucket.wait(place, now=self._monotonic(), rate=rate) if rate != 0 else 0.0

    def _rate(self) -> int | None:
        """Our part of the limit; a limit that is not nothing leaves everybody something."""
        rate = self._standing().rate
        return rate and max(rate // self._manners.processes, 1)

    def _standing(self) -> Standing:
        now = self._monotonic()
        if self._found is None or now - self._looked >= LOOK:
            self._ask(now)
            flag = self._manners.flag
            before, self._looked = self._found, now
            self._found = standing(
                self._clock(),
                self._plan,
                wish=self._wish,
                recording=flag.look(self._clock(), now) if flag else None,
            )
            # The first look of a process is no change: the dashboard's own, for one, looks anew at each request.
            if before is not None and (before.rate, before.origin) != (self._found.rate, self._found.origin):
                log.info("limit_changed", at=self._name, rate=self._found.rate, because=self._found.because)
        return self._found

    def _ask(self, now: float) -> None:
        if now - self._asked < ASK:
            return
        self._asked = now
        with suppress(TransferError):  # the database is away: what was last known holds
            self._wish, written = kept.said(self._ledger, self._name)
            self._plan = self._planned(written)

    def _planned(self, written: Written | None) -> Plan:
        """A person's timetable, else the config's."""
        ours = self._manners.plan
        try:
            return ours if written is None else ours.under(written)
        except Misread as misread:
            if self._unread != written:
                log.warning("timetable_unreadable", at=self._name, because=str(misread))
            self._unread = written
            return ours

    # ---- what the ledger is told

    def tell(self) -> Standing:
        """The limit in force; the ledger keeps the lab's work back while it is nothing, and no longer."""
        with self._guard:
            found = self._standing()
            with suppress(TransferError):  # it is only what people read: nothing is claimed all the same
                if found.silent:
                    self._keep_quiet(found)
                elif self._told_until is not None or not self._told:
                    kept.let_go_on(self._ledger, self._name)
                    self._told_until = None
                self._told = True
            return found

    def _keep_quiet(self, found: Standing) -> None:
        now = self._ledger.moment()
        if self._told_until is not None and self._told_until - now > _RENEW:
            return
        until = found.changes_at if found.changes_at and found.changes_at > now else now + _KEEP
        kept.keep_quiet(self._ledger, self._name, found.error, until=until)
        self._told_until = until
