"""The list of sessions: looked for by subject, lab, days and state; the newest first, a page at a time.

What is looked for stands in the address, so that a search can be kept, sent and gone back to.  A wish that cannot be
understood is told beside its field and left out: the rest of the search holds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse

from dashboard.access import Seeing
from dashboard.board import TheBoard
from dashboard.pages.rendering import page
from transfer.ledger.glance.sessions import State, Wanted, sessions

router = APIRouter()

ROWS = 50

STATES = {
    State.MOVING: "on its way",
    State.HELD: "needs a person",
    State.ARRIVED: "arrived",
    State.NEW: "new",
}
"""A state, and its words for people."""

_DAYS = "is no day: write it as 2026-03-04."


@dataclass(frozen=True, kw_only=True, slots=True)
class Search:
    """The form as it was sent; empty where nothing is asked."""

    subject: str = ""
    lab: str = ""
    since: str = ""
    until: str = ""
    state: str = ""

    @property
    def filled(self) -> dict[str, str]:
        """The fields that ask for something."""
        told = {name: getattr(self, name).strip() for name in self.__dataclass_fields__}
        return {name: words for name, words in told.items() if words}


@dataclass(frozen=True, kw_only=True, slots=True)
class Chip:
    """One wish that holds, and the address of the same search without it."""

    name: str
    words: str
    without: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What a search means: the wishes that were understood, and a sentence for each field that was not."""

    wanted: Wanted
    chips: tuple[Chip, ...]
    problems: Mapping[str, str]


def read(search: Search) -> Reading:
    """Understand a search."""
    filled, problems = search.filled, {}
    meant: dict[str, Any] = {}
    for name, words in filled.items():
        try:
            meant[name] = _understood(name, words)
        except ValueError as error:
            problems[name] = f'"{words[:40]}" {error}'
    chips = tuple(
        Chip(name=name, words=_in_words(name, filled[name]), without=address(filled, but=name))
        for name in meant
    )
    return Reading(wanted=Wanted(**meant), chips=chips, problems=problems)


def _understood(name: str, words: str) -> str | date | State:
    """Raises ValueError with the rest of a sentence."""
    if not words.isprintable():
        raise ValueError("holds characters that no name has.")
    match name:
        case "since" | "until":
            try:
                return date.fromisoformat(words)
            except ValueError as error:
                raise ValueError(_DAYS) from error
        case "state":
            if words not in set(State):
                raise ValueError(f"is no state: {', '.join(State)}.")
            return State(words)
        case _:
            return words


def _in_words(name: str, words: str) -> str:
    match name:
        case "subject":
            return f"subject {words}…"
        case "since":
            return f"from {words}"
        case "until":
            return f"to {words}"
        case "state":
            return STATES[State(words)]
        case _:
            return f"lab {words}"


def address(filled: Mapping[str, str], *, but: str | None = None, **more: str) -> str:
    """The address of a search, without one of its wishes or with something more."""
    kept = {name: words for name, words in filled.items() if name != but} | more
    return f"/sessions?{urlencode(kept)}" if kept else "/sessions"


def searched(subject: str = "", lab: str = "", since: str = "", until: str = "", state: str = "") -> Search:
    """The search that an address holds."""
    return Search(subject=subject, lab=lab, since=since, until=until, state=state)


@router.get("/sessions", response_class=HTMLResponse)
def show(
    request: Request,
    board: TheBoard,
    person: Seeing,
    search: Annotated[Search, Depends(searched)],
    after: str | None = None,
) -> HTMLResponse:
    """The sessions that are looked for."""
    reading = read(search)
    found = sessions(board.ledger, reading.wanted, after=after, limit=ROWS)
    filled = search.filled
    return page(
        request,
        "sessions.html",
        person,
        search=search,
        reading=reading,
        rows=found.rows,
        older=address(filled, after=found.after) if found.after else None,
        newest=address(filled) if after else None,
        labs=sorted(board.settings.labs),
        states=STATES,
        state_of=state_of,
    )


def state_of(row: Any) -> str:
    """One word for where a session stands, as the search has it."""
    if row.hold is not None or row.held:
        return State.HELD
    if row.waiting:
        return State.MOVING
    if row.files:
        return State.ARRIVED
    return State.NEW
