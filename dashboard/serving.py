"""Serves the dashboard: in this thread for the command, in one of its own for the demo and the tests.

PROMISES: it is refused to let more than this machine in without login and TLS, whatever `--host` says; a port that is
taken is a sentence; when it is stopped every open stream of events ends at once, and nobody waits for a browser.
"""

import asyncio
import errno
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import uvicorn

from config.certificates import unusable
from dashboard.access.streams import Streams
from dashboard.app import create
from dashboard.board import Board
from transfer.errors import CannotListen, ConfigProblems

_LAST_ANSWERS = 2  # seconds for what was asked before we were told to stop
_LINES = 32 * 1024  # bytes of a request's first line and headers
_THIS_MACHINE = ["127.0.0.1", "::1"]


def serve(board: Board, host: str, port: int, *, tell: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; `tell` is told the address.  Raises `ConfigProblems`, `CannotListen`."""
    with _listening(board, host, port) as line:
        server = _server(_told(board, host))
        tell(_address(board, line))
        server.run(sockets=[line])


@contextmanager
def serving(board: Board, host: str, port: int) -> Iterator[str]:
    """Serve in a thread while the `with` lasts; the address.  Raises `ConfigProblems`, `CannotListen`."""
    with _listening(board, host, port) as line:
        server = _server(_told(board, host))
        thread = threading.Thread(
            target=server.run, kwargs={"sockets": [line]}, name="dashboard", daemon=True
        )
        thread.start()
        server.up.wait()
        try:
            yield _address(board, line)
        finally:
            server.stop()
            thread.join()


def refuse_to_bind_wider(board: Board, host: str) -> None:
    """Raises `ConfigProblems` where `host` lets others in and the config does not guard the dashboard."""
    unguarded = board.settings.dashboard.unguarded(host)
    if unguarded is not None:
        raise ConfigProblems([f"dashboard: {unguarded}"], to=board.settings.origin)


def _told(board: Board, host: str) -> Board:
    """The board as if this host were one of the config's names: the guard answers to it, too."""
    settings = board.settings
    told = settings.dashboard.model_copy(update={"names": [*settings.dashboard.names, host]})
    return replace(board, settings=settings.model_copy(update={"dashboard": told}))


@contextmanager
def _listening(board: Board, host: str, port: int) -> Iterator[socket.socket]:
    refuse_to_bind_wider(board, host)
    place = f"{host}:{port}"
    try:
        line = socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=256
        )
    except OSError as error:
        raise CannotListen(_because(error), to=place) from error
    # asyncio does so only for sockets that name their protocol; without it every answer on a kept line is 40 ms late.
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with line:
        yield line


def _because(error: OSError) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return "another program listens there already"
        case errno.EADDRNOTAVAIL:
            return "this machine has no such address"
        case errno.EACCES:
            return "this account may not listen there"
        case _:
            return f"it cannot be listened there ({error.strerror or type(error).__name__})"


def _address(board: Board, line: socket.socket) -> str:
    """What a person types into a browser on this machine."""
    host, port = line.getsockname()[:2]
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    place = f"[{shown}]" if ":" in shown else shown
    scheme = "https" if board.settings.dashboard.certificate_file else "http"
    return f"{scheme}://{place}:{port}"


class _Server(uvicorn.Server):
    """uvicorn's server that ends the streams of events first, and ends a command as well as its work ended."""

    def __init__(self, config: uvicorn.Config, streams: Streams) -> None:
        super().__init__(config)
        self.up = threading.Event()
        self._streams = streams
        self._over = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve; whoever waits for the start is told, whatever becomes of it."""
        try:
            await super().serve(sockets)
        finally:
            self.up.set()

    async def main_loop(self) -> None:
        """Wait until we are told to stop, and not for the next look at a flag."""
        self._loop = asyncio.get_running_loop()
        self.up.set()
        if not self.should_exit:
            await self._over.wait()

    def stop(self) -> None:
        """End soon; may be called from any thread, and twice."""
        self.should_exit = True
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._over.set)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """SIGINT and SIGTERM end us, once: unlike uvicorn's, ours do not end the process a second time."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {
            which: signal.signal(which, lambda _number, _frame: self.stop())
            for which in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for which, handler in before.items():
                signal.signal(which, handler)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams, then everything else."""
        self._streams.close()
        await super().shutdown(sockets)


def _server(board: Board) -> _Server:
    told = board.settings.dashboard
    app = create(board)
    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        lifespan="off",
        loop="asyncio",
        log_config=None,
        access_log=False,  # the guard logs requests, without what stands after a question mark
        server_header=False,
        proxy_headers=told.has_proxy,
        forwarded_allow_ips=_THIS_MACHINE,
        timeout_graceful_shutdown=_LAST_ANSWERS,
        h11_max_incomplete_event_size=_LINES,
        ssl_certfile=told.certificate_file,
        ssl_keyfile=told.key_file,
    )
    if told.certificate_file and told.key_file:
        what = unusable(told.certificate_file, told.key_file)
        if what is not None:
            raise ConfigProblems([what], to=board.settings.origin)
    config.load()
    return _Server(config, app.streams)
