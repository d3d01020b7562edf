"""What is tried out at a store before bytes move: on every kind of store, and on servers that refuse."""

import os
import tempfile
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path, PurePosixPath

import pytest
from ftp_stores import ftp_options_of, require_pyftpdlib
from sftp_stores import options_of, require_sshd

from sandbox.ftp_servers import FtpStore
from sandbox.store import SftpStore
from transfer.conformance import Unwritable, habits, try_rights
from transfer.errors import StoreDenied
from transfer.paths import is_leftover
from transfer.transports.base import RemoteFile, Sent, StreamingTransport
from transfer.transports.ftp.transport import FtpTransport
from transfer.transports.local import LocalTransport
from transfer.transports.sftp.transport import SftpTransport

P = PurePosixPath


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "store"
    folder.mkdir()
    return folder


def files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


def test_the_clock_of_every_store_can_be_read(transport: StreamingTransport, lab: Path) -> None:
    """It is this machine's here; nothing stays, and the transport can be used afterwards."""
    ahead = habits.clock_ahead(transport, lab)
    assert ahead is not None
    assert abs(ahead) < timedelta(seconds=60)
    assert list(transport.list_leftovers(habits.FOLDERS)) == []
    assert habits.clock_ahead(transport, lab) is not None


def test_a_store_on_a_plain_disk_tells_all_names_apart(transport: StreamingTransport, lab: Path) -> None:
    assert habits.names(transport, lab) == habits.Names(folds_case=False, folds_unicode=False, takes_odd=True)
    assert list(transport.list_leftovers(habits.FOLDERS)) == []


class Elsewhere(LocalTransport):
    """A store whose clock goes `ahead` seconds before ours."""

    ahead = 0.0

    def stat(self, paths: Sequence[PurePosixPath]) -> Iterator[RemoteFile | None]:
        for found in super().stat(paths):
            assert found is not None
            later = found.mtime_ns + int(self.ahead * 1e9)
            yield RemoteFile(path=found.path, size=found.size, mtime_ns=later)


@pytest.mark.parametrize("ahead", [-3600.0, 0.0, 7200.0])
def test_a_clock_that_goes_wrong_is_measured(place: Path, lab: Path, ahead: float) -> None:
    with Elsewhere(place) as store:
        store.ahead = ahead
        found = habits.clock_ahead(store, lab)
    assert found is not None
    assert abs(found.total_seconds() - ahead) < 60


def test_a_store_that_does_not_break_off_tells_no_time(place: Path, lab: Path) -> None:
    """What it wrote has the source's time, which says nothing of the store's clock."""

    class Deaf(LocalTransport):
        def put(self, uploads, moved):  # type: ignore[no-untyped-def]
            return super().put(uploads, lambda _moved: None)

    with Deaf(place) as store:
        assert habits.clock_ahead(store, lab) is None
    assert files(place) == []


class Forgiving(LocalTransport):
    """A store on a disk that takes several spellings for one name, or refuses some, as shares do."""

    case = unicode = False
    refused = ""

    def _spelt(self, path: PurePosixPath) -> PurePosixPath:
        text = str(path)
        text = unicodedata.normalize("NFD", text) if self.unicode else text
        return P(text.lower() if self.case else text)

    def stat(self, paths: Sequence[PurePosixPath]) -> Iterator[RemoteFile | None]:
        return super().stat([self._spelt(path) for path in paths])

    def remove(self, paths: Sequence[PurePosixPath]):  # type: ignore[no-untyped-def]
        return super().remove([self._spelt(path) for path in paths])

    def _send(self, upload, moved) -> Sent:  # type: ignore[no-untyped-def]
        if set(self.refused) & set(str(upload.partial)):
            raise StoreDenied("the disk takes no such name", to=upload.partial)
        return super()._send(replace(upload, partial=self._spelt(upload.partial)), moved)


@pytest.mark.parametrize("case", [False, True])
@pytest.mark.parametrize("unicode", [False, True])
@pytest.mark.parametrize("refused", ["", '<>"|?*', "ï"])
def test_what_a_forgiving_disk_does_with_names_is_found(
    place: Path, lab: Path, case: bool, unicode: bool, refused: str
) -> None:
    with Forgiving(place) as store:
        store.case, store.unicode, store.refused = case, unicode, refused
        found = habits.names(store, lab)
    accents = "ï" not in refused
    assert found == habits.Names(
        folds_case=case, folds_unicode=unicode if accents else None, takes_odd="?" not in refused
    )
    assert files(place) == []


# ---- servers that let write, and refuse the rest


@pytest.fixture(params=["ftp: no rename", "ftp: no delete", "sftp: no rename", "sftp: no delete"])
def strict(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[StreamingTransport, Path]]:
    """A real server of which one right was taken away."""
    kind, _, right = request.param.partition(": no ")
    with ExitStack() as running:
        if kind == "ftp":
            require_pyftpdlib()
            letters = "elradfmwMT".replace("f" if right == "rename" else "d", "")
            ftp = FtpStore(tmp_path / "home", server="pyftpdlib", tls="none", permissions=letters)
            running.enter_context(ftp)
            yield running.enter_context(FtpTransport(ftp_options_of(ftp))), ftp.root
        else:
            require_sshd()
            requests = "rename,posix-rename" if right == "rename" else "remove"
            options = (f"ForceCommand internal-sftp -P {requests}",)
            ssh = SftpStore(tmp_path / "store", home=tmp_path / "home", server="sshd", options=options)
            running.enter_context(ssh)
            yield running.enter_context(SftpTransport(options_of(ssh))), ssh.root


def test_a_right_that_a_server_does_not_give_is_found(
    strict: tuple[StreamingTransport, Path], lab: Path
) -> None:
    """What may stay then has a name that `tidy` knows."""
    transport, root = strict
    with pytest.raises(StoreDenied):
        try_rights(transport, P("alf"), lab)
    assert all(is_leftover(path.name) for path in files(root))


def test_where_a_disk_cannot_be_written_no_other_right_is_judged() -> None:
    """A real folder of somebody else's, seen by another account."""
    if os.geteuid() != 0:
        pytest.skip("the account can be changed by root only")
    with tempfile.TemporaryDirectory() as box:
        Path(box).chmod(0o755)
        store, lab = Path(box) / "store", Path(box) / "lab"
        store.mkdir(mode=0o755)
        lab.mkdir()
        lab.chmod(0o777)
        os.seteuid(65534)
        try:
            with LocalTransport(store) as transport, pytest.raises(Unwritable):
                try_rights(transport, P("alf"), lab)
        finally:
            os.seteuid(0)
        assert files(store) == []
