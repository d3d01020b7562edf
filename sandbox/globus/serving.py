"""An ASGI application on loopback, in a thread, that can drop a connection without an answer."""

import asyncio
import socket
import threading
from typing import Protocol

import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol


class Application(Protocol):
    """What is served.  `transports` are its open connections by the client's address."""

    transports: dict[tuple[str, int], asyncio.Transport]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...


class _Connection(H11Protocol):
    """uvicorn's connection, which also tells the application that it is there."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Remember the connection."""
        super().connection_made(transport)
        self._peer = transport.get_extra_info("peername")
        self.app.transports[self._peer] = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self.app.transports.pop(self._peer, None)
        super().connection_lost(exc)


class _Server(uvicorn.Server):
    """uvicorn's server, which ends when told so and not at its next look, twice a tenth of a second later."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._over = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def running(self) -> bool:
        """Whether connections are accepted."""
        return self._loop is not None

    async def main_loop(self) -> None:
        """Serve until `leave`."""
        self._loop = asyncio.get_running_loop()
        await self._over.wait()

    def leave(self) -> None:
        """End; may be called from any thread once the server has started."""
        self.should_exit = True
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._over.set)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close everything; whoever waits for an answer loses his connection after a second."""
        for server in self.servers:
            server.close()
        for listening in sockets or []:
            listening.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        for _ in range(100):
            if not self.server_state.connections:
                return
            await asyncio.sleep(0.01)
        for task in self.server_state.tasks:
            task.cancel()
        await asyncio.sleep(0)


class Serving:
    """The thread."""

    def __init__(self, application: Application, port: int) -> None:
        # asyncio switches Nagle's delay off only for sockets that name their protocol.
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind(("127.0.0.1", port))
        except OSError:
            self._socket.close()
            raise
        self.port: int = self._socket.getsockname()[1]
        config = uvicorn.Config(
            application,
            http=_Connection,
            ws="none",
            lifespan="off",
            loop="asyncio",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
        )
        self._server = _Server(config)
        self._thread = threading.Thread(target=self._serve, name="sandbox-globus", daemon=True)

    def _serve(self) -> None:
        self._server.run(sockets=[self._socket])

    def start(self) -> None:
        """Serve; returns when connections are accepted."""
        self._thread.start()
        while not self._server.running:
            if not self._thread.is_alive():
                raise RuntimeError("the sandbox Globus did not start")
            threading.Event().wait(0.002)

    def stop(self) -> None:
        """Stop, and wait for the thread."""
        self._server.leave()
        self._thread.join()
        self._socket.close()
