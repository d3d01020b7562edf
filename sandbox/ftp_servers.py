"""A central store on this machine, reached over FTP: the folder, the server, its certificate, the login.

Promises: loopback only, on a port that was free; a password drawn anew each time; the server ends on exit, with
every session it serves.  Needs vsftpd, or the Python packages pyftpdlib and pyOpenSSL.
"""

import secrets
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from sandbox.ftp_servers_certificates import Authority
from sandbox.ftp_servers_pyftpdlib import Before, Pyftpd
from sandbox.ftp_servers_vsftpd import HOST, Vsftpd

Tls = Literal["explicit", "implicit", "none"]


class FtpStore:
    """The store.  A context manager for one use; every attribute is true from `__enter__` on.

    `options` are lines of vsftpd.conf, `faults` the keyword arguments of `Pyftpd` beyond the plain ones.
    `certificate` is a server's key and certificate (PEM) instead of a right one.
    """

    host: str = HOST
    port: int
    user: str
    password: str
    authority: Path
    """The certificate (PEM) of the authority that signed the server's."""
    root: Path
    """The folder on disk."""
    remote_root: str
    """The same folder as the server's clients see it."""

    def __init__(
        self,
        home: Path,
        *,
        server: Literal["vsftpd", "pyftpdlib"],
        tls: Tls = "explicit",
        certificate: Path | None = None,
        options: Sequence[str] = (),
        before: Before | None = None,
        **faults: Any,
    ) -> None:
        if server == "vsftpd" and (faults or before is not None):
            raise ValueError("a script of faults for vsftpd: sandbox FTP. Use pyftpdlib.")
        if server == "pyftpdlib" and (options or tls == "implicit"):
            raise ValueError("vsftpd's options or implicit TLS for pyftpdlib: sandbox FTP. Use vsftpd.")
        self.tls = tls
        self.password = secrets.token_urlsafe(12)
        self._home = Path(home)
        self._server_kind = server
        self._certificate = certificate
        self._options = options
        self._before = before
        self._faults = faults
        self._running = ExitStack()

    def __enter__(self) -> Self:
        self._home.mkdir(parents=True, exist_ok=True)
        authority = Authority(self._home / "authority")
        self.authority = authority.file
        jail = self._home.resolve() / "chroot"
        jail.mkdir(mode=0o755, exist_ok=True)
        self.root = jail / "store"
        self.root.mkdir(exist_ok=True)
        self._server = self._make(self._certificate or authority.certificate())
        self._running.enter_context(self._server)
        self.port, self.user = self._server.port, self._server.user
        self.remote_root = self._server.remote_root
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.close()

    def cut(self) -> None:
        """Drop every open connection, as a server that restarts does; new ones are welcome."""
        self._server.cut()

    def freeze(self, release: threading.Event) -> None:
        """Fall silent on every connection until `release` is set.  pyftpdlib only."""
        if not isinstance(self._server, Pyftpd):
            raise TypeError("only pyftpdlib can be frozen: sandbox FTP. Choose that server.")
        self._server.freeze(release)

    def _make(self, certificate: Path) -> Vsftpd | Pyftpd:
        if self._server_kind == "vsftpd":
            return Vsftpd(
                self._home,
                root=self.root,
                password=self.password,
                certificate=certificate,
                tls=self.tls,
                options=self._options,
            )
        return Pyftpd(
            self.root,
            password=self.password,
            certificate=None if self.tls == "none" else certificate,
            before=self._before,
            **self._faults,
        )
