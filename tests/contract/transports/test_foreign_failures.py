"""Whatever foreign exception is raised at the lowest seam, what leaves is an error of the catalogue.

Each transport, the Alyx client and the ledger are driven through their public methods; where they call the foreign
library, a fake raises every kind of exception that library, the sockets and the disk have.
"""

import errno
import ftplib
import os
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import uuid4

import httpx2
import paramiko
import pytest
import requests
import sqlalchemy.exc
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sftp_stores import options_of
from tiny_server import TinyServer, TinyStream

from sandbox.store import SftpStore
from transfer.catalog.alyx import AlyxCatalog
from transfer.catalog.alyx_http import AlyxHttp
from transfer.catalog.base import NewFile, Registration
from transfer.errors import CATALOGUE, LedgerUnavailable, TransferError
from transfer.ledger import open_ledger
from transfer.ledger.engine import DEFECTS
from transfer.transports.base import Download, Failed, Rename, StreamingTransport, Upload
from transfer.transports.ftp import wire
from transfer.transports.ftp.options import CLEAR_TEXT, FtpOptions
from transfer.transports.ftp.transport import FtpTransport
from transfer.transports.globus.options import GlobusOptions
from transfer.transports.globus.transport import GlobusTransport
from transfer.transports.http.transport import HttpTransport
from transfer.transports.local import LocalTransport
from transfer.transports.sftp.options import SftpOptions
from transfer.transports.sftp.transport import SftpTransport

P = PurePosixPath
ERRNOS = sorted(errno.errorcode)
KEY = paramiko.ECDSAKey.generate()

SYSTEM: list[Exception] = [
    *(OSError(number, os.strerror(number)) for number in ERRNOS),
    TimeoutError("timed out"),
    socket.gaierror(-2, "Name or service not known"),
    EOFError(),
]


def as_openssl_makes_it(error: ssl.SSLError) -> ssl.SSLError:
    """With the attributes that only the C code sets."""
    error.reason = "SCRIPTED"
    if isinstance(error, ssl.SSLCertVerificationError):
        error.verify_code, error.verify_message = 20, "scripted"
    return error


SSL: list[Exception] = [
    as_openssl_makes_it(ssl.SSLError(1, "wrong version number")),
    as_openssl_makes_it(ssl.SSLEOFError(8, "EOF")),
    as_openssl_makes_it(ssl.SSLZeroReturnError(6, "closed")),
    as_openssl_makes_it(ssl.SSLCertVerificationError(1, "certificate verify failed")),
]
PARAMIKO: list[Exception] = [
    paramiko.SSHException("no existing session"),
    paramiko.AuthenticationException("failed"),
    paramiko.BadAuthenticationType("bad", ["password"]),
    paramiko.PasswordRequiredException("encrypted"),
    paramiko.ssh_exception.PartialAuthentication(["publickey"]),
    paramiko.ChannelException(1, "prohibited"),
    paramiko.BadHostKeyException("host", KEY, KEY),
    paramiko.ssh_exception.ProxyCommandFailure("ssh", "1"),
    paramiko.ssh_exception.IncompatiblePeer("no ciphers"),
    paramiko.ssh_exception.IncompatiblePeer("no acceptable host key"),
    paramiko.ssh_exception.CouldNotCanonicalize("name"),
]
FTP: list[Exception] = [
    ftplib.error_reply("150 what"),
    ftplib.error_temp("421 closing"),
    ftplib.error_temp("450 busy"),
    ftplib.error_perm("530 login"),
    ftplib.error_perm("550 no"),
    ftplib.error_proto("nonsense"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"),
    ValueError("an embedded line break"),
]


def kinds_of(root: type[Exception]) -> list[type[Exception]]:
    return [root, *(kind for child in root.__subclasses__() for kind in kinds_of(child))]


HTTP: list[Exception] = [kind("as scripted") for kind in kinds_of(httpx2.RequestError)]
WEB: list[Exception] = [
    requests.ConnectionError("refused"),
    requests.ConnectTimeout("slow"),
    requests.ReadTimeout("slow"),
    requests.exceptions.SSLError("certificate"),
    requests.exceptions.ChunkedEncodingError("broken"),
    requests.TooManyRedirects("circles"),
]


def leaves(act: Callable[[], Any]) -> TransferError:
    """The one thing that may leave: an error of the catalogue that kept its foreign cause or says it all."""
    with pytest.raises(TransferError) as raised:
        act()
    error = raised.value
    assert CATALOGUE[error.code] is type(error)
    assert error.sentence.endswith(".")
    return error


def leaves_or_nothing(act: Callable[[], Any]) -> None:
    """Some calls get over a failure; none lets a foreign exception out."""
    outcome: Any = None
    with suppress(TransferError):
        outcome = act()
    for one in outcome if isinstance(outcome, list) else []:
        if isinstance(one, Failed):
            assert one.error.code in CATALOGUE


def every_call(transport: StreamingTransport, source: Path) -> list[Callable[[], Any]]:
    """All that the protocol offers, on a transport that was entered."""
    upload = Upload(key=1, source=source, partial=P("s/.a.part"), size=source.stat().st_size, mtime_ns=10**18)
    return [
        lambda: list(transport.put([upload], lambda _n: None)),
        lambda: list(transport.get([Download(key=1, path=P("f"))], lambda _n: None)),
        lambda: list(transport.stat([P("f")])),
        lambda: list(transport.publish([Rename(key=1, partial=P("f"), final=P("f2"))])),
        lambda: list(transport.list_leftovers([P("s")])),
        lambda: list(transport.remove([P("f")])),
        lambda: transport.link(P("f"), P("f3")),
        lambda: transport.free_space(),
    ]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "source").write_bytes(b"spikes")
    return tmp_path / "source"


