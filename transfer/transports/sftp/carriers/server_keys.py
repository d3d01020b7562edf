"""Which keys a server may show, for paramiko, which leaves that to us.

Known is what is pinned in the config, or else what stands in known_hosts under the server's name, with the port
where it is not 22.
"""

from collections.abc import Sequence
from pathlib import Path

from paramiko import HostKeys, PKey, SSHException
from paramiko.hostkeys import InvalidHostKey
from paramiko.pkey import UnknownKeyType

from transfer.errors import HostKeyChanged, HostKeyUnknown
from transfer.transports.sftp.options import SSH_PORT, SftpOptions, split_public_key


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
    port = options.port or SSH_PORT
    found = entries.lookup(options.host if port == SSH_PORT else f"[{options.host}]:{port}")
    return list(found.values()) if found is not None else []


def require_known(shown: PKey, known: Sequence[PKey], options: SftpOptions) -> None:
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


def is_of_kind(key: PKey, kind: str) -> bool:
    """Whether `kind`, a host key algorithm, proves possession of a key like this."""
    return key.get_name() == kind or (key.get_name() == "ssh-rsa" and kind.startswith("rsa-sha2-"))


def _known_hosts(options: SftpOptions) -> Path:
    return (options.known_hosts or Path("~/.ssh/known_hosts")).expanduser()
