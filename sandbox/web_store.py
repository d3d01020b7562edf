"""A web server over a folder: how the readers of a central store see it.

Serves GET and HEAD with ranges (`Range`, `If-Range`), `ETag` and `Last-Modified`, on the loopback; with a user
and password it asks for HTTP basic authentication.  `fault`, asked before each answer, scripts what real servers
and the lines to them do.

Promises: a path is decoded once and stays below the folder; every request is in `asked`; when the `with` ends no
thread and no connection of it is left.

With `tls` it speaks HTTPS.  It writes nothing and lists no folder.
"""

import base64
import os
import re
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import unquote

_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """One request as it came: the path percent-encoded, header names in lower case."""

    method: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """What is wrong with one answer."""

    status: int | None = None  # this instead of the file
    headers: tuple[tuple[str, str], ...] = ()  # besides, or instead of, the usual ones; '' leaves one out
    cut_after: int | None = None  # so many bytes of the body, then the line breaks
    ignore_range: bool = False
    ignore_condition: bool = False  # answer a range whatever `If-Range` says
    part_at_most: int | None = None  # a range is answered with fewer bytes than were asked for
    shift_range: int = 0  # the part sent begins so many bytes from where it was asked for
    change: Callable[[bytes], bytes] | None = None  # another body under the old length
    said_length: int | None = None  # a Content-Length that is a lie; -1 for none at all
    stall: threading.Event | None = None  # nothing more is sent until it is set


Script = Callable[[Asked], Fault | None]


class WebStore:
    """The server.  A context manager for one use; `url` ends with a slash."""

    url: str

    def __init__(
        self,
        root: Path,
        *,
        user: str | None = None,
        password: str = "",
        prefix: str = "",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.root = Path(os.path.realpath(root))
        self.fault: Script | None = None
        self.asked: list[Asked] = []
        self._prefix = prefix
        self._tls = tls
        self._port = port
        token = base64.b64encode(f"{user}:{password}".encode()).decode("ascii")
        self._authorization = f"Basic {token}" if user is not None else None

    def __enter__(self) -> Self:
        self._server = _Server(("127.0.0.1", self._port), self._handler())
        if self._tls is not None:
            # The handshake is made by the thread of the connection: one that fails must not stop the others.
            self._server.socket = self._tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        scheme = "http" if self._tls is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self._server.server_address[1]}/{self._prefix}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, name="web-store"
        )
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.cut()
        self._server.server_close()

    def cut(self) -> None:
        """Drop every open connection."""
        self._server.cut()

    def file(self, path: str) -> Path | None:
        """The file an encoded request path means, None where there is none."""
        words = unquote(path.partition("?")[0], errors="surrogateescape").lstrip("/")
        if not words.startswith(self._prefix):
            return None
        place = Path(os.path.realpath(self.root / words.removeprefix(self._prefix)))
        return place if place.is_relative_to(self.root) and place.is_file() else None

    def welcomes(self, authorization: str | None) -> bool:
        return self._authorization is None or authorization == self._authorization

    def _handler(self) -> type["_Handler"]:
        return type("Handler", (_Handler,), {"store": self})


class _Server(ThreadingHTTPServer):
    """Knows its connections, so that none outlives it."""

    daemon_threads = False
    block_on_close = True

    def __init__(self, *words: object) -> None:
        self._guard = threading.Lock()
        self._open: set[socket.socket] = set()
        super().__init__(*words)  # type: ignore[arg-type]

    def process_request(self, request: object, client_address: object) -> None:
        assert isinstance(request, socket.socket)
        with self._guard:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: object) -> None:
        assert isinstance(request, socket.socket)
        with self._guard:
            self._open.discard(request)
        super().shutdown_request(request)

    def cut(self) -> None:
        with self._guard:
            for one in self._open:
                try:
                    one.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue

    def handle_error(self, request: object, client_address: object) -> None:
        """A reader that went away is no news."""


