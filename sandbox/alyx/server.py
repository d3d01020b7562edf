"""The HTTP server: from a request to a view and back, in the order the real server does things.

Host check, counting, scripted faults, path, credentials, permission, throttle, method, work. It runs in a
thread of its own, on loopback, and stops with `stop`.
"""

import asyncio
import json
import re
import socket
import threading
from typing import Any

import uvicorn
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from sandbox.alyx.actions import Actions
from sandbox.alyx.counting import Requests, Throttle
from sandbox.alyx.errors import Crash, Refused, refused
from sandbox.alyx.faults import Fault, Faults
from sandbox.alyx.hazards import Hazards
from sandbox.alyx.metadata import describe
from sandbox.alyx.requesting import Answer, Request, not_found, page
from sandbox.alyx.routes import Route, routes
from sandbox.alyx.store import Store
from sandbox.alyx.views import Views

_HOSTS = frozenset({"127.0.0.1", "localhost", "[::1]", "testserver"})


class Application:
    """The ASGI application."""

    def __init__(self, store: Store, throttle: int | None) -> None:
        self.store = store
        self.hazards = Hazards()
        self.faults = Faults()
        self.requests = Requests()
        self.throttle = Throttle(throttle)
        self.views = Views(store, self.hazards)
        self.transports: dict[tuple[str, int], asyncio.Transport] = {}
        self.actions = Actions(store, self.hazards)
        self._routes = routes(self.views, self.actions)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        http = HttpRequest(scope, receive)
        body = await http.body()
        client = scope["client"]
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        query = scope["query_string"].decode("latin-1")
        request = Request(scope["method"], scope["path"], query, headers, body, client[0])
        request.form = await _multipart(http)
        route = self._find(request)
        request.template = route.template if route else request.path
        self.requests.note(request.method, request.template)
        fault = self.faults.take(request.method, request.path)
        answer = await self._faulty(fault, route, request) if fault else await self._answer(route, request)
        self.store.commit()
        if answer is None:
            transport = self.transports.get(client)
            if transport:  # a client that was killed meanwhile has no connection left to lose
                transport.abort()
        else:
            await _response(answer, route)(scope, receive, send)

    def _find(self, request: Request) -> Route | None:
        for pattern, route in self._routes:
            found = pattern.match(request.path)
            if found:
                request.args = found.groupdict()
                return route
        return None

    async def _faulty(self, fault: Fault, route: Route | None, request: Request) -> Answer | None:
        if fault.delay:
            await asyncio.sleep(fault.delay)
        answer: Answer | None = None
        if fault.after_work or not (fault.drop or fault.status):
            answer = await self._answer(route, request)
        if fault.drop:
            return None
        if fault.status:
            headers = {} if fault.retry_after is None else {"retry-after": str(fault.retry_after)}
            return Answer(
                fault.status, {"status_code": fault.status, "detail": fault.detail}, headers=headers
            )
        return answer

    async def _answer(self, route: Route | None, request: Request) -> Answer:
        host = re.sub(r":\d+$", "", request.headers.get("host", ""))
        if host not in _HOSTS:
            return page(400, "Bad Request (400)", "")
        if request.path == "/":
            return self.actions.root(request)
        if route is None:
            return not_found()
        try:
            return await self._work(route, request)
        except Refused as error:
            return Answer(error.status, error.body, headers=error.headers)
        except Crash as error:
            return Answer(500, {"status_code": 500, "detail": str(error)})
        except Exception as error:  # noqa: BLE001
            # The real server answers every exception it does not know this way.
            return Answer(500, {"status_code": 500, "detail": str(error)})

    async def _work(self, route: Route, request: Request) -> Answer:
        self._authenticate(request)
        if not route.open:
            if request.user is None:
                raise refused(403, "Authentication credentials were not provided.")
            if request.user["is_public_user"] and request.method != "GET":
                raise refused(403, "You do not have permission to perform this action.")
        if route.throttled:
            self.throttle.admit(request.user["id"] if request.user is not None else request.client)
        method = "GET" if request.method == "HEAD" else request.method
        if method == "OPTIONS":
            with self.store.lock:
                return describe(route.template, route.table, self.views, request)
        handler = route.methods.get(method)
        if handler is None:
            raise refused(405, f'Method "{request.method}" not allowed.')
        answer = handler(request)
        return answer if isinstance(answer, Answer) else await answer

    def _authenticate(self, request: Request) -> None:
        words = request.headers.get("authorization", "").split()
        if not words or words[0].lower() != "token":
            return
        if len(words) == 1:
            raise refused(403, "Invalid token header. No credentials provided.")
        if len(words) > 2:
            raise refused(403, "Invalid token header. Token string should not contain spaces.")
        with self.store.lock:
            for key, secret in self.store.secrets.items():
                if secret["token"] == words[1]:
                    request.user = self.store.get("users", key)
                    return
        raise refused(403, "Invalid token.")


async def _multipart(http: HttpRequest) -> dict[str, Any] | None:
    if not http.headers.get("content-type", "").startswith("multipart/form-data"):
        return None
    async with http.form() as form:
        return {name: value for name, value in form.items() if isinstance(value, str)}


def _response(answer: Answer, route: Route | None) -> Response:
    headers = dict(answer.headers)
    if answer.html is not None:
        return Response(answer.html, answer.status, headers, media_type="text/html")
    if route is not None:
        headers["allow"] = route.allow
        headers["vary"] = "Accept, Cookie"
    if answer.status == 204:
        return Response(None, 204, headers)
    text = json.dumps(answer.body, ensure_ascii=False, separators=(",", ":"))
    return Response(text, answer.status, headers, media_type="application/json")


class _Protocol(H11Protocol):
    """uvicorn's protocol, which also tells the application which connection is which, so it can drop one."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Remember the connection."""
        super().connection_made(transport)
        self._peer = transport.get_extra_info("peername")
        self.app.transports[self._peer] = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self.app.transports.pop(self._peer, None)
        super().connection_lost(exc)


class Server:
    """An application served on loopback by a thread."""

    def __init__(self, application: Application, port: int) -> None:
        # asyncio switches Nagle's delay off only for sockets that name their protocol.
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", port))
        self.port: int = self._socket.getsockname()[1]
        config = uvicorn.Config(
            application,
            http=_Protocol,
            ws="none",
            lifespan="off",
            loop="asyncio",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._serve, name="sandbox-alyx", daemon=True)

    def _serve(self) -> None:
        self._server.run(sockets=[self._socket])

    def start(self) -> None:
        """Serve; returns when connections are accepted."""
        self._thread.start()
        while not self._server.started:
            if not self._thread.is_alive():
                raise RuntimeError("the sandbox Alyx did not start")
            threading.Event().wait(0.002)

    def stop(self) -> None:
        """Stop serving and wait for the thread."""
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()
