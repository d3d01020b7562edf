"""One session: where it stands and why, what may be done about it, and every file of it."""

from dataclasses import dataclass

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from dashboard.access import Role, Seeing
from dashboard.board import TheBoard
from dashboard.pages.numbers import RowNumber
from dashboard.pages.rendering import page
from transfer.errors import NothingFound
from transfer.ledger import reports
from transfer.ledger.finding import Target
from transfer.ledger.glance.sessions import files
from transfer.ledger.reports import SessionRow
from transfer.ledger.scopes import PAUSED
from transfer.ledger.why import why

router = APIRouter()

ROWS = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Name:
    """A session's folder in its parts."""

    subject: str
    date: str
    number: str


def named(path: str) -> Name:
    """The parts of `subject/YYYY-MM-DD/NNN`."""
    subject, day, number = [*path.split("/"), "", ""][:3]
    return Name(subject=subject, date=day, number=number)


def offered(row: SessionRow) -> tuple[str, ...]:
    """What may be done with a session that stands so; nothing that would change nothing."""
    if row.hold == PAUSED:
        return "resume", "cancel", "prioritise"
    doing: list[str] = []
    if row.hold is not None or row.held:
        doing.append("release")
    if row.waiting or row.unregistrable or row.error_text:
        doing.append("retry")
    if row.waiting:
        doing += ["pause", "cancel"]
    if row.waiting or row.held or not row.files:
        doing.append("prioritise")
    return tuple(doing)


@router.get("/sessions/{session}", response_class=HTMLResponse)
def show(
    request: Request, board: TheBoard, person: Seeing, session: RowNumber, after: str | None = None
) -> HTMLResponse:
    """One session."""
    found = reports.sessions(board.ledger, session=session)
    if not found:
        raise NothingFound("the ledger has no such session", to=f"session {session}")
    row = found[0]
    listed = files(board.ledger, session=session, after=after, limit=ROWS)
    return page(
        request,
        "session.html",
        person,
        row=row,
        name=named(row.session),
        told=why(board.ledger, Target(kind="session", name=row.session, id=row.id)),
        files=listed.rows,
        after=listed.after,
        begins_later=after is not None,
        target=f"session:{row.id}",
        doing=offered(row) if person.role >= Role.OPERATOR else (),
    )
