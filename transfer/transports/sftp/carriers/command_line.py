"""What the system's ssh is asked: the whole command line, from the options of an endpoint.

Promises: nothing secret is on it; ssh never asks anybody anything and never writes to a known_hosts file; each
ssh is a connection of its own, forwards nothing and runs nothing here; host, user and paths are taken for what
they are, whatever they contain.

What is not said here is left to `~/.ssh/config` and ssh's own defaults.  ssh believes the first it is told, so
what is said here wins.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from transfer.transports.sftp.options import SftpOptions

Version = tuple[int, int]

KEEPALIVE, GONE_AFTER = 15, 60  # seconds
PINNED = "alyx-transfer-pinned"
"""The name under which a pinned key stands in a file of ours, whatever the host is called."""

_ALWAYS = (
    "BatchMode=yes",
    "StrictHostKeyChecking=yes",
    "UpdateHostKeys=no",
    "CheckHostIP=no",  # it would write addresses into known_hosts
    "VerifyHostKeyDNS=no",
    "Compression=no",
    "ControlMaster=no",
    "ControlPath=none",
    "ClearAllForwardings=yes",
    "ForwardAgent=no",
    "ForwardX11=no",
    "Tunnel=no",
    "PermitLocalCommand=no",
    "RemoteCommand=none",
    "RequestTTY=no",
    "EscapeChar=none",
    f"ServerAliveInterval={KEEPALIVE}",
    f"ServerAliveCountMax={GONE_AFTER // KEEPALIVE}",
)
_SINCE_8_7 = ("ForkAfterAuthentication=no", "StdinNull=no", "SessionType=default")
_FAST_CIPHERS = "aes128-gcm@openssh.com,aes256-gcm@openssh.com"
_OTHER_CIPHERS = "chacha20-poly1305@openssh.com,aes128-ctr,aes192-ctr,aes256-ctr"


@dataclass(frozen=True, slots=True)
class Knowledge:
    """The file that says which key the server has; `pinned` if it is one of ours, with one key."""

    file: Path
    pinned: bool


def version_of(said: str) -> Version | None:
    """The version in what `ssh -V` says; None if that is not OpenSSH."""
    found = re.match(r"OpenSSH_(?:for_Windows_)?(\d+)\.(\d+)", said)
    return (int(found[1]), int(found[2])) if found else None


def command_line(
    program: str,
    version: Version,
    options: SftpOptions,
    knowledge: Knowledge | None,
    *,
    command: str | None,
    log_level: str = "ERROR",
) -> list[str]:
    """Run `command` on the server, or its SFTP if that is None.

    Without `knowledge` ssh looks where it always looks for the server's key.
    """
    said = [f"LogLevel={log_level}", *_ALWAYS, f"ConnectTimeout={ceil(options.connect_timeout)}"]
    said.append(f"Ciphers={_ciphers(version)}")
    if version >= (8, 7):
        said += [line for line in _SINCE_8_7 if command is not None or not line.startswith("SessionType")]
    if knowledge is not None:
        said += _known_by(knowledge, version)
    words = [program, *(word for line in said for word in ("-o", line)), "-l", options.user]
    words += _login(options)
    if options.port is not None:
        words += ["-p", str(options.port)]
    if command is None:
        return [*words, "-s", "--", options.host, "sftp"]
    return [*words, "--", options.host, command]


def unfit_for_a_line(path: Path) -> bool:
    """Whether ssh would read something else than this path, however it is quoted."""
    return re.search(r'["\\%$\n\r\0]', str(path)) is not None


def _ciphers(version: Version) -> str:
    # "^" puts ours before all that this ssh has; older ones want the whole list.
    return f"^{_FAST_CIPHERS}" if version >= (8, 1) else f"{_FAST_CIPHERS},{_OTHER_CIPHERS}"


def _known_by(knowledge: Knowledge, version: Version) -> Sequence[str]:
    lines = [f'UserKnownHostsFile="{knowledge.file}"', "GlobalKnownHostsFile=/dev/null"]
    if knowledge.pinned:
        lines.append(f"HostKeyAlias={PINNED}")
    if version >= (8, 5):
        lines.append("KnownHostsCommand=none")
    return lines


def _login(options: SftpOptions) -> Sequence[str]:
    if options.key is None:
        return ()
    words = ["-i", str(options.key.expanduser()).replace("%", "%%"), "-o", "IdentitiesOnly=yes"]
    return words if options.agent else [*words, "-o", "IdentityAgent=none"]
