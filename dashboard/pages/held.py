"""Held: everything that waits for a person, one group for each cause, with what to do about it.

A group's button reaches everything that is held for the cause, also what is not shown; the boxes reach those that are
marked.  Endpoints are told first: with one of them much goes on at once.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from dashboard.access import Role, Seeing
from dashboard.board import TheBoard
from dashboard.pages.rendering import page
from transfer.errors import BY_NAME, CATALOGUE, TransferError
from transfer.ledger import incidents, reports
from transfer.ledger.incidents import Incident
from transfer.ledger.reports import Check, EndpointRow, FileRow, Held, SessionRow
from transfer.ledger.scopes import CANCELLED, PAUSED

router = APIRouter()

SHOWN = 200
"""Rows of each kind that are read; the counts beside them are of all."""

_BY_PEOPLE = {
    CANCELLED: ("Cancelled by a person", "Release what is to go on."),
    PAUSED: ("Paused by a person", "Resume what is to go on."),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One thing that waits: its name, its page, what an action calls it, why it waits and since when."""

    kind: str
    name: str
    page: str | None
    target: str
    text: str
    since: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """What waits for one cause.  `target` names all of it for an action, None where each is named by itself."""

    key: str
    title: str
    do: str
    code: str | None
    action: str
    target: str | None
    entries: tuple[Entry, ...]


def groups(found: Held, open_now: Sequence[Incident]) -> tuple[Group, ...]:
    """Everything that waits, grouped; the largest cause of files and sessions first."""
    causes: dict[str, list[Entry]] = defaultdict(list)
    for hold, entry in _held(found):
        causes[hold].append(entry)
    by_cause = [_group(hold, entries) for hold, entries in causes.items()]
    by_cause.sort(key=lambda group: (-len(group.entries), group.key))
    return (*_endpoints(found.endpoints, open_now), *by_cause, *_troubles(found.troubles))


def _held(found: Held) -> Iterator[tuple[str, Entry]]:
    for session in found.sessions:
        yield session.hold or "", _session(session)
    for file in found.files:
        yield file.hold or "", _file(file, file.hold_text)


def _session(row: SessionRow) -> Entry:
    return Entry(
        kind="session",
        name=row.session,
        page=f"/sessions/{row.id}",
        target=f"session:{row.id}",
        text=row.hold_text or _UNTOLD,
        since=row.looked_at,
    )


def _file(row: FileRow, text: str | None) -> Entry:
    return Entry(
        kind="file",
        name=f"{row.session}/{row.relative_path}",
        page=f"/files/{row.id}",
        target=f"file:{row.id}",
        text=text or _UNTOLD,
        since=row.since,
    )


_UNTOLD = "No reason was written down."


def _group(hold: str, entries: Sequence[Entry]) -> Group:
    kind: type[TransferError] | None = BY_NAME.get(hold)
    title, do = _BY_PEOPLE.get(hold, (kind.cause if kind else hold, kind.remedy if kind else _READ))
    return Group(
        key=hold,
        title=title,
        do=do,
        code=kind.code if kind else None,
        action="release",
        target=f"hold:{hold}",
        entries=tuple(entries),
    )


_READ = "Read why it waits, cure that, then release it."


def _endpoints(rows: Sequence[EndpointRow], open_now: Sequence[Incident]) -> Iterator[Group]:
    """Each place that a person, or a failure that only a person can cure, keeps from being used."""
    code_of = {one.endpoint: one.code for one in open_now}
    for row in rows:
        kind = CATALOGUE.get(code_of.get(row.name, ""))
        by = (row.paused_by or "").removeprefix("person:")
        yield Group(
            key=f"endpoint {row.name}",
            title=f"{row.name} is paused by {by}",
            do=kind.remedy if kind else "Resume it when the reason is over.",
            code=kind.code if kind else None,
            action="resume",
            target=f"endpoint:{row.name}",
            entries=(
                Entry(
                    kind="endpoint",
                    name=row.name,
                    page="/endpoints",
                    target=f"endpoint:{row.name}",
                    text=row.pause_reason or _UNTOLD,
                    since=None,
                ),
            ),
        )


def _troubles(rows: Sequence[FileRow]) -> Iterator[Group]:
    """Files that cannot move as they are: each carries its own coded reason, and has no item to release."""
    causes: dict[str, list[FileRow]] = defaultdict(list)
    for row in rows:
        causes[(row.trouble or "")[1:7]].append(row)
    for code, files in causes.items():
        kind = CATALOGUE.get(code)
        yield Group(
            key=f"cannot move {code}",
            title=kind.cause if kind else "Cannot be moved as it is",
            do=kind.remedy if kind else _READ,
            code=kind.code if kind else None,
            action="retry",
            target=None,
            entries=tuple(_file(row, (row.trouble or "").removeprefix(f"[{code}] ")) for row in files),
        )


@router.get("/held", response_class=HTMLResponse)
def show(request: Request, board: TheBoard, person: Seeing) -> HTMLResponse:
    """What waits for a person."""
    found = reports.held(board.ledger, limit=SHOWN)
    check: Check = reports.check(board.ledger)
    return page(
        request,
        "held.html",
        person,
        groups=groups(found, incidents.current(board.ledger)),
        check=check,
        shown=SHOWN,
        may_act=person.role >= Role.OPERATOR,
    )
