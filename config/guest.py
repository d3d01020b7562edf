"""The keys of `[labs.<name>.guest]`: how to behave on a lab's acquisition machine."""

from pathlib import Path
from typing import Annotated, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from config.problems import Wrong
from transfer.timetable import Misread, Rate, Timetable, read_rate, read_timetable


def known_zone(name: str) -> str:
    """A time zone's name, if there is such a zone.  Raises `Wrong`."""
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        what = f'there is no time zone "{name}"'
        raise Wrong(what, 'Write its name in the IANA list, for example "Europe/London".') from error
    return name


def _entries(told: object) -> object:
    """A text may stand for the list, with semicolons between: as an environment variable has it."""
    return [entry.strip() for entry in told.split(";")] if isinstance(told, str) else told


def _a_rate(words: str) -> str:
    try:
        read_rate(words)
    except Misread as misread:
        raise Wrong(misread.what, misread.do) from misread
    return words


def _flag_pattern(pattern: str) -> str:
    if not pattern or "**" in pattern or ".." in Path(pattern).parts:
        raise Wrong(
            f"must name the flag file below the lab's root, or from the disk's root, not \"{pattern}\"",
            'Write for example "recording.flag" or "*/*/*/recording.flag"; "**" would search every folder.',
        )
    return pattern


class Guest(BaseModel):
    """One lab's acquisition machine."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    timezone: Annotated[str, AfterValidator(known_zone)] | None = None
    bandwidth: Annotated[list[str], BeforeValidator(_entries)] = Field(default_factory=lambda: ["unlimited"])
    recording: Annotated[str, AfterValidator(_flag_pattern)] | None = None
    while_recording: Annotated[str, AfterValidator(_a_rate)] = "0"
    recording_stale_hours: Annotated[float, Field(gt=0)] = 12
    processes: Annotated[int, Field(ge=1, le=64)] = 1
    nice: Annotated[int, Field(ge=0, le=19)] = 10
    nice_push: bool = False

    @model_validator(mode="after")
    def _readable(self) -> Self:
        try:
            _ = self.timetable
        except Misread as misread:
            raise Wrong(f"bandwidth: {misread.what}", misread.do) from misread
        return self

    @property
    def timetable(self) -> Timetable:
        return read_timetable(self.bandwidth, ZoneInfo(self.timezone) if self.timezone else None)

    @property
    def recording_rate(self) -> Rate:
        return read_rate(self.while_recording)
