"""A large file whose transfer broke off is continued, if what stands is proved to be its beginning."""

import hashlib
import itertools
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest
from ftp_stores import ftp_options_of, require_pyftpdlib, require_vsftpd
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sandbox.ftp_servers import FtpStore
from transfer.errors import PartialExists, SourceChanged
from transfer.transports.base import Failed, Sent, Upload
from transfer.transports.ftp import sending
from transfer.transports.ftp.line import Line
from transfer.transports.ftp.store import Store
from transfer.transports.ftp.transport import FtpTransport

P = PurePosixPath
MIB = 1 << 20
SMALL = 64 << 10

_numbers = itertools.count()


@pytest.fixture(scope="module", params=["vsftpd", "pyftpdlib"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FtpStore]:
    require_vsftpd() if request.param == "vsftpd" else require_pyftpdlib()
    with FtpStore(tmp_path_factory.mktemp(request.param), server=request.param) as running:
        (running.root / "f").mkdir()
        # vsftpd's account must be able to rename what the tests put there as somebody else.
        (running.root / "f").chmod(0o777)
        yield running


@pytest.fixture(scope="module")
def transport(store: FtpStore) -> Iterator[FtpTransport]:
    with FtpTransport(ftp_options_of(store)) as opened:
        yield opened


class Case:
    """A file of the lab and what stands at the store of an earlier attempt."""

    def __init__(self, store: FtpStore, lab: Path, content: bytes, standing: bytes, *, ended: bool) -> None:
        number = next(_numbers)
        self.content = content
        self.source = lab / f"source{number}"
        self.source.write_bytes(content)
        self.earlier, self.partial = store.root / f"f/earlier{number}", store.root / f"f/partial{number}"
        self.earlier.write_bytes(standing)
        self.earlier.chmod(0o666)
        self.upload = Upload(
            key=7,
            source=self.source,
            partial=P("f") / self.partial.name,
            size=len(content),
            mtime_ns=1_700_000_000 * 10**9,
            earlier=P("f") / self.earlier.name,
            earlier_ended=ended,
        )

    def put(self, transport: FtpTransport) -> int:
        """Send it, see that it arrived whole, and return how many bytes were sent."""
        moved: list[int] = []
        (outcome,) = transport.put([self.upload], moved.append)
        md5 = hashlib.md5(self.content).hexdigest()
        assert outcome == Sent(key=7, size=len(self.content), md5=md5)
        assert self.partial.read_bytes() == self.content
        return sum(moved)


def test_a_proved_beginning_is_not_sent_again(store: FtpStore, transport: FtpTransport, lab: Path) -> None:
    content = os.urandom(12 * MIB + 5)
    begun = 9 * MIB + 3
    case = Case(store, lab, content, content[:begun], ended=True)
    assert case.put(transport) == len(content) - begun
    assert not case.earlier.exists()


def test_a_whole_file_needs_only_its_proof(store: FtpStore, transport: FtpTransport, lab: Path) -> None:
    content = os.urandom(9 * MIB)
    assert Case(store, lab, content, content, ended=True).put(transport) == 0


def test_without_a_proved_end_of_the_earlier_attempt_everything_is_sent(
    store: FtpStore, transport: FtpTransport, lab: Path
) -> None:
    """Its worker may still write: the file is neither taken nor touched."""
    content = os.urandom(9 * MIB)
    case = Case(store, lab, content, content[: 8 * MIB], ended=False)
    assert case.put(transport) == len(content)
    assert case.earlier.read_bytes() == content[: 8 * MIB]


@pytest.mark.parametrize("at", [0, 3 * MIB + 1, 9 * MIB - 1])
def test_one_wrong_byte_and_everything_is_sent(
    store: FtpStore, transport: FtpTransport, lab: Path, at: int
) -> None:
    content = os.urandom(12 * MIB)
    standing = bytearray(content[: 9 * MIB])
    standing[at] ^= 1
    assert Case(store, lab, content, bytes(standing), ended=True).put(transport) == len(content)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    size=st.integers(0, 4 * SMALL),
    standing=st.integers(0, 4 * SMALL + 10),
    flipped=st.none() | st.integers(0, 4 * SMALL),
    ended=st.booleans(),
)
@example(size=3 * SMALL, standing=2 * SMALL, flipped=None, ended=True)
@example(size=3 * SMALL, standing=2 * SMALL, flipped=SMALL + 1, ended=True)
@example(size=3 * SMALL, standing=3 * SMALL + 1, flipped=None, ended=True)
def test_whatever_stands_the_right_bytes_arrive(
    store: FtpStore,
    transport: FtpTransport,
    tmp_path_factory: pytest.TempPathFactory,
    size: int,
    standing: int,
    flipped: int | None,
    ended: bool,
) -> None:
    content = os.urandom(size)
    there = bytearray((content + os.urandom(standing))[:standing])
    if flipped is not None and flipped < len(there):
        there[flipped] ^= 0xFF
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sending, "CONTINUED_FROM", SMALL)
        case = Case(store, tmp_path_factory.mktemp("lab"), content, bytes(there), ended=ended)
        sent = case.put(transport)
    proved = ended and SMALL <= standing <= size and bytes(there) == content[:standing]
    assert sent == (size - standing if proved else size)


def test_a_partial_that_stands_is_not_continued_over(
    store: FtpStore, transport: FtpTransport, lab: Path
) -> None:
    content = os.urandom(9 * MIB)
    case = Case(store, lab, content, content[: 8 * MIB], ended=True)
    case.partial.write_bytes(b"somebody's")
    (failed,) = transport.put([case.upload], lambda _moved: None)
    assert isinstance(failed, Failed)
    assert type(failed.error) is PartialExists
    assert case.partial.read_bytes() == b"somebody's"
    assert case.earlier.exists()


def test_a_source_that_changes_under_a_continuation_leaves_nothing(
    store: FtpStore, transport: FtpTransport, lab: Path
) -> None:
    content = os.urandom(20 * MIB)
    case = Case(store, lab, content, content[: 9 * MIB], ended=True)

    def grow(_moved: int) -> None:
        with case.source.open("ab") as file:
            file.write(b"x")

    (failed,) = transport.put([case.upload], grow)
    assert isinstance(failed, Failed)
    assert type(failed.error) is SourceChanged
    assert not case.partial.exists()


def test_offsets_beyond_4_gib(store: FtpStore, transport: FtpTransport) -> None:
    """Sizes, reading on and writing on at 5 GiB, in a file of holes."""
    at = 5 << 30
    path = store.root / "f" / "holes"
    with path.open("wb") as file:
        file.seek(at)
        file.write(b"tail")
    path.chmod(0o666)
    place = Store(P(store.remote_root), "").place(P("f/holes"))

    def read_on(line: Line) -> bytes:
        with line.transfer(f"RETR {place}", rest=at) as data:
            memory = memoryview(bytearray(100))
            got = bytearray()
            while count := data.receive(memory):
                got += memory[:count]
            return bytes(got)

    def write_on(line: Line) -> None:
        with line.transfer(f"APPE {place}") as data:
            data.send(memoryview(b" and more"), lambda _moved: None)

    try:
        assert transport._lines.ask(read_on) == b"tail"
        transport._lines.ask(write_on)
        (found,) = transport.stat([P("f/holes")])
        assert found is not None
        assert found.size == at + 13
        assert transport._lines.ask(read_on) == b"tail and more"
    finally:
        path.unlink()
