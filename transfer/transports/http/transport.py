"""A store as its users read it: a web server that shows the store's folder.

Implements `Readable` and nothing else: what is read here has been seen the way every reader sees it, through the
repository's `data_url`.  Promises besides those of `base`: a file whose line breaks is continued by a range
and never mixed from two versions (see `fetching`); the login goes to its own server only (see `line`).

It asks nothing when it is entered: a web server has no place that is certain to answer.  It repeats by itself what
may be gone in a moment, so it is not to be wrapped in `wrappers.Reconnecting`.

The surprise: `mtime_ns` is what the server says in whole seconds, 0 when it does not say.
"""

import base64
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Self

import httpx2

from transfer.digests import Algorithm
from transfer.errors import CertificateRefused, LoginRefused, Reach, StoreRefused, TransferError
from transfer.transports.base import Digested, Download, Failed, Got, Moved, RemoteFile
from transfer.transports.crew import Crew
from transfer.transports.http import answers
from transfer.transports.http.addresses import Base, origin
from transfer.transports.http.fetching import Fetching, Persistence
from transfer.transports.http.line import Line, Login

_NO_SIZE = {405, 501}
_ONE_BYTE = {"Range": "bytes=0-0"}


def login(server: str, user: str, password: str) -> Login:
    """HTTP basic authentication for the web server at `server`, an address."""
    token = base64.b64encode(f"{user}:{password}".encode()).decode("ascii")
    return Login(origin(server), lambda: f"Basic {token}")


class HttpTransport:
    """Reads the files below `data_url`.  `timeout` is in seconds, of silence.

    `ca_file` has the certificates (PEM) of the authorities that are trusted instead of the system's.
    """

    def __init__(
        self,
        data_url: str,
        *,
        login: Login | None = None,
        connections: int = 4,
        timeout: float = 60.0,
        ca_file: Path | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._base = Base.of(data_url)
        self._login = login
        self._connections = connections
        self._timeout = httpx2.Timeout(timeout, connect=min(timeout, 15.0), pool=None)
        self._ca_file = ca_file
        self._sleep = sleep
        self._client: httpx2.Client | None = None

    def __repr__(self) -> str:
        return f"HttpTransport({self._base.url!r})"

    def __enter__(self) -> Self:
        """Raises `CertificateRefused` when the authorities' file cannot be used."""
        limits = httpx2.Limits(max_connections=self._connections, max_keepalive_connections=self._connections)
        self._client = httpx2.Client(
            headers={"Accept-Encoding": "identity", "User-Agent": "alyx-transfer"},
            timeout=self._timeout,
            limits=limits,
            verify=self._authorities(),
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()

    # ---- reading ----------------------------------------------------------------------------------------

    def get(self, downloads: Iterable[Download], moved: Moved) -> Iterator[Got | Failed]:
        """As `base.Readable.get`; a `fetching.Continued` goes on from what its file holds already.

        When the server is away, or refuses the login, the files that are left fail without being asked for.
        """
        crew = self._crew()
        away = _Away()

        def fetch(line: Line, download: Download) -> Got | Failed:
            def count(moved_bytes: int) -> None:
                moved(moved_bytes)
                crew.check()

            try:
                away.check()
                address = self._base.address(download.path)
                return Fetching(line, address, download, count).run(self._sleep)
            except TransferError as error:
                away.learn(error)
                return Failed(key=download.key, error=error)

        return crew.spread(downloads, fetch)

    def digests(self, paths: Sequence[PurePosixPath], algorithm: Algorithm = "md5") -> Iterator[Digested]:
        what = f"a web server does not hash {len(paths)} files by itself ({algorithm})"
        raise StoreRefused(what, to=self._base.url, do="Read them back.")

    def stat(self, paths: Sequence[PurePosixPath]) -> Iterator[RemoteFile | None]:
        addresses = [self._base.address(path) for path in paths]
        crew = self._crew()

        def look(line: Line, index: int) -> tuple[int, RemoteFile | None]:
            persistence = Persistence(self._sleep, crew.check)
            while True:
                try:
                    return index, _look(line, addresses[index], paths[index])
                except TransferError as error:
                    persistence.again(error)

        found = dict(crew.spread(range(len(paths)), look))
        yield from (found[index] for index in range(len(paths)))

    # ---- lines ------------------------------------------------------------------------------------------

    def _crew(self) -> Crew[Line]:
        assert self._client is not None, "a transport is entered before it is used"
        lines = [Line(self._client, self._login) for _ in range(self._connections)]
        return Crew(lines, wake=Line.cut)

    def _authorities(self) -> ssl.SSLContext | bool:
        if self._ca_file is None:
            return True
        try:
            return ssl.create_default_context(cafile=str(self._ca_file))
        except (OSError, ssl.SSLError) as error:
            do = "Name a file with certificates in PEM format in web.ca_file."
            raise CertificateRefused(
                "the authorities' file cannot be used", to=self._ca_file, do=do
            ) from error


class _Away:
    """What was learnt of the server as a whole while one batch runs; shared by its hands."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._error: TransferError | None = None

    def check(self) -> None:
        with self._guard:
            if self._error is not None:
                raise self._error

    def learn(self, error: TransferError) -> None:
        """Nobody is there, or nobody lets us in.  A 500 is not: it may be about that one file."""
        nobody = error.reach is Reach.ENDPOINT and error.after is not None
        if nobody or isinstance(error, LoginRefused | CertificateRefused):
            with self._guard:
                self._error = error


def _look(line: Line, address: str, path: PurePosixPath) -> RemoteFile | None:
    with line.ask("HEAD", address) as answer:
        status, size = answer.status_code, answers.length(answer.headers)
        if status == 200 and size is not None:
            return RemoteFile(path=path, size=size, mtime_ns=answers.mtime_ns(answer.headers))
        if status in (404, 410):
            return None
        if status not in (200, *_NO_SIZE):
            raise answers.refusal(status, answer.headers, to=address, with_login=line.knows(address))
    return _look_at_first_byte(line, address, path)


def _look_at_first_byte(line: Line, address: str, path: PurePosixPath) -> RemoteFile | None:
    """For servers that do not say the size to a HEAD."""
    with line.ask("GET", address, _ONE_BYTE) as answer:
        status, said = answer.status_code, answers.span(answer.headers)
        size = said.total if said is not None else answers.length(answer.headers)
        if status in (404, 410):
            return None
        if status not in (200, 206, 416):
            raise answers.refusal(status, answer.headers, to=address, with_login=line.knows(address))
        if size is None or (status == 206 and said is None):
            raise StoreRefused("the web server does not say how large the file is", to=address)
        return RemoteFile(path=path, size=size, mtime_ns=answers.mtime_ns(answer.headers))
