"""The connection under an SFTP conversation: reached, verified, logged in, and never silent for ever.

Promises: no byte of a login is sent to a server whose key we do not know; a key that differs from the known
one is never accepted; AES-GCM is preferred (it is the fastest that paramiko has); a peer that vanished is
noticed within about a minute.

It does not know SFTP: it hands out streams.  Anything with the methods of `Carrier` can take its place.
"""

import contextlib
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from paramiko import (
    Agent,
    AuthenticationException,
    Channel,
    HostKeys,
    PasswordRequiredException,
    PKey,
    SSHException,
    Transport,
)
from paramiko.hostkeys import InvalidHostKey
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
from transfer.transports.sftp.options import SftpOptions, split_public_key
from transfer.transports.sftp.protocol import Stream

KEEPALIVE = 15
GONE_AFTER = 60  # seconds without an acknowledged packet
_PREFERRED_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")
_COMMAND_WINDOW = 64 << 20  # what a command may say before we have sent it all our input


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What a remote command said, and its exit status (None when it was killed or gave none)."""

    out: bytes
    err: bytes
    status: int | None


class Carrier(Protocol):
    """A verified connection that carries several streams."""

    def stream(self) -> Stream:
        """A new stream to the server's SFTP.  Raises `StoreRefused` if it opens no more, `ConnectionLost`."""
        ...

    def run(self, command: str, given: bytes, *, timeout: float) -> Outcome:
        """Run a command with `given` as its input.  Raises `StoreRefused`, after `timeout` s of silence."""
        ...

    def close(self) -> None: ...


class ParamikoCarrier:
    """A connection made by paramiko in this process: works everywhere, with keys, agents and passwords."""

    def __init__(self, transport: Transport, address: str, timeout: float) -> None:
        self._transport = transport
        self._address = address
        self._timeout = timeout

    def stream(self) -> Stream:
        channel = self._channel(None)
        try:
            channel.settimeout(self._timeout)
            channel.invoke_subsystem("sftp")
        except (SSHException, OSError, EOFError) as error:
            _hang_up(channel)
            raise self._failed("the server offers no SFTP") from error
        return channel

    def run(self, command: str, given: bytes, *, timeout: float) -> Outcome:
        channel = self._channel(_COMMAND_WINDOW)
        with contextlib.ExitStack() as at_last:
            at_last.callback(_hang_up, channel)
            channel.settimeout(timeout)
            try:
                channel.exec_command(command)
                _feed(channel, given)
                out = b"".join(_all_of(channel.recv))
                err = b"".join(_all_of(channel.recv_stderr))
                ended = channel.status_event.wait(timeout)
            except (SSHException, OSError, EOFError) as error:
                raise self._failed("a remote command failed") from error
            if not self._transport.is_active():
                raise ConnectionLost("the connection was lost", to=self._address)
            status = channel.exit_status if ended and channel.exit_status >= 0 else None
            return Outcome(out=out, err=err, status=status)

    def close(self) -> None:
        self._transport.close()

    def _channel(self, window: int | None) -> Channel:
        try:
            return self._transport.open_session(window_size=window, timeout=self._timeout)
        except (SSHException, OSError, EOFError) as error:
            raise self._failed("the server opens no further channel") from error

    def _failed(self, what: str) -> TransferError:
        if self._transport.is_active():
            return StoreRefused(what, to=self._address)
        return ConnectionLost("the connection was lost", to=self._address)


def connect(options: SftpOptions) -> Carrier:
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
        _verify(_negotiate(transport, options, known), known, options)
        _log_in(transport, options)
    except BaseException:
        transport.close()
        raise
    transport.set_keepalive(KEEPALIVE)
    return ParamikoCarrier(transport, options.address, options.timeout)


# ---- who the server is ------------------------------------------------------------------------------------


def known_keys(options: SftpOptions) -> Sequence[PKey]:
    """The keys this server may show: the pinned one, or those in known_hosts.  Raises `HostKeyUnknown`."""
    if options.host_key is not None:
        try:
            return [PKey.from_type_string(*split_public_key(options.host_key))]
        except (UnknownKeyType, SSHException, ValueError) as error:
            raise HostKeyUnknown("host_key is of no type that we can check", to=options.address) from error
    path = _known_hosts(options)
    try:
        entries = HostKeys(str(path)) if path.exists() else HostKeys()
    except (OSError, UnicodeError, InvalidHostKey) as error:
        raise HostKeyUnknown(
            f"{path} cannot be read", to=options.address, do="Correct the file or set host_key."
        ) from error
    found = entries.lookup(options.host if options.port == 22 else f"[{options.host}]:{options.port}")
    return list(found.values()) if found is not None else []


def _known_hosts(options: SftpOptions) -> Path:
    return (options.known_hosts or Path("~/.ssh/known_hosts")).expanduser()


def _verify(shown: PKey, known: Sequence[PKey], options: SftpOptions) -> None:
    """Raises `HostKeyUnknown` or `HostKeyChanged`, naming the fingerprint to ask for."""
    key_shown = f"{shown.get_name()} {shown.fingerprint}"
    if not known:
        raise HostKeyUnknown(
            f"the server shows {key_shown}, and {_known_hosts(options)} does not know it", to=options.address
        )
    if shown not in known:
        raise HostKeyChanged(
            f"the server shows {key_shown}, which is not the key we know", to=options.address
        )


# ---- the way there ----------------------------------------------------------------------------------------


def _dial(options: SftpOptions) -> socket.socket:
    try:
        line = socket.create_connection((options.host, options.port), options.connect_timeout)
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
    comparable = [kind for kind in allowed.key_types if any(_of_kind(key, kind) for key in known)]
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
    except (SSHException, OSError, EOFError) as error:
        raise _unreachable(options, error) from error


def _of_kind(key: PKey, kind: str) -> bool:
    return key.get_name() == kind or (key.get_name() == "ssh-rsa" and kind.startswith("rsa-sha2-"))


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


def _log_in(transport: Transport, options: SftpOptions) -> None:
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
            except (SSHException, OSError, EOFError) as error:
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
        key = _private_key(options.key, options)
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


# ---- a command's input and output -------------------------------------------------------------------------


def _feed(channel: Channel, given: bytes) -> None:
    for at in range(0, len(given), 1 << 15):
        channel.sendall(given[at : at + (1 << 15)])
    channel.shutdown_write()


def _hang_up(channel: Channel) -> None:
    # Closing says goodbye, and a dead line cannot.
    with contextlib.suppress(OSError, EOFError, SSHException):
        channel.close()


class _Receive(Protocol):
    def __call__(self, nbytes: int, /) -> bytes: ...


def _all_of(receive: _Receive) -> Iterator[bytes]:
    while piece := receive(1 << 16):
        yield piece
