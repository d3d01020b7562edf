"""What changes by itself: one stream of events, whose data are the fragments of the pages.

    night    the line that tells a good night from a bad one
    moving   the transfers that move at this moment

PROMISES: however many pages are open, the ledger is asked at most once in `EVERY` seconds; only what changed is sent;
a stream ends when the dashboard stops, when the page goes, and soon after who looks may look no more.  While the ledger
is away the last fragments stay, under a line that says so.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.sse import EventSourceResponse, ServerSentEvent

from dashboard.access import Seeing, still_in
from dashboard.board import Board, TheBoard
from dashboard.pages.overview import troubles
from dashboard.pages.rendering import fragment
from transfer.errors import TransferError
from transfer.ledger.glance.overview import overview

router = APIRouter()

EVERY = 2.0
"""Seconds between two looks at the ledger."""

_STILL_IN = 30.0  # seconds between two looks whether who began the stream may still see it
_KEY = "watch"


class Watch:
    """What all streams of one application share."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._one_at_a_time = asyncio.Lock()
        self._looked_at = float("-inf")
        self._seen: Mapping[str, str] = {}

    async def now(self) -> Mapping[str, str]:
        """The fragments by their names, at most `EVERY` seconds old."""
        async with self._one_at_a_time:
            if time.monotonic() - self._looked_at >= EVERY:
                self._seen = await run_in_threadpool(self._look)
                self._looked_at = time.monotonic()
            return self._seen

    def _look(self) -> Mapping[str, str]:
        try:
            found = overview(self._board.ledger)
        except TransferError as error:
            said = {"sentence": error.sentence}
            return {**self._seen, "night": fragment("part_away.html", said)}
        values = {"found": found, "troubles": troubles(found.check), "now": found.now}
        return {name: fragment(f"part_{name}.html", values) for name in ("night", "moving")}


def watch_of(request: Request, board: Board) -> Watch:
    """The application's one watch, made when the first page asks."""
    state = request.app.state
    if not hasattr(state, _KEY):
        setattr(state, _KEY, Watch(board))
    watch = getattr(state, _KEY)
    assert isinstance(watch, Watch)
    return watch


@router.get("/live/overview", response_class=EventSourceResponse)
async def live(request: Request, board: TheBoard, person: Seeing) -> AsyncIterator[ServerSentEvent]:
    """Fragments as they change, until the page goes."""
    del person  # looked at again below, as long as this lasts
    watch = watch_of(request, board)
    sent: dict[str, str] = {}
    asked_at = time.monotonic()
    while True:
        if time.monotonic() - asked_at >= _STILL_IN:
            if not await run_in_threadpool(still_in, request):
                return
            asked_at = time.monotonic()
        for name, html in (await watch.now()).items():
            if sent.get(name) != html:
                sent[name] = html
                yield ServerSentEvent(raw_data=html, event=name)
        await asyncio.sleep(EVERY)
