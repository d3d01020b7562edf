"""The service's clock, which a test may move forward."""

from datetime import UTC, datetime, timedelta


class Clock:
    """UTC, plus what `advance` added."""

    def __init__(self) -> None:
        self._ahead = timedelta()

    def now(self) -> datetime:
        """The time by which tokens and deadlines are judged."""
        return datetime.now(UTC) + self._ahead

    def advance(self, seconds: float) -> None:
        """Move the clock forward."""
        self._ahead += timedelta(seconds=seconds)


def isoformat(moment: datetime | None) -> str | None:
    """As task documents write times: whole seconds, a `T`, an offset."""
    return None if moment is None else moment.isoformat(timespec="seconds")
