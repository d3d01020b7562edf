"""One control connection and, one at a time, the data connections that belong to it.

Promises: a refusal (4xx, 5xx) is a `Refusal` and leaves the line in step; whatever else goes wrong is
`ConnectionLost` and leaves it unusable.  No command is sent that holds a line break, so a file's name can
never become a command.  An encrypted line's data connections are encrypted too, verified like it and
resumed from its TLS session, which servers demand to know that both belong to the same client.  The address
a server names for its data is ignored, only the port counts: behind NAT the address is wrong, and a hostile
one would have us connect elsewhere.  The login's password is struck out of all that the server says.

It does not read names or decide what a refusal means (see `store`).
"""

import contextlib
import ftplib
import re
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import cast

from transfer.errors import ConnectionLost, NameRefused, TransferError
from transfer.transports.base import Moved

SERVICE_CLOSING = 421
_PATIENCE = 10.0  # seconds for what is only politeness: a farewell, a reply nobody needs
_SIGN_OF_LIFE = 0.5  # seconds
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")


@dataclass(frozen=True, slots=True)
class Reply:
    """What the server said: the code, and the text without it.  Several lines are divided by line feeds."""

    code: int
    text: str


class Refusal(Exception):
    """The server said no: a code of 400 or more."""

    def __init__(self, code: int, text: str) -> None:
        self.code = code
        self.text = text
        super().__init__(f"{code} {_CONTROL.sub(' ', text)[:200]}".rstrip())


class _DataBroken(Exception):
    """The data connection failed; the control connection will say why, unless it was `silence`."""

    def __init__(self, error: OSError) -> None:
        self.silence = isinstance(error, TimeoutError)
        super().__init__(str(error))


class Ftp(ftplib.FTP_TLS):
    """ftplib, with the connection under our control; `context` None is clear text."""

    def __init__(self, context: ssl.SSLContext | None, *, timeout: float) -> None:
        super().__init__(context=context, timeout=timeout, encoding="utf-8")
        self.encrypted = context is not None
        self.offers_epsv = True

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
        if not self.encrypted:
            return data, size
        try:
            session = cast(ssl.SSLSocket, self.wire).session
            return self.context.wrap_socket(data, server_hostname=self.host, session=session), size
        except BaseException:
            data.close()
            raise


class Data:
    """An open data connection."""

    def __init__(self, socket: socket.socket) -> None:
        self.socket = socket
        self.last_word = ""
        """What the server said when all was done."""

    def send(self, piece: memoryview, moved: Moved) -> None:
        """All of `piece`.  `moved` hears of it at least every second while bytes flow."""
        told, at = time.monotonic(), 0
        rest = piece
        try:
            while rest:
                rest = rest[self.socket.send(rest) :]
                if time.monotonic() - told > _SIGN_OF_LIFE:
                    done = len(piece) - len(rest)
                    moved(done - at)
                    told, at = time.monotonic(), done
        except OSError as error:
            raise _DataBroken(error) from error
        moved(len(piece) - at)

    def receive(self, into: memoryview) -> int:
        """The number of bytes that came, 0 at the end."""
        try:
            return self.socket.recv_into(into)
        except OSError as error:
            raise _DataBroken(error) from error

    def end(self) -> None:
        """Say that this was all, wait for the other side's farewell, and close.

        Closing without waiting could lose the end of a file: what the server sent meanwhile (a TLS 1.3
        ticket is enough) lies unread, and a socket closed over unread bytes is reset.
        """
        with contextlib.suppress(OSError, ValueError):
            if isinstance(self.socket, ssl.SSLSocket):
                self.socket.settimeout(_PATIENCE)
                self.socket.unwrap()
        self.socket.close()


