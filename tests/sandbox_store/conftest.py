"""Stores of both kinds, and a client that believes nobody but the known_hosts file."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from paramiko import RejectPolicy, SFTPClient, SSHClient

from sandbox.sshd import find_sshd
from sandbox.store import SftpStore

Connect = Callable[[SftpStore], AbstractContextManager[SSHClient]]


@pytest.fixture
def sshd() -> str:
    """The sshd of this machine: missing is a failure where everything should be installed, else a skip."""
    found = find_sshd()
    if found is None:
        message = 'no sshd here: "apt-get install openssh-server"'
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return found


@pytest.fixture(params=["sshd", "embedded"])
def kind(request: pytest.FixtureRequest) -> str:
    if request.param == "sshd":
        request.getfixturevalue("sshd")
    return str(request.param)


@pytest.fixture
def store(kind: str, tmp_path: Path) -> Iterator[SftpStore]:
    with SftpStore(tmp_path / "root", home=tmp_path / "home", server=kind) as running:
        yield running


@contextmanager
def connected(store: SftpStore) -> Iterator[SSHClient]:
    with SSHClient() as client:
        client.load_host_keys(str(store.known_hosts))
        client.set_missing_host_key_policy(RejectPolicy())
        client.connect(
            store.host,
            store.port,
            store.user,
            key_filename=str(store.key),
            look_for_keys=False,
            allow_agent=False,
        )
        yield client


@pytest.fixture
def connect() -> Connect:
    return connected


@pytest.fixture
def sftp(store: SftpStore) -> Iterator[SFTPClient]:
    with connected(store) as client, client.open_sftp() as files:
        yield files
