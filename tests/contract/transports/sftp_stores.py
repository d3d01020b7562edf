"""How the tests reach a store of the sandbox."""

import os

import pytest

from sandbox.sshd import find_sshd
from sandbox.store import SftpStore
from transfer.transports.sftp.carriers.openssh import find_ssh
from transfer.transports.sftp.options import SftpOptions


def options_of(store: SftpStore, **changes: object) -> SftpOptions:
    """The options a config would have for this store."""
    known = {"host": store.host, "port": store.port, "user": store.user, "root": str(store.root)}
    login = {"key": store.key, "known_hosts": store.known_hosts, "timeout": 20.0}
    return SftpOptions.model_validate({**known, **login, **changes})


def require_sshd() -> None:
    require(find_sshd() is not None, "no sshd: apt-get install openssh-server")


def require_ssh() -> None:
    require(find_ssh() is not None, "no OpenSSH client: apt-get install openssh-client")


def require(fulfilled: bool, message: str) -> None:
    """Skip a test that cannot run here; in CI, where everything can, fail it."""
    if not fulfilled:
        pytest.fail(message) if os.environ.get("CI") == "true" else pytest.skip(message)
