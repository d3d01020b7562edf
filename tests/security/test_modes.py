"""What we write on this machine is readable for those who need it and nobody else."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

from cli.failures import defect_sentence
from transfer.ledger import open_ledger
from transfer.transports.base import Download
from transfer.transports.http.growing import Growing
from transfer.transports.landing import Landing
from transfer.transports.local import LocalTransport


@pytest.fixture(autouse=True, params=[0o000, 0o022, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(place: Path) -> int:
    return stat.S_IMODE(place.stat().st_mode)


def test_a_new_ledger_and_its_folder_are_its_owners_alone(tmp_path: Path) -> None:
    """Whatever the umask says, and with what SQLite puts beside it."""
    file = tmp_path / "data" / "ledger.sqlite"
    ledger = open_ledger(f"sqlite:///{file}")
    ledger.identity()
    assert {one.name: mode(one) for one in file.parent.iterdir()}["ledger.sqlite"] == 0o600
    assert {mode(one) for one in file.parent.iterdir()} == {0o600}
    assert mode(file.parent) == 0o700 & ~0
    ledger.engine.dispose()


def test_the_rights_of_a_ledger_that_is_there_are_left_as_somebody_set_them(tmp_path: Path) -> None:
    file = tmp_path / "ledger.sqlite"
    file.touch()
    file.chmod(0o660)
    ledger = open_ledger(f"sqlite:///{file}")
    ledger.identity()
    ledger.engine.dispose()
    assert mode(file) == 0o660


def test_the_file_of_a_defect_is_its_owners_alone(tmp_path: Path) -> None:
    defect_sentence(ValueError("x"), tmp_path / "state")
    (file,) = (tmp_path / "state").iterdir()
    assert (mode(file), mode(file.parent)) == (0o600, 0o700)


def test_a_file_that_is_brought_back_has_the_rights_that_the_umask_leaves(tmp_path: Path, umask: int) -> None:
    """As any program's: a person's files are a person's to share."""
    store = tmp_path / "store"
    store.mkdir()
    (store / "a").write_bytes(b"abc")
    into = tmp_path / "here" / "a"
    list(
        LocalTransport(store).get([Download(key=0, path=PurePosixPath("a"), into=into)], lambda _count: None)
    )
    assert mode(into) == 0o666 & ~umask
    for kind in (Landing(tmp_path / "b"), Growing(tmp_path / "c", keep=True)):
        with kind:
            pass
    assert {mode(tmp_path / "b"), mode(tmp_path / "c")} == {0o666 & ~umask}
