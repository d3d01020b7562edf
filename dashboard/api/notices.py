"""Who is told what needs a person, and how it goes with each; which labs are silenced; a test, and silence."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict, Field

from config import wiring
from dashboard.access import Acting, Administering, Person, Seeing
from dashboard.api.asking import Why, Words, section
from dashboard.api.problems import Problem
from dashboard.board import Board, TheBoard
from transfer.errors import NothingFound, NoticeTargetsWrong
from transfer.ledger import notices
from transfer.ledger.notices import Failing
from transfer.notices import Silence
from transfer.notifying import Notifier, try_all

router = section("notices")

UNUSABLE = {"model": Problem, "description": "The file of targets cannot be used."}

LONGEST = 366 * 24.0
"""Hours of the longest silence that ends by itself."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TargetRow:
    """Somebody to tell, by kind and host.  `labs` is empty for all of them; `failing` while it is not reached."""

    name: str
    labs: tuple[str, ...]
    failing: Failing | None


@dataclass(frozen=True, kw_only=True, slots=True)
class NoticesNow:
    """Everything about notices.  `trouble` says why the file of targets cannot be used, if it cannot.

    Without a file of targets `on` is false, and nobody is told anything.
    """

    on: bool
    trouble: str | None
    targets: tuple[TargetRow, ...]
    silences: tuple[Silence, ...]
    at: str
    quiet: str | None
    timezone: str
    at_once_minutes: float


@dataclass(frozen=True, kw_only=True, slots=True)
class TriedRow:
    """Whether the test message was sent to this target, and why not."""

    target: str
    sent: bool
    why: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Tested:
    """Every target that was tried."""

    rows: tuple[TriedRow, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Spoken:
    """Whether a silence was there to be ended."""

    lab: str
    ended: bool


class SilencedFor(BaseModel):
    """A lab, for how long (without `hours` until it is ended), and why."""

    model_config = ConfigDict(extra="forbid")

    lab: Words
    why: Why
    hours: float | None = Field(None, gt=0, le=LONGEST)


class SpokenOf(BaseModel):
    """A lab that is silenced."""

    model_config = ConfigDict(extra="forbid")

    lab: Words
    why: Why | None = None


def now(board: Board) -> NoticesNow:
    """Everything about notices."""
    told = board.settings.notices
    notifier = wiring.notifier(board.settings)
    try:
        targets, trouble = _targets(board, notifier), None
    except NoticeTargetsWrong as error:
        targets, trouble = (), error.sentence
    return NoticesNow(
        on=notifier is not None,
        trouble=trouble,
        targets=targets,
        silences=tuple(notices.silenced(board.ledger)),
        at=told.at,
        quiet=told.quiet,
        timezone=told.timezone,
        at_once_minutes=told.at_once_minutes,
    )


def _targets(board: Board, notifier: Notifier | None) -> tuple[TargetRow, ...]:
    if notifier is None:
        return ()
    failing = {one.target: one for one in notices.failing(board.ledger)}
    return tuple(
        TargetRow(name=one.name, labs=tuple(sorted(one.labs)), failing=failing.get(one.id))
        for one in notifier.messenger().targets
    )


def try_everybody(board: Board, person: Person) -> Tested:
    """Send everybody a test message.  Raises `NothingFound` where nobody is to be told, `NoticeTargetsWrong`."""
    notifier = wiring.notifier(board.settings)
    if notifier is None:
        do = "Set targets_file in [notices]; docs/notices.md shows how."
        raise NothingFound("the config says nobody is to be told", do=do)
    tried = try_all(board.ledger.acting_as(person.actor), notifier, by=person.name)
    return Tested(
        rows=tuple(
            TriedRow(target=one.name, sent=one.error is None, why=one.error.what if one.error else None)
            for one in tried
        )
    )


def silence_lab(board: Board, person: Person, lab: str, *, hours: float | None, why: str) -> Silence:
    """Tell nobody of a lab for so long, or until it is ended.  Raises `NothingFound`."""
    ledger = board.ledger.acting_as(person.actor)
    until: datetime | None = ledger.moment() + timedelta(hours=hours) if hours else None
    return notices.silence(ledger, _lab(board, lab), until=until, why=why)


def unsilence_lab(board: Board, person: Person, lab: str, *, why: str | None = None) -> bool:
    """Speak of a lab again; False where it was not silenced.  Raises `NothingFound`."""
    return notices.unsilence(board.ledger.acting_as(person.actor), _lab(board, lab), why=why)


def _lab(board: Board, name: str) -> str:
    if name not in board.settings.labs:
        known = ", ".join(board.settings.labs) or "none"
        raise NothingFound("the config has no such lab", to=name, do=f"There are: {known}.")
    return name


@router.get("/notices", summary="Who is told what needs a person, and how it goes")
def notices_now(board: TheBoard, _: Seeing) -> NoticesNow:
    return now(board)


@router.post("/notices/test", summary="Send everybody a test message", responses={409: UNUSABLE})
def try_notices(board: TheBoard, person: Administering) -> Tested:
    return try_everybody(board, person)


@router.post("/notices/silence", summary="Tell nobody of a lab for a while")
def silence(board: TheBoard, person: Acting, asked: SilencedFor) -> Silence:
    """What still stands afterwards is told then."""
    return silence_lab(board, person, asked.lab, hours=asked.hours, why=asked.why)


@router.post("/notices/unsilence", summary="Speak of a lab again")
def unsilence(board: TheBoard, person: Acting, asked: SpokenOf) -> Spoken:
    return Spoken(lab=asked.lab, ended=unsilence_lab(board, person, asked.lab, why=asked.why))
