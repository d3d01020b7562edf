"""The embedded server serves its root and nothing else, and plays the faults it is told to play."""

import errno
import os
import socket
import struct
import threading
from pathlib import Path

import pytest
from paramiko import SSHException
from paramiko.sftp_client import SFTPClient

from sandbox.sftp_files import CutConnection
from sandbox.store import SftpStore


@pytest.fixture
def kind() -> str:
    return "embedded"


def outside(store: SftpStore) -> list[str]:
    """Every way out of the root: beside, above, a name that merely begins alike, dots, and two links."""
    secret = store.root.parent / "secret"
    secret.mkdir()
    (secret / "file").write_text("secret")
    (store.root.parent / f"{store.root.name}-too").write_text("secret")
    (store.root / "link").symlink_to(secret)
    (store.root / "file-link").symlink_to(secret / "file")
    (secret / "back").symlink_to(store.root / "mine")
    return [
        f"{secret}/file",
        f"{store.root}-too",
        f"{store.root}/../secret/file",
        f"{store.root}/link/file",
        f"{store.root}/link/new",
        f"{store.root}/link/back",
        f"{store.root}/file-link",
        str(store.root.parent),
        "/etc/passwd",
        "../secret/file",
        "/",
    ]


def test_nothing_outside_the_root_can_be_seen_or_changed(store, sftp):
    (store.root / "mine").write_text("mine")

    for path in outside(store):
        for ask in (
            sftp.stat,
            sftp.lstat,
            sftp.listdir,
            sftp.remove,
            sftp.rmdir,
            sftp.mkdir,
            lambda path: sftp.truncate(path, 0),
            lambda path: sftp.open(path, "rb"),
            lambda path: sftp.open(path, "wb"),
            lambda path: sftp.rename(path, f"{store.root}/stolen"),
            lambda path: sftp.posix_rename(path, f"{store.root}/stolen"),
            lambda path: sftp.rename(f"{store.root}/mine", path),
            lambda path: sftp.posix_rename(f"{store.root}/mine", path),
        ):
            with pytest.raises(PermissionError):
                ask(path)

    assert (store.root / "mine").read_text() == "mine"
    assert not (store.root / "stolen").exists()
    assert (store.root.parent / "secret/file").read_text() == "secret"
    assert {entry.name for entry in (store.root.parent / "secret").iterdir()} == {"file", "back"}


def test_a_root_behind_a_link_is_served_by_its_real_path(tmp_path, connect):
    """macOS keeps its temporary folders behind a link; `store.root` is what clients must ask for."""
    (tmp_path / "real").mkdir()
    (tmp_path / "alias").symlink_to(tmp_path / "real")
    with (
        SftpStore(tmp_path / "alias", home=tmp_path / "home", server="embedded") as store,
        connect(store) as client,
    ):
        client.open_sftp().mkdir(f"{store.root}/a")
    assert (tmp_path / "real/a").is_dir()


def test_a_relative_path_counts_from_the_root(store, sftp):
    sftp.mkdir("folder")

    assert (store.root / "folder").is_dir()
    assert sftp.normalize(".") == str(store.root)


def test_it_offers_posix_rename_and_no_hash_command(store, connect):
    """A client that asks what the server can do must not be promised a remote hash."""
    with connect(store) as client:
        channel = client.get_transport().open_session()
        channel.invoke_subsystem("sftp")
        channel.sendall(struct.pack(">IBI", 5, 1, 3))
        greeting = b""
        while len(greeting) < 4 or len(greeting) < 4 + struct.unpack(">I", greeting[:4])[0]:
            greeting += channel.recv(1024)

    assert b"posix-rename@openssh.com" in greeting
    assert b"check-file" not in greeting


def test_it_runs_no_commands(store, connect):
    with connect(store) as client, pytest.raises(SSHException):
        client.exec_command("md5sum /dev/null")


def test_an_open_file_is_followed_through_its_rename(store, sftp):
    """What is written to a handle after the rename lands in the renamed file: hence fresh partials."""
    with sftp.open(f"{store.root}/a.part", "wb") as file:
        file.write(b"before ")
        file.flush()
        sftp.posix_rename(f"{store.root}/a.part", f"{store.root}/a")
        file.write(b"after")
        file.flush()
        file.utime((7, 7))
        assert file.stat().st_size == 12

    assert (store.root / "a").read_bytes() == b"before after"
    assert (store.root / "a").stat().st_mtime == 7


