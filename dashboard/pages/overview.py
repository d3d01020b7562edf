"""The first page: good night or bad night, what needs a person, what arrived, what waits, what moves."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from config.upcoming import with_rounds
from dashboard.access import Role, Seeing
from dashboard.board import TheBoard
from dashboard.pages.rendering import count, page
from transfer.ledger.glance.overview import Hour, Overview, Route, overview
from transfer.ledger.health import Check

router = APIRouter()


def troubles(check: Check) -> tuple[str, ...]:
    """What makes a night a bad one, each in a few words; nothing after a good one."""
    return tuple(_troubles(check))


def _troubles(check: Check) -> Iterator[str]:
    if check.incidents:
        yield _count(len(check.incidents), "incident waits", "incidents wait")
    if check.held_files + check.troubles:
        yield _count(check.held_files + check.troubles, "file is held", "files are held")
    if check.held_sessions:
        yield _count(check.held_sessions, "session is held", "sessions are held")
    if check.paused:
        yield f"paused: {', '.join(check.paused)}"
    if check.stuck:
        yield _count(check.stuck, "thing is due and nobody takes it", "things are due and nobody takes them")
    if check.too_old:
        yield "the oldest file has waited too long"
    if check.disk_full:
        yield "the disk with the ledger is full"
    if check.unwalked:
        yield f"{_count(len(check.unwalked), 'round is', 'rounds are')} overdue: does a beat run?"
    if check.away:
        yield f"the data folder is not there: {', '.join(check.away)}"
    if check.rows_without_owner:
        yield _count(check.rows_without_owner, "row has no owner", "rows have no owner")


def headline(found: Overview) -> str:
    """Good night or bad night, in one sentence."""
    wrong = troubles(found.check)
    if wrong:
        return f"Somebody must look: {'; '.join(wrong)}."
    return "All is quiet." if found.empty else "A good night: nothing needs a person."


def _count(number: int, one: str, many: str) -> str:
    return f"{count(number)} {one if number == 1 else many}"


def curve(routes: Iterable[Route]) -> tuple[Hour, ...]:
    """All routes together, hour by hour."""
    files: dict[datetime, int] = defaultdict(int)
    sizes: dict[datetime, int] = defaultdict(int)
    for route in routes:
        for hour in route.curve:
            files[hour.at] += hour.files
            sizes[hour.at] += hour.bytes
    return tuple(Hour(at=at, files=files[at], bytes=sizes[at]) for at in sorted(files))


def points(hours: Iterable[Hour], now: datetime) -> list[tuple[int, int]]:
    """For the picture: (seconds since 1970, bytes) of every hour of the week, those without arrivals as 0."""
    known = {int(hour.at.timestamp()): hour.bytes for hour in hours}
    last = int(now.timestamp()) // 3600 * 3600
    return [(at, known.get(at, 0)) for at in range(last - 7 * 24 * 3600, last + 1, 3600)]


def days(hours: Iterable[Hour]) -> list[tuple[str, int, int]]:
    """For the table beside the picture: (day in UTC, files, bytes)."""
    files: dict[str, int] = defaultdict(int)
    sizes: dict[str, int] = defaultdict(int)
    for hour in hours:
        day = hour.at.date().isoformat()
        files[day] += hour.files
        sizes[day] += hour.bytes
    return [(day, files[day], sizes[day]) for day in sorted(files)]


def shown(found: Overview) -> dict[str, Any]:
    """What the page's parts are made of, but for who looks."""
    hours = curve(found.routes)
    return {
        "found": found,
        "now": found.now,
        "headline": headline(found),
        "troubles": troubles(found.check),
        "points": points(hours, found.now),
        "days": days(hours),
    }


@router.get("/", response_class=HTMLResponse)
def show(request: Request, board: TheBoard, person: Seeing) -> HTMLResponse:
    """The first page."""
    found = overview(board.ledger)
    values = shown(replace(found, check=with_rounds(found.check, board.settings, board.ledger)))
    acts = person.role >= Role.OPERATOR
    return page(request, "overview.html", person, **values, acts=acts, labs=sorted(board.settings.labs))
