"""A large file whose sending was cut short goes on from where it was, if what stands proves right."""

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest
from sftp_stores import options_of

from sandbox.store import SftpStore
from transfer.errors import ConnectionLost, SourceChanged
from transfer.transports.base import Failed, Sent, Upload
from transfer.transports.sftp import continuing, protocol, stripes_out, transport
from transfer.transports.sftp.sharing import STRIPE
from transfer.transports.sftp.transport import SftpTransport

P = PurePosixPath
MIB = 1 << 20
SPAN = 2 * STRIPE
SIZE = 12_345_678
CONTENT = os.urandom(SIZE)
MD5 = hashlib.md5(CONTENT).hexdigest()
FIRST, SECOND = P("session/.first.part"), P("session/.second.part")


@pytest.fixture(autouse=True)
def _small_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is worth its effort above 64 MiB is done above 4 here."""
    monkeypatch.setattr(stripes_out, "SPAN", SPAN)
    monkeypatch.setattr(continuing, "SPAN", SPAN)
    monkeypatch.setattr(continuing, "WORTH_CONTINUING", 4 * MIB)
    monkeypatch.setattr(transport, "LARGE", MIB)


@pytest.fixture
def store(sshd: SftpStore) -> Iterator[SftpStore]:
    yield sshd
    for left in (FIRST, SECOND):
        (sshd.root / left).unlink(missing_ok=True)


@pytest.fixture
def source(lab: Path) -> Path:
    (lab / "source").write_bytes(CONTENT)
    return lab / "source"


class Counter:
    """Counts what is sent, and does something once, after so many bytes."""

    def __init__(self, after: int = SIZE + 1, act: object = None) -> None:
        self.sent = 0
        self._after = after
        self._act = act

    def __call__(self, count: int) -> None:
        before, self.sent = self.sent, self.sent + count
        if before < self._after <= self.sent and callable(self._act):
            self._act()


def first_of(source: Path) -> Upload:
    return Upload(key=1, source=source, partial=FIRST, size=SIZE, mtime_ns=10**18)


def second_of(source: Path, *, ended: bool = False) -> Upload:
    return Upload(
        key=2, source=source, partial=SECOND, size=SIZE, mtime_ns=10**18, earlier=FIRST, earlier_ended=ended
    )


def go_on(store: SftpStore, upload: Upload, **changes: object) -> int:
    """Send to the end; the bytes that were sent for it."""
    counter = Counter()
    with SftpTransport(options_of(store, **changes)) as opened:
        (sent,) = opened.put([upload], counter)
    assert sent == Sent(key=2, size=SIZE, md5=MD5)
    assert (store.root / SECOND).read_bytes() == CONTENT
    return counter.sent


def leave_behind(store: SftpStore, content: bytes) -> None:
    (store.root / FIRST).parent.mkdir(exist_ok=True)
    (store.root / FIRST).write_bytes(content)


@pytest.mark.parametrize(
    ("connections", "after"),
    [(1, 1), (1, 3 * MIB), (1, 8 * MIB + 7), (1, SIZE), (3, 700_000), (3, 5 * MIB), (3, SIZE - MIB)],
)
def test_after_a_cut_line_little_is_sent_again(
    store: SftpStore, source: Path, after: int, connections: int
) -> None:
    with SftpTransport(options_of(store, connections=connections)) as opened:
        (failed,) = opened.put([first_of(source)], Counter(after, store.cut))
    assert isinstance(failed, Failed)
    assert type(failed.error) is ConnectionLost
    stands = (store.root / FIRST).stat().st_size if (store.root / FIRST).exists() else 0

    sent = go_on(store, second_of(source), connections=connections)

    assert sent <= SIZE - stands + SPAN + STRIPE
    if stands >= SPAN + STRIPE:
        assert sent < SIZE
        assert not (store.root / FIRST).exists()


KILLED = """
import os, signal, sys
from pathlib import Path, PurePosixPath
from transfer.transports.base import Upload
from transfer.transports.sftp import stripes_out, transport
from transfer.transports.sftp.options import SftpOptions
from transfer.transports.sftp.transport import SftpTransport

options, source, partial, after, span = sys.argv[1:]
stripes_out.SPAN, transport.LARGE = int(span), 1 << 20
sent = 0

def die(count):
    global sent
    sent += count
    if sent >= int(after):
        os.kill(os.getpid(), signal.SIGKILL)

upload = Upload(
    key=1, source=Path(source), partial=PurePosixPath(partial), size=os.stat(source).st_size, mtime_ns=0
)
with SftpTransport(SftpOptions.model_validate_json(options)) as opened:
    list(opened.put([upload], die))
