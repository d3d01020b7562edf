"""One control connection and, one at a time, the data connections that belong to it.

Promises: a refusal (4xx, 5xx) is a `Refusal` and leaves the line in step; whatever else goes wrong is
`ConnectionLost` and leaves it unusable.  The login's password is struck out of every refusal.

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

from transfer.errors import ConnectionLost, TransferError
from transfer.transports.base import Moved
from transfer.transports.ftp.wire import Ftp

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
        super().__init__(shown(f"{code} {text}"))


def shown(said: object) -> str:
    """What a server said, fit for a message: one line, not endless."""
    return _CONTROL.sub(" ", str(said))[:200].strip()


class _DataBroken(Exception):
    """The data connection failed; the control connection will say why, unless it was `silence`."""

    def __init__(self, error: OSError) -> None:
        self.silence = isinstance(error, TimeoutError)
        super().__init__(str(error))


class Enough(Exception):
    """Raised inside a transfer to break it off: what came is enough to know."""


class Data:
    """An open data connection."""

    def __init__(self, socket: socket.socket) -> None:
        self.socket = socket
        self.last_word = ""
        """What the server said when all was done."""

    def send(self, piece: memoryview, moved: Moved) -> None:
        """All of `piece`.  `moved` hears of it at least every second while bytes flow."""
        told, at, done = time.monotonic(), 0, 0
        while done < len(piece):
            try:
                done += self.socket.send(piece[done:])
            except OSError as error:
                raise _DataBroken(error) from error
            if time.monotonic() - told > _SIGN_OF_LIFE:
                moved(done - at)
                told, at = time.monotonic(), done
        moved(done - at)

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

    def ask(self, command: str, *, timeout: float | None = None) -> Reply:
        """Send one command and wait for its answer, at most `timeout` seconds (default: the line's)."""
        with self._speaking(timeout):
            return self._reply(self.ftp.sendcmd(command))

    @contextlib.contextmanager
    def transfer(self, command: str, *, rest: int = 0) -> Iterator[Data]:
        """The data connection of a command; leaving the block ends it and takes the server's last word.

        A `TransferError` or `Enough` raised inside breaks the transfer off, and the line stays usable where
        the server plays along.  Raises `Refusal`, also when the server's last word is one, and `ConnectionLost`.
        """
        with self._speaking(doing="opening a data connection, "):
            opened, _size = self.ftp.ntransfercmd(command, rest or None)
        data = Data(opened)
        try:
            yield data
            data.end()
        except _DataBroken as broken:
            opened.close()
            raise self._why(broken) from broken
        except (TransferError, Enough):
            self._break_off(opened)
            raise
        except BaseException:
            self.usable = False
            raise
        finally:
            opened.close()
        data.last_word = self._last_word()

    def refusal(self, code: int, text: str) -> Refusal:
        """A refusal in these words, the password struck out."""
        return Refusal(code, text.replace(self.secret, "***") if self.secret else text)

    def interrupt(self) -> None:
        """Wake whoever waits on this line.  From any thread; the line is lost."""
        self.usable = False
        for one in (self.ftp.data, self.ftp.sock):
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
    def _speaking(self, timeout: float | None = None, *, doing: str = "") -> Iterator[None]:
        """Translate what ftplib and the socket say."""
        if not self.usable:
            raise self._lost("the connection is closed")
        try:
            self.ftp.wire.settimeout(timeout or self.ftp.timeout)
            yield
        except (ftplib.error_temp, ftplib.error_perm) as error:
            reply = self._reply(str(error))
            refusal = self.refusal(reply.code, reply.text)
            if refusal.code == SERVICE_CLOSING:
                self.usable = False
                self.hung_up = self.answers == 0
                raise self._lost(f"the server closes it ({refusal})") from refusal
            # Without the cause: its text is the server's, unread, and may repeat a password.
            raise refusal from None
        except (OSError, EOFError, ftplib.Error, ValueError) as error:
            self.usable = False
            self.hung_up = self.answers == 0 and not isinstance(error, TimeoutError)
            raise self._lost(doing + _reason(error)) from error
        finally:
            if self.usable:
                self.answers += 1
                self.last_used = time.monotonic()

    def _reply(self, answer: str) -> Reply:
        lines = answer.split("\n")
        code = lines[0][:3]
        text = "\n".join(line[4:] if line[:3] == code and line[3:4] in (" ", "-") else line for line in lines)
        return Reply(int(code), text)

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