@dataclass
class Line:
    """A logged-in connection.  `features` are what FEAT said, upper case, with their arguments."""

    ftp: Ftp
    address: str
    secret: str = field(repr=False)
    features: dict[str, str] = field(default_factory=dict)
    usable: bool = True
    answers: int = 0
    """How many replies came since the line was last lent."""
    hung_up: bool = False
    """Whether the server had closed the line before it answered anything since then."""
    last_used: float = 0.0
    _data: socket.socket | None = None

    def ask(self, command: str, *, timeout: float | None = None) -> Reply:
        """Send one command and wait for its answer, at most `timeout` seconds (default: the line's)."""
        with self._speaking(timeout):
            return self._reply(self.ftp.sendcmd(command))

    @contextlib.contextmanager
    def transfer(self, command: str, *, rest: int = 0) -> Iterator[Data]:
        """The data connection of a command; leaving the block ends it and takes the server's last word.

        A `TransferError` raised inside breaks the transfer off, and the line stays usable where the server
        plays along.  Raises `Refusal`, also when the server's last word is one, and `ConnectionLost`.
        """
        with self._speaking():
            opened, _size = self.ftp.ntransfercmd(command, rest or None)
        self._data = opened
        data = Data(opened)
        try:
            yield data
            data.end()
        except _DataBroken as broken:
            opened.close()
            raise self._why(broken) from broken
        except TransferError:
            self._break_off(opened)
            raise
        except BaseException:
            self.usable = False
            raise
        finally:
            opened.close()
            self._data = None
        data.last_word = self._last_word()

    def interrupt(self) -> None:
        """Wake whoever waits on this line.  From any thread; the line is lost."""
        self.usable = False
        for one in (self._data, self.ftp.sock):
            if one is not None:
                with contextlib.suppress(OSError):
                    # Not SSLSocket.shutdown: it drops the TLS state under the thread that uses it.
                    socket.socket.shutdown(one, socket.SHUT_RDWR)

    def close(self) -> None:
        """Take leave if the line is in step, and close it."""
        if self.usable:
            with contextlib.suppress(OSError, EOFError, ftplib.Error, ValueError):
                self.ftp.wire.settimeout(_PATIENCE)
                self.ftp.sendcmd("QUIT")
        self.usable = False
        with contextlib.suppress(OSError):
            self.ftp.close()

    # ---- what the server says -----------------------------------------------------------------------------

    @contextlib.contextmanager
    def _speaking(self, timeout: float | None = None) -> Iterator[None]:
        """Translate what ftplib and the socket say."""
        if not self.usable:
            raise self._lost("the connection is closed")
        try:
            self.ftp.wire.settimeout(timeout or self.ftp.timeout)
            yield
        except (ftplib.error_temp, ftplib.error_perm) as error:
            # Without the cause: its text is the server's, unread, and may repeat a password.
            raise self._refused(str(error)) from None
        except (OSError, EOFError, ftplib.Error, ValueError) as error:
            self.usable = False
            self.hung_up = self.answers == 0 and not isinstance(error, TimeoutError)
            raise self._lost(_reason(error)) from error
        self.answers += 1
        self.last_used = time.monotonic()

    def _reply(self, answer: str) -> Reply:
        lines = answer.replace(self.secret, "***").splitlines() if self.secret else answer.splitlines()
        code = lines[0][:3]
        text = "\n".join(line[4:] if line[:3] == code and line[3:4] in (" ", "-") else line for line in lines)
        return Reply(int(code), text)

    def _refused(self, answer: str) -> Exception:
        reply = self._reply(answer)
        if reply.code != SERVICE_CLOSING:
            self.answers += 1
            self.last_used = time.monotonic()
            return Refusal(reply.code, reply.text)
        self.usable = False
        self.hung_up = self.answers == 0
        return self._lost(f"the server closes it ({Refusal(reply.code, reply.text)})")

    def _lost(self, how: str) -> ConnectionLost:
        return ConnectionLost(f"the connection was lost: {how}", to=self.address)

    # ---- how transfers end ----------------------------------------------------------------------------------

    def _last_word(self) -> str:
        with self._speaking():
            return self._reply(self.ftp.voidresp()).text

    def _why(self, broken: _DataBroken) -> Exception:
        """What the control connection says to a broken data connection."""
        if broken.silence:
            self.usable = False
            return self._lost("the server fell silent in a transfer")
        try:
            self._last_word()
        except (Refusal, ConnectionLost) as said:
            return said
        return self._lost(f"a transfer broke off ({broken})")

    def _break_off(self, data: socket.socket) -> None:
        """Close in the middle; what the server says to that only shows whether we are still in step."""
        data.close()
        try:
            with self._speaking(_PATIENCE):
                self.ftp.getresp()
        except (Refusal, ConnectionLost):
            return


def _keep_alive(line: socket.socket) -> None:
    """A router that forgets idle connections would cut the control line while a large file moves."""
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, name):
            line.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _reason(error: Exception) -> str:
    match error:
        case TimeoutError():
            return "the server does not answer"
        case EOFError():
            return "the server closed it"
        case ftplib.Error() | ValueError():
            return "the server's answer makes no sense"
        case _:
            return str(getattr(error, "strerror", None) or type(error).__name__)
