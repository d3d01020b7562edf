"""What befalls a real sshd: a full disk in the middle of a file, a silence, names that are twins, huge offsets."""

import os
import signal
import subprocess
import unicodedata
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest
from sftp_stores import options_of, require_sshd

from sandbox.sshd import Sshd
from sandbox.store import SftpStore
from transfer.errors import ConnectionLost, StoreFull
from transfer.transports.base import Download, Failed, Got, Sent, Upload
from transfer.transports.sftp.transport import SftpTransport

P = PurePosixPath
MIB = 1 << 20


def upload(lab: Path, key: int, name: str, content: bytes) -> Upload:
    source = lab / f"source-{key}"
    source.write_bytes(content)
    return Upload(key=key, source=source, partial=P("f") / name, size=len(content), mtime_ns=0)


def ignore(_moved: int) -> None: ...


def serving(store: SftpStore) -> list[int]:
    server = store._server
    assert isinstance(server, Sshd)
    return server.sessions()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SftpStore]:
    require_sshd()
    with SftpStore(tmp_path / "store", home=tmp_path / "home", server="sshd") as running:
        yield running


@pytest.fixture
def small_store(tmp_path: Path) -> Iterator[SftpStore]:
    """A store whose disk holds 16 MiB."""
    require_sshd()
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("a small tmpfs can be mounted by root only")
    try:
        with SftpStore(folder, home=tmp_path / "home", server="sshd") as running:
            yield running
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("size", [12 * MIB + 5, 40 * MIB])
def test_a_disk_that_fills_up_fails_that_file_and_not_the_small_ones(
    small_store: SftpStore, lab: Path, size: int
) -> None:
    """What did not fit is removed again, so that there is room for others; the error names the space."""
    filler = small_store.root / "filler"
    filler.write_bytes(bytes(8 * MIB))
    with SftpTransport(options_of(small_store)) as transport:
        (failed,) = transport.put([upload(lab, 0, "large", os.urandom(size))], ignore)
        assert isinstance(failed, Failed)
        assert type(failed.error) is StoreFull
        assert "bytes free" in failed.error.sentence
        assert list(transport.stat([P("f/large")])) == [None]
        outcomes = list(
            transport.put([upload(lab, key, str(key), b"x" * 1000) for key in range(1, 9)], ignore)
        )
        assert all(isinstance(outcome, Sent) for outcome in outcomes)


def test_a_server_that_falls_silent_is_given_up(store: SftpStore, lab: Path) -> None:
    """Its sessions are stopped in the middle of a file, the lines stay open; nobody waits for ever."""
    stopped: list[int] = []

    def silence(_moved: int) -> None:
        if not stopped:
            stopped.extend(serving(store))
            for process in stopped:
                os.kill(process, signal.SIGSTOP)

    options = options_of(store).model_copy(
        update={"timeout": 1.0, "sync_timeout": 1.0, "hash_command": False}
    )
    try:
        with SftpTransport(options) as transport:
            (failed,) = transport.put([upload(lab, 0, "large", os.urandom(64 * MIB))], silence)
    finally:
        for process in stopped:
            os.kill(process, signal.SIGCONT)
    assert stopped, "the fault was not reached"
    assert isinstance(failed, Failed)
    assert type(failed.error) is ConnectionLost


def test_twins_by_case_and_by_unicode_form_stay_apart(store: SftpStore, lab: Path) -> None:
    names = [
        "spikes.npy",
        "Spikes.npy",
        unicodedata.normalize("NFC", "é.npy"),
        unicodedata.normalize("NFD", "é.npy"),
    ]
    with SftpTransport(options_of(store)) as transport:
        sent = list(
            transport.put([upload(lab, key, name, name.encode()) for key, name in enumerate(names)], ignore)
        )
        assert all(isinstance(outcome, Sent) for outcome in sent)
        seen = transport.get(
            [Download(key=key, path=P("f") / name) for key, name in enumerate(names)], ignore
        )
        digests = {outcome.md5 for outcome in seen if isinstance(outcome, Got)}
    assert len(digests) == len(names)


def test_a_size_beyond_four_gib_is_told_right(store: SftpStore) -> None:
    place = store.root / "f" / "holes"
    place.parent.mkdir(parents=True)
    with place.open("wb") as file:
        file.truncate(4096 * MIB + 3)
    with SftpTransport(options_of(store)) as transport:
        (found,) = transport.stat([P("f/holes")])
    assert found is not None
    assert found.size == 4096 * MIB + 3
