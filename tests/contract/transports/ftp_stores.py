"""How the tests reach an FTP store of the sandbox."""

import importlib.util
import os

import pytest

from sandbox.ftp_servers import FtpStore
from sandbox.ftp_servers_vsftpd import find_vsftpd
from transfer.transports.ftp.options import CLEAR_TEXT, FtpOptions


def ftp_options_of(store: FtpStore, **changes: object) -> FtpOptions:
    """The options a config would have for this store."""
    plain = store.tls == "none"
    known = {"host": store.host, "port": store.port, "root": store.remote_root}
    login = {"user": store.user, "password": store.password, "timeout": 20.0}
    safe = {"tls": CLEAR_TEXT} if plain else {"tls": store.tls, "ca_file": store.authority}
    return FtpOptions.model_validate({**known, **login, **safe, **changes})


def require_vsftpd() -> None:
    if find_vsftpd() is None:
        _missing("no vsftpd: apt-get install vsftpd")


def require_pyftpdlib() -> None:
    if not all(map(importlib.util.find_spec, ("pyftpdlib", "OpenSSL"))):
        _missing("no pyftpdlib: pip install pyftpdlib pyOpenSSL")


def _missing(message: str) -> None:
    pytest.fail(message) if os.environ.get("CI") == "true" else pytest.skip(message)
