"""One hand's line to the web server: a request, its redirects, and who is shown the login.

Promises: the login goes to the server it belongs to and to no other, whatever redirects say; TLS is verified;
the body arrives as it is stored (no compression is asked for, none is undone).
"""

import contextlib
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

import httpx2

from transfer.errors import StoreRefused
from transfer.transports.http.addresses import Origin, origin, redirected
from transfer.transports.http.answers import failure

_MOST_REDIRECTS = 5

Foreign = TypeVar("Foreign", bound=BaseException)


@dataclass(frozen=True, slots=True)
class Login:
    """Who we are for one web server.  `authorization` is the header; it shows itself to nobody."""

    server: Origin
    authorization: Callable[[], str]


class Line:
    """Asks for one thing at a time.  `cut` may come from any thread."""

    def __init__(self, client: httpx2.Client, login: Login | None) -> None:
        self._client = client
        self._login = login
        self._answer: httpx2.Response | None = None

    def knows(self, address: str) -> bool:
        """Whether we have a login for the server of this address."""
        return self._login is not None and origin(address) == self._login.server

    @contextlib.contextmanager
    def ask(
        self, method: str, address: str, headers: Mapping[str, str] | None = None
    ) -> Iterator[httpx2.Response]:
        """The answer, its body not yet read, whatever its status but a redirect."""
        target = address
        for _ in range(1 + _MOST_REDIRECTS):
            with self._sent(method, target, headers or {}, shown=address) as answer:
                if not answer.has_redirect_location:
                    yield answer
                    return
                target = redirected(target, answer.headers["location"])
        raise StoreRefused("the web server redirects in circles", to=address)

    def cut(self) -> None:
        """Free whoever waits for an answer."""
        answer = self._answer
        stream = answer.extensions.get("network_stream") if answer is not None else None
        plug = stream.get_extra_info("socket") if stream is not None else None
        if isinstance(plug, socket.socket):
            with contextlib.suppress(OSError):
                plug.shutdown(socket.SHUT_RDWR)

    @contextlib.contextmanager
    def _sent(
        self, method: str, target: str, headers: Mapping[str, str], *, shown: str
    ) -> Iterator[httpx2.Response]:
        sent = dict(headers)
        if self._login is not None and self.knows(target):
            sent["Authorization"] = self._login.authorization()
        try:
            with self._client.stream(method, target, headers=sent) as answer:
                self._answer = answer
                yield answer
        except (httpx2.RequestError, httpx2.InvalidURL) as error:
            raise failure(error, to=shown) from _bare(error)
        finally:
            self._answer = None
            sent.clear()


def _bare(error: Foreign) -> Foreign:
    """The foreign error without its frames: their locals hold the request's headers."""
    return error.with_traceback(None)
