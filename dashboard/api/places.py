"""Endpoints, labs, and what may be sent from each lab machine."""

from dataclasses import dataclass
from datetime import datetime

from config.sections import Lab
from config.standings import standings
from dashboard.access import Seeing
from dashboard.api.asking import Name, section
from dashboard.board import TheBoard
from transfer.bandwidth import Origin, Recording, Standing, Written
from transfer.errors import NothingFound
from transfer.ledger.bandwidth import timetables
from transfer.ledger.glance.pages import Page
from transfer.ledger.glance.places import Place
from transfer.ledger.glance.places import places as all_places

router = section("places")


@dataclass(frozen=True, kw_only=True, slots=True)
class LabRow:
    """One lab of the config.  `timezone` is that of its timetable."""

    name: str
    repository: str
    store: str
    work: str
    timezone: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Bandwidth:
    """What may be sent from one lab machine now: bytes a second, null without a limit, 0 for nothing at all.

    `timetable` is the one that holds, as it was written; its hours are those of `timezone`.  `timetable_by` is the
    person who wrote it, null for the config's; `config_timetable` is that.
    """

    lab: str
    repository: str
    rate: int | None
    origin: Origin
    because: str
    changes_at: datetime | None
    then: int | None
    recording: Recording | None
    timetable: tuple[str, ...]
    timezone: str | None
    timetable_by: str | None
    config_timetable: tuple[str, ...]


@router.get("/endpoints", summary="Every place: breaker, pace, what it can do")
def endpoints(board: TheBoard, _: Seeing) -> Page[Place]:
    return Page(rows=all_places(board.ledger))


@router.get("/endpoints/{name}", summary="One place")
def endpoint(board: TheBoard, _: Seeing, name: Name) -> Place:
    for place in all_places(board.ledger):
        if place.name == name:
            return place
    raise NothingFound("there is no such endpoint", to=name)


@router.get("/labs", summary="The labs of the config")
def labs(board: TheBoard, _: Seeing) -> Page[LabRow]:
    return Page(
        rows=tuple(
            LabRow(
                name=name,
                repository=lab.repository,
                store=lab.store,
                work=lab.work,
                timezone=lab.guest.timezone,
            )
            for name, lab in board.settings.labs.items()
        )
    )


@router.get("/bandwidth", summary="What may be sent from each lab machine now")
def bandwidth(board: TheBoard, _: Seeing) -> Page[Bandwidth]:
    labs = board.settings.labs
    found = standings(board.settings, board.ledger, labs)
    by_people = timetables(board.ledger)
    return Page(
        rows=tuple(_row(name, labs[name], one, by_people.get(labs[name].repository)) for name, one in found)
    )


def _row(name: str, lab: Lab, found: Standing, written: Written | None) -> Bandwidth:
    return Bandwidth(
        lab=name,
        repository=lab.repository,
        timetable=written.entries if written else tuple(lab.guest.bandwidth),
        timezone=written.timezone if written else lab.guest.timezone,
        timetable_by=written.by if written else None,
        config_timetable=tuple(lab.guest.bandwidth),
        rate=found.rate,
        origin=found.origin,
        because=found.because,
        changes_at=found.changes_at,
        then=found.then,
        recording=found.recording,
    )