class Script:
    """Raises once per planned fault; remembers what was asked."""

    def __init__(self, *faults: tuple[str, Exception]) -> None:
        self.faults = list(faults)
        self.asked: list[tuple[str, str]] = []

    def __call__(self, operation: str, path: str) -> None:
        self.asked.append((operation, Path(path).name))
        for fault in self.faults:
            if fault[0] == operation:
                self.faults.remove(fault)
                raise fault[1]


def scripted(tmp_path: Path, script: Script) -> SftpStore:
    return SftpStore(tmp_path / "root", home=tmp_path / "home", before=script)


def upload(files: SFTPClient, path: str, content: bytes) -> None:
    with files.open(path, "wbx") as file:
        file.write(content)


def test_the_script_sees_every_request_once(tmp_path, connect):
    script = Script()
    with scripted(tmp_path, script) as store, connect(store) as client, client.open_sftp() as files:
        upload(files, f"{store.root}/a", b"x")
        files.posix_rename(f"{store.root}/a", f"{store.root}/b")
        files.stat(f"{store.root}/b")

    assert script.asked == [
        ("open", "a"),
        ("write", "a"),
        ("close", "a"),
        ("posix_rename", "a"),
        ("stat", "b"),
    ]


def test_a_full_disk_is_a_failure_without_a_reason(tmp_path, connect):
    """SFTP has no word for ENOSPC; OpenSSH says "Failure" and so do we."""
    script = Script(("write", OSError(errno.ENOSPC, "full")))
    with scripted(tmp_path, script) as store, connect(store) as client, client.open_sftp() as files:
        with pytest.raises(OSError, match="Failure"):
            upload(files, f"{store.root}/a", b"x")
        upload(files, f"{store.root}/b", b"x")
    assert not script.faults


def test_a_cut_connection_gives_no_answer_and_the_next_one_works(tmp_path, connect):
    script = Script(("posix_rename", CutConnection()))
    with scripted(tmp_path, script) as store:
        with connect(store) as client, client.open_sftp() as files:
            upload(files, f"{store.root}/a", b"x")
            with pytest.raises((EOFError, OSError, SSHException)):
                files.posix_rename(f"{store.root}/a", f"{store.root}/b")
            client.get_transport().join(10)
            assert not client.get_transport().is_active()
            assert (store.root / "a").exists()
        with connect(store) as client, client.open_sftp() as files:
            files.posix_rename(f"{store.root}/a", f"{store.root}/b")
    assert (tmp_path / "root/b").exists()


def test_stopping_waits_for_the_request_it_interrupts(tmp_path, connect):
    """Nothing of a stopped server may touch the folder later, so `stop` outlasts a request that hangs."""
    reached, released = threading.Event(), threading.Event()

    def hang(operation: str, _path: str) -> None:
        if operation == "mkdir":
            reached.set()
            released.wait(60)

    store = SftpStore(tmp_path / "root", home=tmp_path / "home", before=hang)
    store.__enter__()
    with connect(store) as client:
        channel = client.get_transport().open_session()
        channel.invoke_subsystem("sftp")
        channel.sendall(struct.pack(">IBI", 5, 1, 3))
        channel.sendall(struct.pack(">IBII3sI", 16, 14, 1, 3, b"new", 0))
        assert reached.wait(30)
        stopping = threading.Thread(target=store.__exit__, args=(None, None, None))
        stopping.start()
        stopping.join(0.5)
        assert stopping.is_alive()
        released.set()
        stopping.join(30)
        assert not stopping.is_alive()
    assert (tmp_path / "root/new").is_dir()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files in /proc")
def test_no_file_or_socket_is_left_open(tmp_path, connect):
    """Clients that leave in mid-file, clients that never speak, and a script that fails in close."""
    with scripted(tmp_path, Script()) as store, connect(store):
        pass
    before = len(os.listdir("/proc/self/fd"))

    script = Script(("close", OSError(errno.EIO, "bad disk")))
    with scripted(tmp_path, script) as store:
        silent = socket.create_connection((store.host, store.port))
        with connect(store) as client:
            files = client.open_sftp()
            # paramiko's client says nothing about a close that failed.
            upload(files, f"{store.root}/a", b"x")
            files.open(f"{store.root}/half", "wb").write(b"x")
    silent.close()

    assert not script.faults
    assert len(os.listdir("/proc/self/fd")) == before
