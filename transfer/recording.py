"""Whether the rig records: a flag file that the acquisition program makes and removes.

Promises: the flag is only looked at, never made, changed or removed; a flag that cannot be looked at counts as
recording, and says so; a stale one counts too.  A look that takes long (a pattern over many folders) is repeated less
often, so that looking takes at most a twentieth of the time.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from transfer.bandwidth import Recording

_SHARE = 20


@dataclass(kw_only=True)
class Flag:
    """`pattern` is an absolute path, or one below `root`; both may hold the wildcards of a shell."""

    root: Path
    pattern: str
    stale_after: timedelta
    measure: Callable[[], float] = time.monotonic
    _last: Recording | None = field(default=None, init=False)
    _not_before: float = field(default=float("-inf"), init=False)

    def look(self, now: datetime, monotonic: float) -> Recording | None:
        """What the flag says, at most as old as the last look was long."""
        if monotonic < self._not_before:
            return self._last
        begun = self.measure()
        self._last = self._found(now)
        self._not_before = monotonic + _SHARE * (self.measure() - begun)
        return self._last

    def _found(self, now: datetime) -> Recording | None:
        try:
            seen = [self._seen(file, now) for file in self._files()]
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            trouble = f"whether the rig records cannot be seen ({error.strerror})"
            return Recording(flag=self.pattern, since=None, trouble=trouble)
        return max(
            seen, key=lambda one: one.since or now, default=None
        )  # the newest says whether it is stale

    def _files(self) -> list[Path]:
        place = self.root / self.pattern  # which is the pattern alone, where that is absolute
        if not any(mark in self.pattern for mark in "*?["):
            return [place]
        return list(Path(place.anchor).glob(str(place.relative_to(place.anchor))))

    def _seen(self, file: Path, now: datetime) -> Recording:
        since = datetime.fromtimestamp(file.stat().st_mtime, UTC)
        return Recording(flag=str(file), since=since, stale=now - since > self.stale_after)
