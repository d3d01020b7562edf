"""Good night or bad night: the first page, the monitor's question, what is held, incidents; and who asks."""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Annotated

from fastapi import Query

from config.upcoming import with_rounds
from dashboard.access import Seeing
from dashboard.api.asking import After, Limit, section
from dashboard.board import TheBoard
from transfer.ledger import incidents as kept
from transfer.ledger import reports
from transfer.ledger.glance import overview as glanced
from transfer.ledger.glance.overview import Overview
from transfer.ledger.glance.pages import Page
from transfer.ledger.glance.sessions import files
from transfer.ledger.incidents import Incident
from transfer.ledger.reports import Check, FileRow, Held

router = section("overview")

_YEAR = 366 * 86_400


@dataclass(frozen=True, kw_only=True, slots=True)
class Checked:
    """The monitor's answer: `fine` is false where somebody must look."""

    fine: bool
    check: Check


@dataclass(frozen=True, kw_only=True, slots=True)
class WhoAmI:
    """Who asks, and what they may do: viewer, operator or admin."""

    name: str
    role: str


@router.get("/overview", summary="Everything on the first page")
def overview(board: TheBoard, _: Seeing) -> Overview:
    found = glanced.overview(board.ledger)
    return replace(found, check=with_rounds(found.check, board.settings, board.ledger))


@router.get("/check", summary="Whether somebody must look")
def check(
    board: TheBoard,
    _: Seeing,
    max_age_seconds: Annotated[
        int, Query(ge=1, le=10 * _YEAR, description="How old the oldest unsent file may be.")
    ] = 86_400,
) -> Checked:
    plain = reports.check(board.ledger, max_age=timedelta(seconds=max_age_seconds))
    found = with_rounds(plain, board.settings, board.ledger)
    return Checked(fine=found.fine, check=found)


@router.get("/held", summary="What waits for a person")
def held(board: TheBoard, _: Seeing, limit: Limit = 200) -> Held:
    """At most `limit` of each kind; `/held/files` has the files page by page."""
    return reports.held(board.ledger, limit=limit)


@router.get("/held/files", summary="Held files")
def held_files(board: TheBoard, _: Seeing, after: After = None, limit: Limit = 100) -> Page[FileRow]:
    return files(board.ledger, held=True, after=after, limit=limit)


@router.get("/incidents", summary="One cause behind many failures: open ones, and the last ones")
def incidents(
    board: TheBoard,
    _: Seeing,
    days: Annotated[int, Query(ge=0, le=3650, description="Also those that ended so many days ago.")] = 0,
    limit: Limit = 100,
) -> Page[Incident]:
    if days == 0:
        return Page(rows=tuple(kept.current(board.ledger)[:limit]))
    since = board.ledger.moment() - timedelta(days=days)
    return Page(rows=tuple(kept.recent(board.ledger, since=since, limit=limit)))


@router.get("/whoami", summary="Who asks, and what they may do")
def whoami(person: Seeing) -> WhoAmI:
    return WhoAmI(name=person.name, role=person.role.name.lower())
