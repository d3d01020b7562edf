"""Stands before the application: what is refused before anything looks at it, and what every answer carries.

Plain ASGI and outermost, so that it also holds for failures of the application, for static files and for streams.

PROMISES: a request by a foreign name reaches nothing; every answer has the headers of `headers`; a stream of events
that is open when the dashboard stops ends as if it had been over.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import ExitStack

import structlog
from fastapi import Request, Response
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from config.sections import Dashboard
from dashboard.access.headers import protect
from dashboard.access.hosts import is_our_name
from dashboard.access.streams import Streams
from transfer.errors import HostUnknown, RequestMalformed, TransferError

LARGEST = 64 * 1024
"""Bytes of a request's body."""

log = structlog.get_logger()

Refusal = Callable[[Request, TransferError, int], Response]
"""How a request is answered that is refused, with which status."""


class Guard:
    """Wraps an application."""

    def __init__(self, app: ASGIApp, told: Dashboard, streams: Streams, refusal: Refusal) -> None:
        self._app = app
        self._told = told
        self._streams = streams
        self._refusal = refusal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope.setdefault("state", {})
        refused = self._refused(Request(scope))
        await self._answered(refused or self._app, scope, receive, send)

    def _refused(self, request: Request) -> Response | None:
        if not is_our_name(request.headers.get("host"), self._told):
            return self._refusal(request, HostUnknown("this is not the name of the dashboard"), 421)
        length = request.headers.get("content-length", "0")
        if length.isascii() and length.isdigit() and int(length[:20]) > LARGEST:
            # FastAPI refuses it as well, and a body that does not say its length; but in plain words only.
            what = f"the body may have at most {LARGEST} bytes"
            return self._refusal(request, RequestMalformed([what], to=request.url.path), 413)
        return None

    async def _answered(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        began, status, streaming = time.monotonic(), 0, False
        # Asked for here: what sends the answer may be another task, a part of this one.
        task = asyncio.current_task()
        assert task is not None
        with ExitStack() as opened:

            async def told(message: Message) -> None:
                nonlocal status, streaming
                if message["type"] == "http.response.start":
                    status = message["status"]
                    headers = MutableHeaders(scope=message)
                    protect(headers, scope, encrypted=self._told.is_encrypted)
                    if headers.get("content-type", "").startswith("text/event-stream"):
                        streaming = True
                        opened.enter_context(self._streams.one_more(task))
                await send(message)

            try:
                await app(scope, receive, told)
            except asyncio.CancelledError:
                if not (streaming and self._streams.closing):
                    raise
                task.uncancel()
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        log.debug(
            "request_answered",
            method=scope["method"],
            path=scope["path"],
            status=status,
            seconds=round(time.monotonic() - began, 3),
        )
