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
_FAST_CIPHERS = "^aes128-gcm@openssh.com,aes256-gcm@openssh.com"
_FAST_KEX = "curve25519-sha256"
_FAST_AND_LASTING_KEX = "mlkem768x25519-sha256"


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
    preferred: Sequence[str] = (),
    log_level: str = "ERROR",
) -> list[str]:
    """Run `command` on the server, or its SFTP if that is None.

    Without `knowledge` ssh looks where it always looks for the server's key.  `preferred` is what `preferences` says.
    """
    said = [f"LogLevel={log_level}", *_ALWAYS, f"ConnectTimeout={ceil(options.connect_timeout)}"]
    said += preferred
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


def question(program: str, options: SftpOptions) -> list[str]:
    """Have ssh print what its files say for this host (`ssh -G`: it connects to nobody)."""
    port = () if options.port is None else ("-p", str(options.port))
    return [program, "-G", "-l", options.user, *port, "--", options.host]


def question_without_files(program: str) -> list[str]:
    """Have ssh print what it does where no file says anything."""
    return [program, "-F", "none", "-G", "--", "localhost"]


def preferences(version: Version, said: str, said_without_files: str) -> list[str]:
    """Algorithms to try first, from the answers to the two questions: the fastest of those ssh would accept anyway.

    Where ssh's files choose for themselves, we don't: somebody had a reason.
    """
    chosen = {line for line in said.splitlines() if line not in set(said_without_files.splitlines())}

    def is_free(keyword: str) -> bool:
        return not any(line.startswith(f"{keyword} ") for line in chosen)

    preferred = []
    # "^" puts what follows before all others, from 8.1 on.
    if version >= (8, 1) and is_free("ciphers"):
        preferred.append(f"Ciphers={_FAST_CIPHERS}")
    # From 9.0 to 9.8 ssh begins with sntrup761, which takes a tenth of a second at each end of each connection.
    if (9, 0) <= version < (9, 9) and is_free("kexalgorithms"):
        preferred.append(f"KexAlgorithms=^{_FAST_KEX}")
    if version >= (9, 9) and is_free("kexalgorithms"):
        preferred.append(f"KexAlgorithms=^{_FAST_AND_LASTING_KEX},{_FAST_KEX}")
    return preferred


def unfit_for_a_line(path: Path) -> bool:
    """Whether ssh would read something else than this path, however it is quoted."""
    return re.search(r'["\\%$\n\r\0]', str(path)) is not None


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
