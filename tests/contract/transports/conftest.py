"""Stores to test against: a folder, a real sshd with and without a shell, and the embedded server."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path, PurePosixPath
from uuid import uuid4

import pytest
from ftp_stores import ftp_options_of, require_pyftpdlib, require_vsftpd
from sftp_stores import options_of, require_sshd

from sandbox.ftp_servers import FtpStore
from sandbox.store import SftpStore
from transfer.transports.base import StreamingTransport
from transfer.transports.ftp.transport import FtpTransport
from transfer.transports.local import LocalTransport
from transfer.transports.sftp.transport import SftpTransport

Opener = Callable[[], AbstractContextManager[StreamingTransport]]


def _store(tmp: Path, server: str) -> SftpStore:
    home = tmp / "home"
    match server:
        case "embedded":
            return SftpStore(tmp / "store", home=home, server="embedded")
        case "no-shell":
            require_sshd()
            return SftpStore(tmp / "store", home=home, server="sshd", shell=False)
        case _:
            require_sshd()
            return SftpStore(tmp / "store", home=home, server="sshd")


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SftpStore]:
    with _store(tmp_path_factory.mktemp("sshd"), "sshd") as store:
        yield store


def _ftp_store(tmp: Path, server: str) -> FtpStore:
    match server:
        case "vsftpd":
            require_vsftpd()
            return FtpStore(tmp / "home", server="vsftpd")
        case "vsftpd-implicit":
            require_vsftpd()
            return FtpStore(tmp / "home", server="vsftpd", tls="implicit")
        case "hashing":
            require_pyftpdlib()
            return FtpStore(tmp / "home", server="pyftpdlib", extras=["HASH", "AVBL"])
        case _:
            require_pyftpdlib()
            return FtpStore(tmp / "home", server="pyftpdlib", tls="none")


TRANSPORTS = [
    *("local", "sftp-sshd", "sftp-no-shell", "sftp-embedded"),
    *("ftp-vsftpd", "ftp-vsftpd-implicit", "ftp-hashing", "ftp-clear-text"),
]


@pytest.fixture(scope="module", params=TRANSPORTS)
def opener(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opener]:
    """Each transport there is, as something that opens a fresh one on the same store."""
    tmp = tmp_path_factory.mktemp(request.param)
    with ExitStack() as running:
        if request.param == "local":
            (tmp / "store").mkdir()
            yield lambda: LocalTransport(tmp / "store")
        elif request.param.startswith("ftp-"):
            ftp = running.enter_context(_ftp_store(tmp, request.param.removeprefix("ftp-")))
            yield lambda: FtpTransport(ftp_options_of(ftp))
        else:
            store = running.enter_context(_store(tmp, request.param.removeprefix("sftp-")))
            yield lambda: SftpTransport(options_of(store))


@pytest.fixture(scope="module")
def transport(opener: Opener) -> Iterator[StreamingTransport]:
    with opener() as opened:
        yield opened


@pytest.fixture
def scratch() -> PurePosixPath:
    return PurePosixPath(f"scratch-{uuid4().hex}")


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    folder = tmp_path / "lab"
    folder.mkdir()
    return folder
