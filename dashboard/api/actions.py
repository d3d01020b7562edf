"""The operations that change something.  What each does is in `acting`; here is what they take."""

from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from dashboard.access import Acting
from dashboard.api import acting
from dashboard.api.acting import Changed
from dashboard.api.asking import Why, Words, section
from dashboard.board import TheBoard
from transfer.ledger.prioritising import HIGHEST, RAISED

router = section("actions")

TargetName = Annotated[
    str,
    StringConstraints(
        pattern=r"^(?:(?:session|file|item|batch):[0-9]{1,19}|(?:lab|endpoint):[^\x00]{1,200})$",
        max_length=220,
    ),
    Field(
        description="`session:12`, `file:7`, `item:9`, `batch:3`, `lab:NAME` or `endpoint:NAME`",
        examples=["session:12", "lab:cortexlab"],
    ),
]


class Asked(BaseModel):
    """A target, and perhaps the reason, for the audit log."""

    model_config = ConfigDict(extra="forbid")

    target: TargetName
    why: Why | None = None


class Reasoned(Asked):
    """A target and the reason, which is shown wherever it waits."""

    why: Why


class AskedForAll(BaseModel):
    """Everything that is held, or what is held for `hold`."""

    model_config = ConfigDict(extra="forbid")

    hold: Words | None = Field(None, examples=["session-unknown-to-alyx"])
    why: Why | None = None


class Prioritised(Asked):
    """A target and its level: 0 is normal, the highest goes first."""

    level: int = Field(RAISED, ge=-HIGHEST, le=HIGHEST)


class Limited(Reasoned):
    """A lab machine and what may leave it: for `seconds`, `until` then, or until it is lifted."""

    rate: Words = Field(examples=["10MB/s", "100Mbit/s", "unlimited", "0"])
    seconds: int | None = Field(None, ge=1, le=366 * 86_400)
    until: AwareDatetime | None = None


class Timetabled(Reasoned):
    """A lab machine and its week, as the config's `bandwidth` is written; the first entry that fits holds."""

    entries: list[Words] = Field(
        min_length=1, max_length=50, examples=[["mon-fri 08:00-19:00 20MB/s", "otherwise unlimited"]]
    )


@router.post("/actions/release", summary="Let what is held go on from where it stands")
def release(board: TheBoard, person: Acting, asked: Asked) -> Changed:
    """No proof is skipped.  An endpoint is resumed."""
    return acting.release(board, person, asked.target, why=asked.why)


@router.post("/actions/release-all", summary="Let everything that is held go on")
def release_all(board: TheBoard, person: Acting, asked: AskedForAll) -> Changed:
    """Endpoints are resumed only where no `hold` is named."""
    return acting.release_all(board, person, hold=asked.hold, why=asked.why)


@router.post("/actions/retry", summary="Make it due now and forget its failures")
def retry(board: TheBoard, person: Acting, asked: Asked) -> Changed:
    """A held file that is named itself begins again from the start."""
    return acting.retry(board, person, asked.target, why=asked.why)


@router.post("/actions/cancel", summary="Stop moving it until it is released")
def cancel(board: TheBoard, person: Acting, asked: Reasoned) -> Changed:
    """What stands under its final name already finishes."""
    return acting.cancel(board, person, asked.target, why=asked.why)


@router.post("/actions/pause", summary="Keep it from moving until it is resumed")
def pause(board: TheBoard, person: Acting, asked: Reasoned) -> Changed:
    """A session, an endpoint, or a lab, which is paused at its repository: `endpoints` of the answer names that."""
    return acting.pause(board, person, asked.target, why=asked.why)


@router.post("/actions/resume", summary="Let what is paused go on at once")
def resume(board: TheBoard, person: Acting, asked: Asked) -> Changed:
    return acting.resume(board, person, asked.target, why=asked.why)


@router.post("/actions/prioritise", summary="Let it go before all of a lower level")
def prioritise(board: TheBoard, person: Acting, asked: Prioritised) -> Changed:
    """A session, a batch, or what a lab has to do now."""
    return acting.prioritise(board, person, asked.target, level=asked.level, why=asked.why)


@router.post("/actions/timetable", summary="Have a timetable hold instead of the config's")
def set_timetable(board: TheBoard, person: Acting, asked: Timetabled) -> Changed:
    """At once, for running workers too, in the hours of the lab's time zone; a person's limit is above it."""
    return acting.set_timetable(board, person, asked.target, asked.entries, why=asked.why)


@router.post("/actions/untimetable", summary="Let the timetable of the config hold again")
def clear_timetable(board: TheBoard, person: Acting, asked: Asked) -> Changed:
    return acting.clear_timetable(board, person, asked.target, why=asked.why)


@router.post("/actions/limit", summary="Limit what leaves a lab machine, at once")
def limit(board: TheBoard, person: Acting, asked: Limited) -> Changed:
    """Instead of the timetable, for running workers too."""
    return acting.limit(
        board,
        person,
        asked.target,
        asked.rate,
        seconds=asked.seconds,
        until=asked.until,
        why=asked.why,
    )


@router.post("/actions/unlimit", summary="Let the timetable hold again")
def unlimit(board: TheBoard, person: Acting, asked: Asked) -> Changed:
    return acting.unlimit(board, person, asked.target, why=asked.why)
