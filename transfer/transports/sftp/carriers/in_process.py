"""SSH in this process, by paramiko: works everywhere, with keys, agents and passwords.

The streams are channels of one connection; when the server opens no more of them, another connection is made.
A connection that was lost is replaced when the next stream is asked for: streams on it stay lost.
"""

import contextlib
import socket
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from paramiko import (
    Agent,
    AuthenticationException,
    Channel,
    ChannelException,
    PasswordRequiredException,
    PKey,
    SSHException,
    Transport,
)
from paramiko.pkey import UnknownKeyType
from paramiko.ssh_exception import IncompatiblePeer

from transfer.errors import (
    ConnectionLost,
    EndpointUnreachable,
    HostKeyChanged,
    HostKeyUnknown,
    LoginRefused,
    StoreRefused,
    TransferError,
)
from transfer.transports.sftp.carrier import Outcome
from transfer.transports.sftp.carriers.server_keys import is_of_kind, known_keys, require_known
from transfer.transports.sftp.options import SSH_PORT, SftpOptions
from transfer.transports.sftp.protocol import Stream

KEEPALIVE = 15
GONE_AFTER = 60  # seconds without an acknowledged packet
STREAM_WINDOW = 8 << 20  # bytes a server may send ahead: enough for 100 MB/s over 80 ms
_PREFERRED_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")
_COMMAND_WINDOW = 64 << 20  # what a command may say before we have sent it all our input
_AT_ONCE = 32 << 10  # bytes of one channel packet: paramiko copies what it could not send

_Broken = (SSHException, OSError, EOFError)


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
            except _Broken as error:
                raise self._failed(channel.get_transport(), "the server offers no SFTP") from error
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
            except _Broken as error:
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
        try:
            return line.open_session(window_size=window, timeout=self._options.timeout)
        except ChannelException as error:
            try:
                return self._further_line().open_session(window_size=window, timeout=self._options.timeout)
            except (HostKeyChanged, HostKeyUnknown):
                raise
            except (TransferError, *_Broken):
                raise self._failed(line, "the server opens no further channel") from error
        except _Broken as error:
            raise self._failed(line, "the server opens no further channel") from error

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


def log_in(options: SftpOptions) -> Transport:
    """Reach the server, verify it, log in.

    Raises `EndpointUnreachable`, `HostKeyUnknown`, `HostKeyChanged` or `LoginRefused`.
    """
    known = known_keys(options)
    line = _dial(options)
    try:
        transport = Transport(line)
    except (SSHException, OSError) as error:
        line.close()
        raise _unreachable(options, error) from error
    try:
        require_known(_negotiate(transport, options, known), known, options)
        _authenticate(transport, options)
    except BaseException:
        transport.close()
        raise
    transport.set_keepalive(KEEPALIVE)
    return transport


# ---- the way there ----------------------------------------------------------------------------------------


def _dial(options: SftpOptions) -> socket.socket:
    try:
        line = socket.create_connection((options.host, options.port or SSH_PORT), options.connect_timeout)
    except (OSError, UnicodeError) as error:
        raise _unreachable(options, error) from error
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, GONE_AFTER * 1000)
    return line


def _negotiate(transport: Transport, options: SftpOptions, known: Sequence[PKey]) -> PKey:
    """Agree on an encryption; the key that the server showed, and proved to have."""
    transport.banner_timeout = options.connect_timeout
    transport.auth_timeout = max(options.connect_timeout, 30)
    allowed = transport.get_security_options()
    allowed.ciphers = (*_PREFERRED_CIPHERS, *(c for c in allowed.ciphers if c not in _PREFERRED_CIPHERS))
    # A server has keys of several types: ask for one that we can compare.
    comparable = [kind for kind in allowed.key_types if any(is_of_kind(key, kind) for key in known)]
    if comparable:
        allowed.key_types = comparable
    try:
        transport.start_client(timeout=options.connect_timeout)
        # When its time is over start_client returns as if all were well; asking for the key tells.
        return transport.get_remote_server_key()
    except IncompatiblePeer as error:
        if "host key" in str(error):
            raise HostKeyChanged("the server has no key of the kind we know", to=options.address) from error
        raise _unreachable(options, error) from error
    except _Broken as error:
        raise _unreachable(options, error) from error


def _unreachable(options: SftpOptions, error: Exception) -> EndpointUnreachable:
    return EndpointUnreachable(f"the server cannot be reached ({_plainly(error)})", to=options.address)


def _plainly(error: Exception) -> str:
    match error:
        case TimeoutError():
            return "no answer"
        case OSError(strerror=str(text)):
            return text
        case _:
            return str(error) or type(error).__name__


# ---- who we are -------------------------------------------------------------------------------------------


def _authenticate(transport: Transport, options: SftpOptions) -> None:
    refused: Exception | None = None
    with contextlib.ExitStack() as until_in:
        for attempt in _ways_in(transport, options, until_in):
            try:
                attempt()
            except AuthenticationException as error:
                # paramiko says this too when the line breaks; then nobody refused anything.
                if refused is None and not transport.is_active():
                    raise _unreachable(options, error) from error
                refused = error
            except _Broken as error:
                raise _unreachable(options, error) from error
            if transport.is_authenticated():
                return
    raise LoginRefused("login refused", to=options.address) from refused


class _Attempt(Protocol):
    def __call__(self) -> object: ...


def _ways_in(
    transport: Transport, options: SftpOptions, until_in: contextlib.ExitStack
) -> Iterator[_Attempt]:
    user = options.user
    if options.key is not None:
        key = _private_key(options.key.expanduser(), options)
        yield lambda: transport.auth_publickey(user, key)
    if options.agent:
        agent = Agent()
        until_in.callback(agent.close)
        for held in agent.get_keys():
            yield lambda held=held: transport.auth_publickey(user, held)
    if options.password is not None:
        secret = options.password.get_secret_value()
        yield lambda: transport.auth_password(user, secret)


def _private_key(path: Path, options: SftpOptions) -> PKey:
    passphrase = options.key_passphrase.get_secret_value() if options.key_passphrase else None
    try:
        return PKey.from_path(path, passphrase.encode() if passphrase else None)  # type: ignore[arg-type]
    except (OSError, SSHException, ValueError, TypeError, UnknownKeyType) as error:
        locked = isinstance(error, PasswordRequiredException | TypeError)
        raise LoginRefused(
            "the key file needs another passphrase" if locked else "the key file cannot be used",
            to=path,
            do="Correct key or key_passphrase in the config, then release.",
        ) from error


# ---- a channel's input and output -------------------------------------------------------------------------


def _feed(channel: Channel, given: bytes) -> None:
    for at in range(0, len(given), _AT_ONCE):
        channel.sendall(given[at : at + _AT_ONCE])
    channel.shutdown_write()


def _hang_up(channel: Channel) -> None:
    # Closing says goodbye, and a dead line cannot.
    with contextlib.suppress(*_Broken):
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