class _Cut(Exception):
    """The line breaks here, on purpose."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    store: WebStore

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def log_message(self, format: str, *words: object) -> None:
        """Nothing: tests look at `asked`."""

    def _answer(self, *, with_body: bool) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        asked = Asked(method=self.command, path=self.path, headers=headers)
        self.store.asked.append(asked)
        fault = (self.store.fault(asked) if self.store.fault else None) or Fault()
        file = self.store.file(self.path)
        try:
            if not self.store.welcomes(headers.get("authorization")):
                self._refuse(401, fault, extra={"WWW-Authenticate": 'Basic realm="store"'})
            elif fault.status is not None:
                self._refuse(fault.status, fault)
            elif file is None:
                self._refuse(404, fault)
            else:
                self._send(file, fault, with_body=with_body)
        except (_Cut, OSError):
            self.close_connection = True

    def _refuse(self, status: int, fault: Fault, extra: dict[str, str] | None = None) -> None:
        text = b"<html>no file here</html>"
        told = {"Content-Type": "text/html", "Content-Length": str(len(text)), **(extra or {})}
        self._head(status, told, fault)
        if self.command != "HEAD":
            self.wfile.write(text)

    def _send(self, file: Path, fault: Fault, *, with_body: bool) -> None:
        facts = file.stat()
        told = {
            "Content-Type": "application/octet-stream",
            "ETag": f'"{facts.st_mtime_ns:x}-{facts.st_size:x}"',
            "Last-Modified": formatdate(facts.st_mtime, usegmt=True),
            "Accept-Ranges": "bytes",
        }
        part = self._part(told, facts.st_size, fault)
        status, start, end = (206, *part) if part else (200, 0, facts.st_size)
        if part:
            start = min(max(start + fault.shift_range, 0), facts.st_size)
            told["Content-Range"] = f"bytes {start}-{end - 1}/{facts.st_size}"
            if start >= end:
                told["Content-Range"] = f"bytes */{facts.st_size}"
                return self._refuse(416, fault, extra={"Content-Range": told["Content-Range"]})
        if fault.said_length == -1:
            told["Connection"] = "close"
        else:
            told["Content-Length"] = str(end - start if fault.said_length is None else fault.said_length)
        self._head(status, told, fault)
        if with_body:
            self._body(file, start, end, fault)
        return None

    def _part(self, told: dict[str, str], size: int, fault: Fault) -> tuple[int, int] | None:
        """The first byte asked for and the one after the last; None for the whole file."""
        found = _RANGE.fullmatch(self.headers.get("Range", ""))
        condition = None if fault.ignore_condition else self.headers.get("If-Range")
        if not found or fault.ignore_range or condition not in (None, told["ETag"], told["Last-Modified"]):
            return None
        start, end = int(found[1]), min(int(found[2]) + 1, size) if found[2] else size
        return start, end if fault.part_at_most is None else min(end, start + fault.part_at_most)

    def _head(self, status: int, told: dict[str, str], fault: Fault) -> None:
        changed = {name.lower() for name, _ in fault.headers}
        self.send_response(status)
        for name, value in told.items():
            if name.lower() not in changed:
                self.send_header(name, value)
        for name, value in fault.headers:
            if value:
                self.send_header(name, value)
        if told.get("Connection") == "close":
            self.close_connection = True
        self.end_headers()

    def _body(self, file: Path, start: int, end: int, fault: Fault) -> None:
        with file.open("rb") as source:
            source.seek(start)
            if fault.change is None and fault.cut_after is None and fault.stall is None:
                left = end - start
                while left and (piece := source.read(min(left, 1 << 16))):
                    self.wfile.write(piece)
                    left -= len(piece)
                if fault.said_length not in (None, -1):
                    raise _Cut
                return
            body = source.read(end - start)
        body = fault.change(body) if fault.change else body
        self.wfile.write(body if fault.cut_after is None else body[: fault.cut_after])
        self.wfile.flush()
        if fault.stall is not None:
            fault.stall.wait(30)
        if fault.cut_after is not None or fault.said_length not in (None, -1):
            raise _Cut
