"""A file whose size no 32-bit number holds, through the whole pipeline.  It takes a minute: `pytest -m large`."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.store import SftpStore
from tests.integration.lab import Place, Program, place, programs, until
from tests.world import STORE

SIZE = 5 * 1024**3
END = b"the last bytes of a file of holes"


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Place]:
    with place(tmp_path) as made:
        made.furnish(sessions=1, files=3)
        yield made


def of_holes(file: Path) -> str:
    """Make the file one of holes with an end; answers its md5."""
    file.write_bytes(b"")
    os.truncate(file, SIZE - len(END))
    with file.open("ab") as sparse:
        sparse.write(END)
    assert file.stat().st_size == SIZE
    assert file.stat().st_blocks * 512 < SIZE / 100, "the file has no holes here"
    return digest(file)


def digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


@pytest.mark.large
@pytest.mark.timeout(600)
def test_five_gigabytes_of_holes_arrive_behind_ssh(lab: Place, sshd_path: str) -> None:
    """Sizes and offsets beyond 32 bits, the hash of holes, and the small files beside it."""
    large, *_ = sorted(lab.files)
    lab.files[large] = of_holes(lab.lab_root / large)
    with SftpStore(lab.store_root, home=lab.root / "home", server="sshd") as store, programs() as start:
        lab.sftp = store
        worker: Program = start(lab.write_config(), "worker", "--embedded-beat")
        until(lambda: worker.alive() and lab.done(), "every file has its receipt", patience=500)
        assert worker.stop() == 0, worker.said

    stored = {
        lab._stored_name(record["relative_path"], record["dataset"]): str(record["relative_path"])
        for record in lab.alyx.tables.file_records(STORE)
        if record["exists"]
    }
    found = {path: digest(lab.store_root / name) for name, path in stored.items()}
    assert found == lab.files
    sizes = lab.ask("SELECT size FROM receipts WHERE kind = 'arrival' ORDER BY size")
    assert sizes[-1].size == SIZE