"""


@pytest.mark.parametrize("after", [3 * MIB, 10 * MIB])
def test_after_the_death_of_the_process_little_is_sent_again(
    store: SftpStore, source: Path, after: int
) -> None:
    options = options_of(store).model_dump_json(exclude_none=True)
    killed = [sys.executable, "-c", KILLED, options, str(source), str(FIRST), str(after), str(SPAN)]
    assert subprocess.run(killed, check=False).returncode == -signal.SIGKILL
    stands = (store.root / FIRST).stat().st_size

    sent = go_on(store, second_of(source))

    assert sent <= SIZE - stands + SPAN + STRIPE


@pytest.mark.parametrize("by_hash", [True, False], ids=["hash command", "read back"])
def test_a_damaged_beginning_is_noticed_and_everything_sent(
    store: SftpStore, source: Path, by_hash: bool
) -> None:
    damaged = bytearray(CONTENT[:-MIB])
    damaged[3 * MIB] ^= 1
    leave_behind(store, damaged)

    assert go_on(store, second_of(source), hash_command=by_hash) == SIZE

    assert (store.root / FIRST).read_bytes() == damaged, "what was not proved is not removed"


@pytest.mark.parametrize("by_hash", [True, False], ids=["hash command", "read back"])
def test_a_beginning_is_proved_by_whatever_the_server_offers(
    store: SftpStore, source: Path, by_hash: bool
) -> None:
    leave_behind(store, CONTENT[: 10 * MIB])
    length = (10 * MIB - SPAN) // STRIPE * STRIPE
    assert go_on(store, second_of(source), hash_command=by_hash) == SIZE - length
    assert not (store.root / FIRST).exists()


def test_an_earlier_file_that_is_missing_short_or_long_is_no_failure(store: SftpStore, source: Path) -> None:
    whole = SIZE // STRIPE * STRIPE
    for earlier, sent in (
        (None, SIZE),
        (b"", SIZE),
        (CONTENT[: SPAN + STRIPE - 1], SIZE),
        (CONTENT + b"x" * 10 * MIB, SIZE - whole),
    ):
        if earlier is not None:
            leave_behind(store, earlier)
        assert go_on(store, second_of(source)) == sent
        (store.root / SECOND).unlink()


@pytest.mark.parametrize("ended", [True, False])
@pytest.mark.parametrize("damaged", [False, True])
def test_without_copying_on_the_server_only_the_file_of_an_ended_writer_is_taken_over(
    store: SftpStore, source: Path, ended: bool, damaged: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "COPY_DATA", "not-offered@example.org")
    content = bytearray(CONTENT[: 10 * MIB])
    content[-SPAN - STRIPE - 5] ^= damaged
    leave_behind(store, content)
    length = (10 * MIB - SPAN) // STRIPE * STRIPE

    sent = go_on(store, second_of(source, ended=ended))

    assert sent == (SIZE - length if ended and not damaged else SIZE)
    assert (store.root / FIRST).exists() is not ended
    if not ended:
        assert (store.root / FIRST).read_bytes() == content


def test_a_server_that_refuses_to_copy_gets_everything(
    store: SftpStore, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It offers more than it has."""
    monkeypatch.setattr(protocol, "COPY_DATA", "no-such@example.org")
    leave_behind(store, CONTENT[: 10 * MIB])
    counter = Counter()
    with SftpTransport(options_of(store)) as opened:
        opened._store.extensions |= {protocol.COPY_DATA}
        (sent,) = opened.put([second_of(source, ended=True)], counter)
    assert sent == Sent(key=2, size=SIZE, md5=MD5)
    assert counter.sent == SIZE
    assert (store.root / FIRST).exists()


def test_a_source_that_is_no_longer_the_same_fails_as_always(store: SftpStore, source: Path) -> None:
    leave_behind(store, CONTENT[: 10 * MIB])
    source.write_bytes(CONTENT[:-1])
    with SftpTransport(options_of(store)) as opened:
        (failed,) = opened.put([second_of(source)], Counter())
    assert isinstance(failed, Failed)
    assert type(failed.error) is SourceChanged
    assert not (store.root / SECOND).exists()
    assert (store.root / FIRST).exists()


def test_the_own_name_taken_is_still_a_failure(store: SftpStore, source: Path) -> None:
    leave_behind(store, CONTENT[: 10 * MIB])
    (store.root / SECOND).write_bytes(b"somebody's")
    with SftpTransport(options_of(store)) as opened:
        (failed,) = opened.put([second_of(source, ended=True)], Counter())
    assert isinstance(failed, Failed)
    assert (store.root / SECOND).read_bytes() == b"somebody's"


def test_a_server_that_is_gone_while_it_copies_leaves_the_earlier_file(
    store: SftpStore, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(continuing, "COPIED_AT_ONCE", STRIPE)
    leave_behind(store, CONTENT[: 10 * MIB])
    signs = 0

    def cut_at_the_second_sign(_count: int) -> None:
        nonlocal signs
        signs += 1
        if signs == 2:
            store.cut()

    with SftpTransport(options_of(store)) as opened:
        (failed,) = opened.put([second_of(source)], cut_at_the_second_sign)
    assert isinstance(failed, Failed)
    assert type(failed.error) is ConnectionLost
    assert (store.root / FIRST).read_bytes() == CONTENT[: 10 * MIB]