# ---- the disk

_CALLS = [
    "open",
    "write",
    "fsync",
    "fstat",
    "link",
    "replace",
    "rename",
    "stat",
    "lstat",
    "unlink",
    "scandir",
]
_CALLS += ["mkdir", "statvfs", "utime", "listdir"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(number=st.sampled_from(ERRNOS), name=st.sampled_from(_CALLS))
def test_a_disk_that_fails(tmp_path: Path, source: Path, number: int, name: str) -> None:
    """Any call of the operating system, with any error it has."""
    root = tmp_path / "store"
    (root / "s").mkdir(parents=True, exist_ok=True)
    (root / "f").write_bytes(b"stored")

    def fail(*_args: Any, **_kwargs: Any) -> Any:
        raise OSError(number, os.strerror(number), "f")

    with LocalTransport(root, connections=1) as transport:
        for call in every_call(transport, source):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(os, name, fail)
                leaves_or_nothing(call)


# ---- SFTP


class Breaking(TinyServer):
    """A server whose line breaks with an exception at the n-th packet after the greeting."""

    error: Exception
    left: int

    def stream(self) -> TinyStream:
        return BreakingStream(self)


class BreakingStream(TinyStream):
    def recv(self, nbytes: int, /) -> bytes:
        assert isinstance(self._server, Breaking)
        self._server.left -= 1
        if self._server.left < 0:
            raise self._server.error
        return super().recv(nbytes)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(error=st.sampled_from(SYSTEM), after=st.integers(0, 12), which=st.integers(0, 7))
def test_an_sftp_line_that_breaks(source: Path, error: Exception, after: int, which: int) -> None:
    server = Breaking(files={b"/root/f": b"stored"})
    server.error, server.left = error, after

    def used() -> Any:
        options = SftpOptions.model_validate(
            {"host": "tiny", "root": "/root", "user": "u", "key": "/k", "connections": 1, "timeout": 0.2}
        )
        with SftpTransport(options, connect=lambda _options: server) as transport:
            return every_call(transport, source)[which]()

    leaves_or_nothing(used)


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SftpStore]:
    folder = tmp_path_factory.mktemp("embedded")
    with SftpStore(folder / "store", home=folder / "home", server="embedded") as store:
        yield store


SHAKING = [*PARAMIKO, *SSL[:1], *SYSTEM[-3:], OSError(errno.ECONNRESET, "reset")]


