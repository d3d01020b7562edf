"""One file: the sentence why, how far along the journey it is, what was proved, and where its time went."""

from dataclasses import dataclass

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from dashboard.access import Role, Seeing
from dashboard.board import TheBoard
from dashboard.pages.journey_bar import shares, stretches
from dashboard.pages.numbers import RowNumber
from dashboard.pages.rendering import page
from transfer.errors import NothingFound
from transfer.ledger import reports
from transfer.ledger.finding import Target
from transfer.ledger.glance.timeline import timeline
from transfer.ledger.reports import FileRow
from transfer.ledger.why import why
from transfer.status import ENDS, JOURNEY, OPEN, Status

router = APIRouter()


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One of the seven facts.  `standing`: proved, now, or to come."""

    name: str
    standing: str


def steps(status: str) -> tuple[Step, ...]:
    """How far along the journey a file is; a file that left it, or never began, has no step of its own."""
    if status not in {one.value for one in JOURNEY}:
        return tuple(Step(name=one.value, standing="to come") for one in JOURNEY)
    here = JOURNEY.index(Status(status))
    words = ("proved", "now", "to come")
    return tuple(
        Step(name=one.value, standing=words[(place >= here) + (place > here)])
        for place, one in enumerate(JOURNEY)
    )


def offered(row: FileRow) -> tuple[str, ...]:
    """What may be done with a file that stands so."""
    if row.status in {one.value for one in ENDS}:
        return ()
    if row.status not in {one.value for one in OPEN}:
        return ("retry",) if row.unregistrable and row.gone_at is None else ()
    return ("release", "retry") if row.hold is not None else ("retry", "cancel")


@router.get("/files/{dataset}", response_class=HTMLResponse)
def show(request: Request, board: TheBoard, person: Seeing, dataset: RowNumber) -> HTMLResponse:
    """One file."""
    found = reports.files(board.ledger, dataset=dataset)
    if not found:
        raise NothingFound("the ledger has no such file", to=f"file {dataset}")
    row = found[-1]
    way = timeline(board.ledger, dataset)
    now = board.ledger.moment()
    return page(
        request,
        "file.html",
        person,
        row=row,
        told=why(board.ledger, Target(kind="file", name=row.relative_path, id=row.id)),
        steps=steps(row.status),
        way=way,
        stretches=stretches(way.spans, now),
        shares=shares(way.spans, now),
        target=f"file:{row.id}",
        doing=offered(row) if person.role >= Role.OPERATOR else (),
    )
