"""What changes by itself: one stream of events, whose data are the fragments of the pages.

    headline   good night or bad night in one sentence, for those who hear the page
    night      the same where it is seen, with what arrived
    matters    what needs a person, with buttons for those who may act
    moving     the transfers that move at this moment
    routes     what arrived and waits, by lab and store
    curve      the hours of the week, to be drawn; `days` says the same in a table
    places     how each place stands
    failures   by cause

PROMISES: however many pages are open, the ledger is asked at most once in `EVERY` seconds; only what changed is sent;
a stream ends when the dashboard stops, when the page goes, and soon after who looks may look no more.  While the ledger
is away the last fragments stay, under a line that says so.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.sse import EventSourceResponse, ServerSentEvent
from markupsafe import escape

from config.upcoming import with_rounds
from dashboard.access import Role, Seeing, still_in
from dashboard.board import Board, TheBoard
from dashboard.pages.overview import headline, shown
from dashboard.pages.rendering import fragment
from transfer.errors import TransferError
from transfer.ledger.glance.overview import Overview, overview

router = APIRouter()

EVERY = 2.0
"""Seconds between two looks at the ledger."""

_STILL_IN = 30.0  # seconds between two looks whether who began the stream may still see it
_KEY = "watch"


@dataclass(frozen=True, slots=True)
class Part:
    """A fragment, and what it shows: an age in it grows in the browser and makes it no new one."""

    html: str
    shows: object


Parts = Mapping[str, Part]


class Watch:
    """What all streams of one application share."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._one_at_a_time = asyncio.Lock()
        self._looked_at = float("-inf")
        self._seen: Mapping[bool, Parts] = {acts: {} for acts in (False, True)}

    async def now(self, *, acts: bool) -> Parts:
        """The fragments for those who may act or may only look, at most `EVERY` seconds old."""
        async with self._one_at_a_time:
            if time.monotonic() - self._looked_at >= EVERY:
                try:
                    self._seen = await run_in_threadpool(self._look)
                finally:  # a page that goes meanwhile does not make the next one ask anew
                    self._looked_at = time.monotonic()
            return self._seen[acts]

    def _look(self) -> Mapping[bool, Parts]:
        try:
            found = overview(self._board.ledger)
            check = with_rounds(found.check, self._board.settings, self._board.ledger)
        except TransferError as error:
            away = _away(error)
            return {acts: {**parts, **away} for acts, parts in self._seen.items()}
        found = replace(found, check=check)
        values = shown(found)
        everybodys = _parts(found, values)
        return {acts: {**everybodys, "matters": _matters(found, values, acts=acts)} for acts in self._seen}


def _parts(found: Overview, values: Mapping[str, object]) -> Parts:
    said = headline(found)
    night = fragment("part_night.html", values)
    shows: Mapping[str, object] = {
        "moving": found.moving,
        "routes": found.routes,
        "curve": values["points"],
        "days": values["days"],
        "places": found.places,
        "failures": (found.failures, found.causes),
    }
    return {
        "headline": Part(str(escape(said)), said),
        "night": Part(night, night),
        **{name: Part(fragment(f"part_{name}.html", values), show) for name, show in shows.items()},
    }


def _matters(found: Overview, values: Mapping[str, object], *, acts: bool) -> Part:
    html = fragment("part_matters.html", {**values, "acts": acts})
    return Part(html, (found.matters, found.more_matters))


def _away(error: TransferError) -> Parts:
    said = "What is shown is not new: the ledger cannot be asked."
    html = fragment("part_away.html", {"headline": said, "sentence": error.sentence})
    return {"headline": Part(said, said), "night": Part(html, html)}


def watch_of(request: Request, board: Board) -> Watch:
    """The application's one watch, made when the first page asks."""
    state = request.app.state
    if not hasattr(state, _KEY):
        setattr(state, _KEY, Watch(board))
    watch = getattr(state, _KEY)
    assert isinstance(watch, Watch)
    return watch


async def _still_in(request: Request) -> bool | None:
    """Whether who looks still may; None while the ledger, which knows it, is away."""
    try:
        return await run_in_threadpool(still_in, request)
    except TransferError:
        return None


@router.get("/live/overview", response_class=EventSourceResponse)
async def live(request: Request, board: TheBoard, person: Seeing) -> AsyncIterator[ServerSentEvent]:
    """Fragments as they change, until the page goes."""
    watch = watch_of(request, board)
    acts = person.role >= Role.OPERATOR
    sent: dict[str, object] = {}
    asked_at = time.monotonic()
    while True:
        if time.monotonic() - asked_at >= _STILL_IN:
            still = await _still_in(request)
            if still is False:
                return
            if still:
                asked_at = time.monotonic()
        for name, part in (await watch.now(acts=acts)).items():
            if name not in sent or sent[name] != part.shows:
                sent[name] = part.shows
                yield ServerSentEvent(raw_data=part.html, event=name)
        await asyncio.sleep(EVERY)
