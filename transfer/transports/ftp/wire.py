"""ftplib's connection, with the sockets under our control: TLS, passive mode, names of any bytes.

Promises: no command is sent that holds a line break, so a file's name can never become a command.  An
encrypted connection's data connections are encrypted too, verified like it and resumed from its TLS session,
which servers demand to know that both belong to the same client.  The address a server names for its data is
ignored, only the port counts: behind NAT the address is wrong, and a hostile one would have us connect
elsewhere.
"""

import ftplib
import socket
import ssl
from typing import cast

from transfer.errors import NameRefused


class Ftp(ftplib.FTP_TLS):
    """ftplib, with the connection under our control; `context` None is clear text."""

    def __init__(self, context: ssl.SSLContext | None, *, timeout: float) -> None:
        super().__init__(context=context, timeout=timeout, encoding="utf-8")
        self.encrypted = context is not None
        self.offers_epsv = True
        self.data: socket.socket | None = None
        """The latest data connection, for whoever must wake the thread that waits on it."""

    def open(self, host: str, port: int, *, connect_timeout: float, implicit: bool) -> str:
        """Connect and return the greeting."""
        self.host, self.port = host, port
        self.sock = socket.create_connection((host, port), connect_timeout)
        self.af = self.sock.family
        _keep_alive(self.sock)
        if implicit:
            self.sock = self.context.wrap_socket(self.sock, server_hostname=host)
        self.sock.settimeout(self.timeout)
        self._read_anew()
        self.welcome = self.getresp()
        return self.welcome

    @property
    def wire(self) -> socket.socket:
        """The control connection.  Raises EOFError when there is none."""
        if self.sock is None:
            raise EOFError
        return self.sock

    def auth(self) -> str:
        answer = super().auth()
        self._read_anew()
        return answer

    def _read_anew(self) -> None:
        """Names need not be UTF-8, and what was said before the encryption began is forgotten."""
        if self.file is not None:
            self.file.close()
        self.file = self.wire.makefile("r", encoding="utf-8", errors="surrogateescape", newline="\n")

    def putline(self, line: str) -> None:
        if any(forbidden in line for forbidden in "\r\n\0"):
            raise NameRefused(
                "FTP cannot say a name with a line break in it", to=repr(line.partition(" ")[2])
            )
        self.wire.sendall(f"{line}\r\n".encode("utf-8", "surrogateescape"))

    def makepasv(self) -> tuple[str, int]:
        peer = self.wire.getpeername()
        if self.offers_epsv or self.af == socket.AF_INET6:
            try:
                return peer[0], ftplib.parse229(self.sendcmd("EPSV"), peer)[1]  # noqa: S321
            except ftplib.error_perm:
                if self.af == socket.AF_INET6:
                    raise
                self.offers_epsv = False
        return peer[0], ftplib.parse227(self.sendcmd("PASV"))[1]  # noqa: S321

    def ntransfercmd(self, cmd: str, rest: int | str | None = None) -> tuple[socket.socket, int | None]:
        data, size = ftplib.FTP.ntransfercmd(self, cmd, rest)  # noqa: S321
        # The last, short piece of a small file would wait for an acknowledgement otherwise.
        data.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.data = data
        if self.encrypted:
            try:
                data = self.data = self.context.wrap_socket(
                    data,
                    server_hostname=self.host,
                    session=cast(ssl.SSLSocket, self.wire).session,
                    do_handshake_on_connect=False,
                )
                data.do_handshake()
            except BaseException:
                data.close()
                raise
        return data, size


def _keep_alive(line: socket.socket) -> None:
    """A router that forgets idle connections would cut the control line while a large file moves."""
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, name):
            line.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
