"""Logging in with paramiko: reach the server, make sure who it is, tell it who we are.

Promises: no byte of a login is sent before the server proved to have a key that we know.
"""

import contextlib
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from paramiko import (
    Agent,
    AuthenticationException,
    PasswordRequiredException,
    PKey,
    SSHException,
    Transport,
)
from paramiko.pkey import UnknownKeyType
from paramiko.ssh_exception import IncompatiblePeer

from transfer.errors import EndpointUnreachable, HostKeyChanged, LoginRefused
from transfer.transports.sftp.carriers.server_keys import is_of_kind, known_keys, require_known
from transfer.transports.sftp.options import SSH_PORT, SftpOptions

KEEPALIVE = 15
GONE_AFTER = 60  # seconds without an acknowledged packet
BROKEN = (SSHException, OSError, EOFError)
"""All that paramiko raises when a line breaks."""

_PREFERRED_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")


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
    except BROKEN as error:
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
            except BROKEN as error:
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
