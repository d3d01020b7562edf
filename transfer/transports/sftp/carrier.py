"""What carries an SFTP conversation, and which carrier a config gets.

Promises of every carrier: no byte of a login is sent to a server whose key we do not know; a key that differs
from the known one is never accepted; AES-GCM is preferred (the fastest on today's processors); a peer that
vanished is noticed within about a minute.

A carrier does not know SFTP: it hands out streams, and runs commands.
"""

import os
import sys
from dataclasses import dataclass
from typing import Literal, Protocol

from transfer.errors import EndpointUnreachable
from transfer.transports.sftp.options import SftpOptions
from transfer.transports.sftp.protocol import Stream


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What a remote command said, and its exit status (None when it was killed or gave none)."""

    out: bytes
    err: bytes
    status: int | None


class Carrier(Protocol):
    """Verified connections to one server.  Every method may be called from several threads at once."""

    def stream(self) -> Stream:
        """A new stream to the server's SFTP.

        Raises `StoreRefused` if the server opens no more, `ConnectionLost`, and what `connect` raises: here, or
        at the first use of the stream.
        """
        ...

    def run(self, command: str, given: bytes, *, timeout: float) -> Outcome:
        """Run a command with `given` as its input.

        Raises `StoreRefused` where there are no commands or after `timeout` s of silence, `ConnectionLost`, and
        what `connect` raises.
        """
        ...

    def begin(self, command: str) -> Stream:
        """Start a command and talk with it: the stream is its input and its output.

        Raises as `stream` does; a command that cannot be run ends the stream.
        """
        ...

    def close(self) -> None:
        """End every connection, and whatever still runs for one."""
        ...


def connect(options: SftpOptions) -> Carrier:
    """Reach the server, verify it, log in.  The ssh carrier does so when it is first used.

    Raises `EndpointUnreachable`, `HostKeyUnknown`, `HostKeyChanged` or `LoginRefused`.
    """
    # Imported when chosen: paramiko takes as long to import as many a transfer takes.
    if choose(options) == "paramiko":
        from transfer.transports.sftp.carriers import in_process

        return in_process.connect(options)
    from transfer.transports.sftp.carriers import openssh

    program = openssh.find_ssh()
    if program is None:
        raise EndpointUnreachable(
            "there is no ssh program that can be used here",
            to=options.address,
            do='Install the OpenSSH client, or set carrier = "paramiko" in the config.',
        )
    return openssh.SshCarrier(options, program)


def choose(options: SftpOptions) -> Literal["ssh", "paramiko"]:
    """The carrier that `options` mean on this machine.

    ssh wherever it can be used: its cryptography is several times faster.  It takes no password from us.
    """
    if options.carrier != "auto":
        return options.carrier
    if sys.platform == "win32" or options.secret or not _known_account():
        return "paramiko"
    from transfer.transports.sftp.carriers import openssh

    return "ssh" if openssh.find_ssh() is not None else "paramiko"


def _known_account() -> bool:
    """ssh refuses to work for a user without an entry in the system's list, as containers often have."""
    if sys.platform == "win32":
        return True
    import pwd

    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        return False
    return True