@pytest.mark.parametrize("step", ["start_client", "auth_publickey"])
def test_a_handshake_that_fails(embedded: SftpStore, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    for error in SHAKING:

        def fail(*_args: Any, _error: Exception = error, **_kwargs: Any) -> None:
            raise _error

        monkeypatch.setattr(paramiko.Transport, step, fail)
        options = options_of(embedded, carrier="paramiko")
        leaves(lambda: SftpTransport(options).__enter__())  # noqa: B023 - called at once


@pytest.mark.parametrize("step", ["invoke_subsystem", "sendall", "send", "recv"])
def test_a_channel_that_fails(embedded: SftpStore, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    for error in (PARAMIKO[0], PARAMIKO[5], EOFError(), OSError("closed")):

        def fail(*_args: Any, _error: Exception = error, **_kwargs: Any) -> None:
            raise _error

        def used() -> Any:
            with SftpTransport(options_of(embedded, carrier="paramiko", connections=1)) as transport:
                return list(transport.stat([P("f")]))

        with monkeypatch.context() as patch:
            patch.setattr(paramiko.Channel, step, fail)
            leaves_or_nothing(used)


# ---- FTP


def ftp_options() -> FtpOptions:
    return FtpOptions.model_validate(
        {"host": "tiny", "root": "/root", "user": "u", "password": "p", "tls": CLEAR_TEXT, "connections": 1}
    )


@pytest.mark.parametrize("error", [*FTP, *SSL, *SYSTEM], ids=lambda error: f"{type(error).__name__}")
def test_an_ftp_server_that_cannot_be_reached(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: Any, **_kwargs: Any) -> None:
        raise error

    monkeypatch.setattr(wire.Ftp, "open", fail)
    leaves(lambda: FtpTransport(ftp_options()).__enter__())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(error=st.sampled_from([*FTP, *SSL, *SYSTEM]), after=st.integers(0, 12), which=st.integers(0, 7))
def test_an_ftp_line_that_breaks(source: Path, error: Exception, after: int, which: int) -> None:
    """Each command is answered kindly until one is not."""
    left = after

    def answer(_ftp: Any, _command: str) -> str:
        nonlocal left
        left -= 1
        if left < 0:
            raise error
        return '257 "/root" 213 20260304120000'

    def opened(ftp: Any, *_args: Any, **_kwargs: Any) -> None:
        near, far = socket.socketpair()
        ftp.sock = near
        far.close()

    def no_data(*_args: Any, **_kwargs: Any) -> Any:
        raise error

    def used() -> Any:
        with FtpTransport(ftp_options()) as transport:
            return every_call(transport, source)[which]()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wire.Ftp, "open", opened)
        patch.setattr(wire.Ftp, "sendcmd", answer)
        patch.setattr(wire.Ftp, "ntransfercmd", no_data)
        leaves_or_nothing(used)


# ---- HTTP, Globus, Alyx


class BrokenWeb(httpx2.BaseTransport):
    def __init__(self, error: Exception) -> None:
        self._error = error

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        raise self._error


@pytest.mark.parametrize("error", HTTP, ids=lambda error: type(error).__name__)
def test_a_web_store_that_fails(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: Any, **_kwargs: Any) -> None:
        raise error

    monkeypatch.setattr(httpx2.HTTPTransport, "handle_request", fail)

    def used() -> Any:
        with HttpTransport("http://store.test/", connections=1, sleep=lambda _seconds: None) as transport:
            (outcome,) = transport.get([Download(key=1, path=P("f"))], lambda _n: None)
            assert isinstance(outcome, Failed)
            raise outcome.error

    leaves(used)


@pytest.mark.parametrize("error", HTTP, ids=lambda error: type(error).__name__)
def test_an_alyx_that_fails(error: Exception) -> None:
    """Every call the journey makes, reads and writes."""
    line = AlyxHttp(
        "http://alyx.test", user="u", token="t", sleep=lambda _seconds: None, transport=BrokenWeb(error)
    )
    alyx = AlyxCatalog("http://alyx.test", user="u", token="t", http=line)
    file = NewFile(path=P("alf/a.npy"), md5="0" * 32, size=1)
    asked = Registration(session_path=P("S/2020-01-01/001"), repository="r", lab="l", files=[file])
    calls: list[Callable[[], Any]] = [
        alyx.check_login,
        lambda: alyx.datasets([uuid4()]),
        lambda: alyx.records([uuid4()]),
        lambda: alyx.register(asked),
        lambda: alyx.announce(uuid4(), True),
        lambda: alyx.set_size(uuid4(), 1),
        lambda: alyx.delete_dataset(uuid4()),
        lambda: list(alyx.missing_records("r")),
        lambda: list(alyx.datasets_changed("r", None)),
        lambda: alyx.repository("r"),
        lambda: alyx.agent_task("n", "r"),
    ]
    for call in calls:
        assert leaves(call).code.startswith("E-3")
    alyx.close()


@pytest.mark.parametrize("error", WEB, ids=lambda error: type(error).__name__)
def test_a_globus_that_fails(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: Any, **_kwargs: Any) -> None:
        raise error

    monkeypatch.setattr(requests.Session, "send", fail)
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    options = GlobusOptions.model_validate(
        {
            "client_id": str(uuid4()),
            "client_secret": "s",
            "collection": str(uuid4()),
            "root": "/c",
            "sources": {"r": {"collection": str(uuid4()), "root": "/l"}},
        }
    )

    def used() -> Any:
        with GlobusTransport(options) as transport:
            return transport.reserve()

    assert leaves(used).code.startswith("E-2")


# ---- the ledger

DATABASE = [
    kind
    for kind in kinds_of(sqlalchemy.exc.DBAPIError)
    if kind.__module__ == "sqlalchemy.exc" and not issubclass(kind, DEFECTS)
]


@pytest.mark.parametrize("kind", DATABASE, ids=lambda kind: kind.__name__)
def test_a_database_that_fails(tmp_path: Path, kind: Any) -> None:
    """Reading and writing alike; what is a defect of ours flies as it is."""
    ledger = open_ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    for transaction in (ledger.reading, ledger.writing):

        def used(_transaction: Any = transaction) -> None:
            with _transaction():
                raise kind("SELECT 1", {}, OSError("gone"))

        assert isinstance(leaves(used), LedgerUnavailable)
    ledger.engine.dispose()
