"""The keys of `[schedule]` and of `[labs.<name>.schedule]`: when each regular round is walked."""

from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from config.guest import known_zone
from config.problems import Wrong
from transfer.recurrence import Recurrence, read_recurrence
from transfer.timetable import Misread


def _recurring(words: str) -> str:
    try:
        read_recurrence(words, ZoneInfo("UTC"))
    except Misread as misread:
        raise Wrong(misread.what, misread.do) from misread
    return words


Recurring = Annotated[str, AfterValidator(_recurring)]
Zone = Annotated[str, AfterValidator(known_zone)]


class LabSchedule(BaseModel):
    """What of the schedule is otherwise for one lab."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    timezone: Zone | None = None
    scan: Recurring | None = None
    mirror: Recurring | None = None
    reconcile: Recurring | None = None


class Schedule(BaseModel):
    """When the regular rounds are walked."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    timezone: Zone = "UTC"
    sweep_seconds: Annotated[int, Field(ge=1, le=3600)] = 30
    scan: Recurring = "every 5 minutes"
    mirror: Recurring = "every 5 minutes"
    reconcile: Recurring = "every hour"
    probe: Recurring = "every 15 minutes"
    tidy: Recurring = "every day"
    tidy_age_hours: Annotated[int, Field(ge=1)] = 24
    prove: Recurring = "every day"
    proof_files: Annotated[int, Field(ge=0, le=100_000)] = 20
    sanity: Recurring = "every hour"
    report: Recurring = "0 6 * * *"

    def when(self, round_: str, lab: LabSchedule | None = None) -> Recurrence:
        """When a round (`scan`) is walked; for a lab, by what it says itself."""
        own = getattr(lab, round_, None)
        zone = (lab.timezone if lab else None) or self.timezone
        return read_recurrence(own or getattr(self, round_), ZoneInfo(zone))
