"""SSH in this process, by paramiko: works everywhere, with keys, agents and passwords.

The streams are channels of one connection; when the server opens no more of them, another connection is made.
A connection that was lost is replaced when the next stream is asked for: streams on it stay lost.
"""

import contextlib
import threading
from collections.abc import Iterator
from typing import Protocol

from paramiko import Channel, ChannelException, SSHException, Transport

from transfer.errors import ConnectionLost, StoreRefused, TransferError
from transfer.transports.sftp.carrier import Outcome
from transfer.transports.sftp.carriers.login import BROKEN, log_in
from transfer.transports.sftp.options import SftpOptions
from transfer.transports.sftp.protocol import Stream

STREAM_WINDOW = 8 << 20  # bytes a server may send ahead: enough for 100 MB/s over 80 ms
_COMMAND_WINDOW = 64 << 20  # what a command may say before we have sent it all our input
_AT_ONCE = 32 << 10  # bytes of one channel packet: paramiko copies what it could not send


class ChannelStream:
    """A channel as a `Stream`: takes any bytes, and every failure of it is an OSError."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def send(self, s: bytes | memoryview, /) -> int:
        with _as_os_error():
            return self._channel.send(bytes(s[:_AT_ONCE]))

    def recv(self, nbytes: int, /) -> bytes:
        with _as_os_error():
            return self._channel.recv(nbytes)

    def settimeout(self, timeout: float | None, /) -> None:
        self._channel.settimeout(timeout)

    def close(self) -> None:
        _hang_up(self._channel)


class ParamikoCarrier:
    """Connections made by paramiko, one after another as the server demands it."""

    def __init__(self, options: SftpOptions, line: Transport) -> None:
        self._options = options
        self._lines = [line]
        self._guard = threading.Lock()

    def stream(self) -> Stream:
        with self._channel(STREAM_WINDOW) as channel:
            channel.settimeout(self._options.timeout)
            try:
                channel.invoke_subsystem("sftp")
            except BROKEN as error:
                raise self._failed(channel.get_transport(), "the server offers no SFTP") from error
            return ChannelStream(channel)

    def begin(self, command: str) -> Stream:
        with self._channel(_COMMAND_WINDOW) as channel:
            channel.settimeout(self._options.timeout)
            try:
                channel.exec_command(command)
            except BROKEN as error:
                raise self._failed(channel.get_transport(), "a remote command failed") from error
            return ChannelStream(channel)

    def run(self, command: str, given: bytes, *, timeout: float) -> Outcome:
        with self._channel(_COMMAND_WINDOW) as channel, contextlib.ExitStack() as at_last:
            at_last.callback(_hang_up, channel)
            channel.settimeout(timeout)
            try:
                channel.exec_command(command)
                _feed(channel, given)
                out = b"".join(_all_of(channel.recv))
                err = b"".join(_all_of(channel.recv_stderr))
                ended = channel.status_event.wait(timeout)
            except BROKEN as error:
                raise self._failed(channel.get_transport(), "a remote command failed") from error
            if not channel.get_transport().is_active():
                raise ConnectionLost("the connection was lost", to=self._options.address)
            status = channel.exit_status if ended and channel.exit_status >= 0 else None
            return Outcome(out=out, err=err, status=status)

    def close(self) -> None:
        for line in self._lines:
            line.close()

    @contextlib.contextmanager
    def _channel(self, window: int) -> Iterator[Channel]:
        """A channel, closed if what follows fails."""
        channel = self._open_channel(window)
        try:
            yield channel
        except BaseException:
            _hang_up(channel)
            raise

    def _open_channel(self, window: int) -> Channel:
        line = self._living_line()
        # Another connection has channels of its own, and one that was just lost carries nothing of this stream yet.
        with contextlib.suppress(ChannelException, ConnectionLost):
            return self._session(line, window)
        try:
            return self._session(self._further_line(), window)
        except ChannelException as error:
            raise self._failed(line, "the server opens no further channel") from error

    def _session(self, line: Transport, window: int) -> Channel:
        try:
            return line.open_session(window_size=window, timeout=self._options.timeout)
        except ChannelException:
            raise
        except BROKEN as error:
            # Whoever neither opens nor refuses a channel is gone, although the line may not show it yet.
            raise ConnectionLost("the connection was lost", to=self._options.address) from error

    def _living_line(self) -> Transport:
        with self._guard:
            line = self._lines[-1]
        return line if line.is_active() else self._further_line()

    def _further_line(self) -> Transport:
        line = log_in(self._options)
        with self._guard:
            self._lines = [*(known for known in self._lines if known.is_active()), line]
        return line

    def _failed(self, line: Transport, what: str) -> TransferError:
        if line.is_active():
            return StoreRefused(what, to=self._options.address)
        return ConnectionLost("the connection was lost", to=self._options.address)


def connect(options: SftpOptions) -> ParamikoCarrier:
    """Raises what `carrier.connect` raises."""
    return ParamikoCarrier(options, log_in(options))


# ---- a channel's input and output -------------------------------------------------------------------------


def _feed(channel: Channel, given: bytes) -> None:
    try:
        for at in range(0, len(given), _AT_ONCE):
            channel.sendall(given[at : at + _AT_ONCE])
        channel.shutdown_write()
    except TimeoutError:
        raise
    except OSError:
        return  # It ended before it took all its input, and may have said why.


def _hang_up(channel: Channel) -> None:
    # Closing says goodbye, and a dead line cannot.
    with contextlib.suppress(*BROKEN):
        channel.close()


class _Receive(Protocol):
    def __call__(self, nbytes: int, /) -> bytes: ...


def _all_of(receive: _Receive) -> Iterator[bytes]:
    while piece := receive(1 << 16):
        yield piece


@contextlib.contextmanager
def _as_os_error() -> Iterator[None]:
    try:
        yield
    except (SSHException, EOFError) as error:
        raise OSError(str(error)) from error
