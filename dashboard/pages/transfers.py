"""Transfers: the batches that move at this moment, the last ones, and one batch with its files."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from dashboard.access import Role, Seeing
from dashboard.board import TheBoard
from dashboard.pages.numbers import RowNumber
from dashboard.pages.rendering import page
from transfer.ledger.glance.sessions import files
from transfer.ledger.glance.transfers import Transfer, moving, transfer, transfers

router = APIRouter()

ROWS = 50
FILES = 100


def offered(one: Transfer) -> tuple[str, ...]:
    """What may be done with a batch that stands so."""
    if not one.open:
        return ()
    if one.doing == "cancelled" or one.files_held:
        return "release", "prioritise"
    return "retry", "cancel", "prioritise"


@router.get("/transfers", response_class=HTMLResponse)
def show(
    request: Request, board: TheBoard, person: Seeing, only: str = "", after: str | None = None
) -> HTMLResponse:
    """What moves now, and the batches before it; `only=open` leaves out those that are done."""
    listed = transfers(board.ledger, open_only=only == "open", after=after, limit=ROWS)
    return page(
        request,
        "transfers.html",
        person,
        moving=moving(board.ledger),
        rows=listed.rows,
        after=listed.after,
        begins_later=after is not None,
        open_only=only == "open",
    )


@router.get("/transfers/{batch}", response_class=HTMLResponse)
def show_one(
    request: Request, board: TheBoard, person: Seeing, batch: RowNumber, after: str | None = None
) -> HTMLResponse:
    """One batch and its files."""
    one = transfer(board.ledger, batch)
    listed = files(board.ledger, batch=batch, after=after, limit=FILES)
    return page(
        request,
        "transfer.html",
        person,
        one=one,
        files=listed.rows,
        after=listed.after,
        begins_later=after is not None,
        target=f"batch:{one.id}",
        doing=offered(one) if person.role >= Role.OPERATOR else (),
    )
