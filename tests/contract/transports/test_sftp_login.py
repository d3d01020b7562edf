"""Reaching, verifying and logging in: every way it can fail has its own kind, and no secret is ever printed."""

import contextlib
import functools
import itertools
import select
import socket
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
)
from pydantic import ValidationError
from sftp_stores import options_of, require_ssh

from sandbox.store import SftpStore
from transfer.errors import (
    ConnectionLost,
    EndpointUnreachable,
    HostKeyChanged,
    HostKeyUnknown,
    LoginRefused,
    TransferError,
)
from transfer.transports.sftp.options import SftpOptions
from transfer.transports.sftp.transport import SftpTransport

SECRET = "correct-horse-battery"


Way = Callable[..., SftpOptions]
"""`options_of`, for one of the carriers."""


@pytest.fixture(params=["paramiko", "ssh"])
def way(request: pytest.FixtureRequest) -> Way:
    if request.param == "ssh":
        require_ssh()
    return functools.partial(options_of, carrier=request.param)


@pytest.fixture(scope="module", params=["sshd", "embedded"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SftpStore]:
    if request.param == "sshd":
        yield request.getfixturevalue("sshd")
        return
    tmp = tmp_path_factory.mktemp("login")
    with SftpStore(tmp / "store", home=tmp / "home", server="embedded") as embedded:
        yield embedded


def public_line(key: Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def refusal(options: SftpOptions) -> TransferError:
    with pytest.raises(TransferError) as caught, SftpTransport(options):
        pass
    told = "".join(traceback.format_exception(caught.value))
    assert SECRET not in told
    assert f"{options.user}@" not in told
    return caught.value


def test_a_known_server_lets_us_in(store: SftpStore, way: Way) -> None:
    with SftpTransport(way(store)):
        pass


def test_a_pinned_key_needs_no_file(store: SftpStore, way: Way, tmp_path: Path) -> None:
    options = way(store, host_key=f"{store.host_key} a comment", known_hosts=tmp_path / "none")
    with SftpTransport(options):
        pass


def test_a_key_that_is_not_known_is_not_accepted(store: SftpStore, way: Way, tmp_path: Path) -> None:
    for known_hosts in (tmp_path / "missing", tmp_path / "empty"):
        if known_hosts.name == "empty":
            known_hosts.write_text("# nobody yet\n")
        error = refusal(way(store, known_hosts=known_hosts))
        assert isinstance(error, HostKeyUnknown)
        assert "SHA256:" in error.what


@pytest.mark.parametrize("carrier", ["paramiko", "ssh"])
def test_a_key_known_for_another_port_is_not_known(store: SftpStore, tmp_path: Path, carrier: str) -> None:
    """A key that is known for the host as such, which is port 22, satisfies ssh on its other ports too."""
    known_hosts = tmp_path / "known_hosts"
    for host in ("[127.0.0.1]:1", "127.0.0.1") if carrier == "paramiko" else ("[127.0.0.1]:1",):
        known_hosts.write_text(f"{host} {store.host_key}\n")
        options = options_of(store, known_hosts=known_hosts, carrier=carrier)
        assert isinstance(refusal(options), HostKeyUnknown)


@pytest.mark.parametrize("pinned", [True, False])
def test_a_changed_key_is_never_accepted(store: SftpStore, way: Way, tmp_path: Path, pinned: bool) -> None:
    other = public_line(Ed25519PrivateKey.generate())
    known_hosts = tmp_path / "known_hosts"
    known_hosts.write_text(f"[{store.host}]:{store.port} {other}\n")
    options = way(store, known_hosts=known_hosts, **({"host_key": other} if pinned else {}))
    assert type(refusal(options)) is HostKeyChanged


def test_a_known_key_of_a_type_the_server_lacks_is_a_changed_key(
    store: SftpStore, way: Way, tmp_path: Path
) -> None:
    ecdsa = (
        "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBEmKSENjQEezOmxkZMy7opKgwFB9"
        "nkt5YRrYMjNuG5N87uRgg6CLrbo5wAdT/y6v0mKV0U2w0WZ2YB/++Tpockg="
    )
    assert type(refusal(way(store, host_key=ecdsa, known_hosts=tmp_path))) is HostKeyChanged


def test_another_key_of_ours_is_refused(store: SftpStore, way: Way, tmp_path: Path) -> None:
    key = tmp_path / "other"
    made = Ed25519PrivateKey.generate()
    key.write_bytes(made.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    error = refusal(way(store, key=key))
    assert type(error) is LoginRefused
    assert error.to == f"sftp://127.0.0.1:{store.port}"


def test_a_password_that_is_refused_is_not_repeated_to_anybody(store: SftpStore) -> None:
    assert type(refusal(options_of(store, carrier="paramiko", key=None, password=SECRET))) is LoginRefused


def test_an_encrypted_key_needs_its_passphrase(store: SftpStore, tmp_path: Path) -> None:
    key = tmp_path / "encrypted"
    plain = load_ssh_private_key(store.key.read_bytes(), password=None)
    key.write_bytes(
        plain.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, BestAvailableEncryption(SECRET.encode()))
    )
    with SftpTransport(options_of(store, carrier="paramiko", key=key, key_passphrase=SECRET)):
        pass
    for passphrase in (None, "wrong"):
        assert (
            type(refusal(options_of(store, carrier="paramiko", key=key, key_passphrase=passphrase)))
            is LoginRefused
        )


@pytest.mark.parametrize("content", [None, b"no key at all"])
def test_a_key_file_that_is_none_says_so(
    store: SftpStore, way: Way, tmp_path: Path, content: bytes | None
) -> None:
    key = tmp_path / "key"
    if content is not None:
        key.write_bytes(content)
    error = refusal(way(store, key=key))
    assert type(error) is LoginRefused
    assert str(key) in str(error)


def test_a_port_where_nobody_listens_is_unreachable(store: SftpStore, way: Way) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert type(refusal(way(store, port=port))) is EndpointUnreachable


def test_a_name_that_does_not_exist_is_unreachable(store: SftpStore, way: Way) -> None:
    assert type(refusal(way(store, host="no-such-host.invalid"))) is EndpointUnreachable


def test_a_server_that_says_nothing_is_unreachable_in_time(store: SftpStore, way: Way) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        options = way(store, port=silent.getsockname()[1], connect_timeout=0.3, host_key=store.host_key)
        assert type(refusal(options)) is EndpointUnreachable


def test_a_root_that_is_not_there_is_unreachable_and_never_made(store: SftpStore, way: Way) -> None:
    error = refusal(way(store, root=f"{store.root}/unmounted"))
    assert type(error) is EndpointUnreachable
    assert not (store.root / "unmounted").exists()


@pytest.mark.parametrize(
    "wrong",
    [
        {"root": "relative"},
        {"root": "/a/../b"},
        {"host_key": "ssh-ed25519 not base64"},
        {"host_key": "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIA=="},
        {"key": None},
        {"port": 0},
        {"passwort": "x"},
        {"host": "-oProxyCommand=touch"},
        {"host": "somebody@else"},
        {"host": "ssh://else"},
        {"host": "a b"},
        {"host": "a`b`"},
        {"user": "-v"},
        {"user": "a;b"},
        {"carrier": "ssh", "password": SECRET},
        {"carrier": "ssh", "key_passphrase": SECRET},
        {"carrier": "pigeon"},
    ],
)
def test_options_that_cannot_work_are_refused(store: SftpStore, wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        options_of(store, **wrong)


def test_options_never_print_a_secret(store: SftpStore) -> None:
    options = options_of(store, password=SECRET, key_passphrase=SECRET)
    assert SECRET not in f"{options!r} {options} {options.address} {options.model_dump_json()}"
    assert options.address == f"sftp://127.0.0.1:{store.port}"


def test_a_line_that_breaks_while_we_log_in_is_no_matter_for_a_person(
    sshd: SftpStore, way: Way, tmp_path: Path
) -> None:
    """However early it breaks: a refused login or a changed key would wait for somebody, a broken line must not."""
    known_hosts = tmp_path / "known_hosts"
    seen: set[type[BaseException] | None] = set()
    for after_bytes in itertools.count(50, 75):
        with Interrupted(sshd, after_bytes=after_bytes) as proxy, contextlib.ExitStack() as connected:
            known_hosts.write_text(f"[127.0.0.1]:{proxy.port} {sshd.host_key}\n")
            try:
                connected.enter_context(
                    SftpTransport(way(sshd, port=proxy.port, known_hosts=known_hosts, hash_command=False))
                )
            except TransferError as error:
                seen.add(type(error))
            else:
                break  # the line held until we were in
    assert seen <= {EndpointUnreachable, ConnectionLost}
    assert EndpointUnreachable in seen


class Interrupted:
    """A line to the store that breaks after so many bytes from us."""

    def __init__(self, store: SftpStore, *, after_bytes: int) -> None:
        self._store = store
        self._left = after_bytes

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._carry)
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._thread.join()
        self._listener.close()

    def _carry(self) -> None:
        ours, _address = self._listener.accept()
        # Whoever tries again is refused, instead of waiting for an answer.
        self._listener.close()
        with (
            ours,
            contextlib.suppress(ConnectionError),
            socket.create_connection((self._store.host, self._store.port)) as theirs,
        ):
            while self._left > 0:
                for ready in select.select([ours, theirs], [], [])[0]:
                    piece = ready.recv(65536)
                    if not piece:
                        return
                    (theirs if ready is ours else ours).sendall(piece)
                    self._left -= len(piece) if ready is ours else 0
