"""The machines and what drives them: endpoints, workers, the schedule, bandwidth; and what people did."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from config.standings import standings
from config.upcoming import schedule_of
from dashboard.access import Role, Seeing
from dashboard.api.asking import Words
from dashboard.board import TheBoard
from dashboard.pages.rendering import page
from transfer.ledger.bandwidth import timetables
from transfer.ledger.glance.audit import acts
from transfer.ledger.glance.crew import workers
from transfer.ledger.glance.places import places

router = APIRouter()


@router.get("/endpoints", response_class=HTMLResponse)
def show_endpoints(request: Request, board: TheBoard, person: Seeing) -> HTMLResponse:
    """Each place: how it stands, its pace and why, what it can do, and since when we know."""
    labs = {lab.repository: name for name, lab in board.settings.labs.items()}
    may_act = person.role >= Role.OPERATOR
    return page(request, "endpoints.html", person, places=places(board.ledger), labs=labs, may_act=may_act)


@router.get("/workers", response_class=HTMLResponse)
def show_workers(request: Request, board: TheBoard, person: Seeing) -> HTMLResponse:
    """Each worker of the last week, and what it holds."""
    known = workers(board.ledger)
    versions = sorted({one.version for one in known if one.standing == "alive" and one.version})
    return page(request, "workers.html", person, workers=known, versions=versions)


@router.get("/schedule", response_class=HTMLResponse)
def show_schedule(request: Request, board: TheBoard, person: Seeing) -> HTMLResponse:
    """Each round: when it was walked, what came of it, when it is due."""
    may_act = person.role >= Role.OPERATOR
    return page(
        request, "schedule.html", person, rounds=schedule_of(board.settings, board.ledger), may_act=may_act
    )


@router.get("/bandwidth", response_class=HTMLResponse)
def show_bandwidth(request: Request, board: TheBoard, person: Seeing) -> HTMLResponse:
    """What may leave each lab's machine now, why, and until when."""
    labs = board.settings.labs
    by_people = timetables(board.ledger)
    return page(
        request,
        "bandwidth.html",
        person,
        standings=standings(board.settings, board.ledger, sorted(labs)),
        guests={name: lab.guest for name, lab in labs.items()},
        by_people={
            name: by_people[lab.repository] for name, lab in labs.items() if lab.repository in by_people
        },
        may_act=person.role >= Role.OPERATOR,
    )


@router.get("/audit", response_class=HTMLResponse)
def show_audit(
    request: Request,
    board: TheBoard,
    person: Seeing,
    by: Annotated[Words | None, Query()] = None,
    after: str | None = None,
) -> HTMLResponse:
    """What people did, the newest first."""
    found = acts(board.ledger, person=by, after=after)
    return page(
        request,
        "audit.html",
        person,
        rows=found.rows,
        after=found.after,
        by=by,
        begins_later=after is not None,
    )
