"""Many files on every channel, large ones over several: whatever the order of answers and whoever drops out."""

import hashlib
import os
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sftp_stores import options_of
from tiny_server import FULL, TinyServer

from sandbox.store import SftpStore
from transfer.errors import StoreDenied, StoreFull, StoreRefused
from transfer.transports.base import Download, Failed, Got, Published, Rename, Sent, Upload
from transfer.transports.landing import Landing
from transfer.transports.sftp import fetching, pipelining, protocol, sharing, stripes_out, transport
from transfer.transports.sftp.options import SftpOptions
from transfer.transports.sftp.transport import SftpTransport

P = PurePosixPath
KIB = 1 << 10
OPTIONS = SftpOptions(host="tiny", user="nobody", root=P("/root"), agent=True, connections=3)
STRIPE = 8 * KIB
SPAN = 5 * STRIPE


@pytest.fixture(autouse=True)
def _small_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything a thousand times smaller than in life."""
    for module in (sharing, stripes_out, fetching):
        monkeypatch.setattr(module, "STRIPE", STRIPE)
    monkeypatch.setattr(sharing, "WORTH_A_LINE", STRIPE)
    monkeypatch.setattr(stripes_out, "SPAN", SPAN)
    monkeypatch.setattr(fetching, "AHEAD", 4 * STRIPE)
    monkeypatch.setattr(fetching, "LARGE", 32 * KIB)
    monkeypatch.setattr(transport, "LARGE", 32 * KIB)
    monkeypatch.setattr(transport, "SMALL_PIECE", 4 * KIB)
    for module in (pipelining, fetching):
        monkeypatch.setattr(module, "WINDOW", 16 * KIB)


def ignore(_moved: int) -> None: ...


def over(server: TinyServer) -> SftpTransport:
    return SftpTransport(OPTIONS, connect=lambda options: server)


def upload(lab: Path, key: int, content: bytes) -> Upload:
    source = lab / str(key)
    source.write_bytes(content)
    return Upload(key=key, source=source, partial=P(f"folder/f{key}"), size=len(content), mtime_ns=0)


class Watchful(TinyServer):
    """Sees whether a file, cut short at any moment, would be whole up to `SPAN` before its end."""

    def __init__(self, **parts: object) -> None:
        super().__init__(**parts)  # type: ignore[arg-type]
        self.written: dict[bytes, list[tuple[int, int]]] = {}
        self.widest = 0
        self.writers: set[int] = set()

    def answer(self, kind: int, body: protocol.Fields) -> tuple[int, bytes]:
        if kind == protocol.WRITE:
            peek = protocol.Fields(body._body)
            name, at, length = peek.string(), peek.u64(), peek.u32()
            spans = self.written.setdefault(name, [])
            spans.append((at, at + length))
            whole = 0
            for start, end in sorted(spans):
                if start > whole:
                    break
                whole = max(whole, end)
            self.widest = max(self.widest, max(end for _, end in spans) - whole)
            self.writers.add(threading.get_ident())
        return super().answer(kind, body)


def shuffled(seed: int) -> TinyServer:
    chance = random.Random(seed)

    def order(answers: list[bytes]) -> list[bytes]:
        return chance.sample(answers, len(answers))

    return Watchful(order=order, short=chance.choice([1 << 20, 3000]))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 1 << 30), sizes=st.lists(st.integers(0, 300_000), min_size=1, max_size=8))
def test_files_of_all_sizes_arrive_and_come_back(tmp_path: Path, seed: int, sizes: list[int]) -> None:
    """And at no moment does a byte stand more than the span beyond the first one that is missing."""
    contents = [os.urandom(size) for size in sizes]
    server = shuffled(seed)
    moved: list[int] = []
    with over(server) as opened:
        uploads = [upload(tmp_path, key, content) for key, content in enumerate(contents)]
        sent = {outcome.key: outcome for outcome in opened.put(iter(uploads), moved.append)}
        assert sent == {
            key: Sent(key=key, size=len(content), md5=hashlib.md5(content).hexdigest())
            for key, content in enumerate(contents)
        }
        assert sum(moved) == sum(sizes)
        assert server.files == {
            f"/root/folder/f{key}".encode(): content for key, content in enumerate(contents)
        }
        assert isinstance(server, Watchful)
        assert server.widest <= SPAN
        moved.clear()
        downloads = [Download(key=u.key, path=u.partial, into=tmp_path / f"back{u.key}") for u in uploads]
        got = {outcome.key: outcome for outcome in opened.get(iter(downloads), moved.append)}
        assert got == {key: Got(key=key, size=one.size, md5=one.md5) for key, one in sent.items()}
        assert sum(moved) == sum(sizes)
        for key, content in enumerate(contents):
            assert (tmp_path / f"back{key}").read_bytes() == content


@pytest.mark.parametrize("kind", [protocol.OPEN, protocol.WRITE, protocol.CLOSE, protocol.STAT])
@pytest.mark.parametrize("size", [1000, 200_000])
def test_one_refused_file_fails_alone_whatever_is_refused(lab: Path, kind: int, size: int) -> None:
    class Refusing(Watchful):
        def answer(self, kind_: int, body: protocol.Fields) -> tuple[int, bytes]:
            if kind_ == kind and protocol.Fields(body._body).string().endswith(b"f7"):
                looking_for_it = kind == protocol.STAT and b"/root/folder/f7" not in self.files
                if not looking_for_it and not (kind == protocol.CLOSE and self.reading):
                    body.string()
                    return protocol.STATUS, b"\0\0\0\3" + protocol.string("no") + protocol.string("")
            return super().answer(kind_, body)

        reading = False

    server = Refusing()
    with over(server) as opened:
        uploads = [upload(lab, key, os.urandom(size)) for key in range(20)]
        outcomes = {outcome.key: outcome for outcome in opened.put(uploads, ignore)}
        failed = outcomes.pop(7)
        assert isinstance(failed, Failed)
        assert type(failed.error) is StoreDenied
        assert failed.error.__cause__ is not None
        assert all(isinstance(outcome, Sent) for outcome in outcomes.values())
        assert set(server.files) == {f"/root/folder/f{key}".encode() for key in range(20) if key != 7}
        server.reading = True
        # Every answer was accounted for: the channels are as good as new.
        got = list(opened.get([Download(key=u.key, path=u.partial) for u in uploads if u.key != 7], ignore))
        assert len(got) == 19
        assert all(isinstance(outcome, Got) for outcome in got)


def test_a_large_file_is_written_by_several_lines_and_small_ones_do_not_wait_for_it(lab: Path) -> None:
    server = Watchful()
    large = upload(lab, 0, os.urandom(2_000_000))
    small = [upload(lab, key, os.urandom(100)) for key in range(1, 40)]
    with over(server) as opened:
        outcomes = [outcome.key for outcome in opened.put([large, *small], ignore)]
    assert sorted(outcomes) == list(range(40))
    assert outcomes.index(0) > 20
    assert len(server.writers) > 1


def test_a_line_that_gets_no_handle_of_its_own_leaves_the_file_to_the_others(lab: Path) -> None:
    class Stingy(Watchful):
        def answer(self, kind: int, body: protocol.Fields) -> tuple[int, bytes]:
            if kind == protocol.OPEN:
                peek = protocol.Fields(body._body)
                peek.string()
                if peek.u32() == protocol.FOR_WRITING:
                    return protocol.STATUS, b"\0\0\0\4" + protocol.string("no") + protocol.string("")
            return super().answer(kind, body)

    content = os.urandom(500_000)
    server = Stingy()
    with over(server) as opened:
        (sent,) = opened.put([upload(lab, 0, content)], ignore)
    assert isinstance(sent, Sent)
    assert server.files == {b"/root/folder/f0": content}


def test_refusals_that_trickle_in_do_not_disturb_the_search_for_their_reason(lab: Path) -> None:
    server = TinyServer(space=FULL, fails={protocol.WRITE: protocol.FAILURE}, at_once=30)
    with over(server) as opened:
        for size in (20_000, 200_000):
            (failed,) = opened.put([upload(lab, 0, os.urandom(size))], ignore)
            assert isinstance(failed, Failed)
            assert type(failed.error) is StoreFull
            assert server.files == {}


def test_a_slow_disk_of_ours_is_not_read_for_far_ahead(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Noting(TinyServer):
        furthest = 0

        def answer(self, kind: int, body: protocol.Fields) -> tuple[int, bytes]:
            if kind == protocol.READ:
                peek = protocol.Fields(body._body)
                peek.string()
                self.furthest = max(self.furthest, peek.u64() + peek.u32())
            return super().answer(kind, body)

    server = Noting(files={b"/root/f": os.urandom(1_000_000)})
    at_first: list[int] = []
    add = Landing.add

    def slowly(landing: Landing, piece: bytes | memoryview) -> None:
        if not at_first:
            time.sleep(0.2)
            at_first.append(server.furthest)
        add(landing, piece)

    monkeypatch.setattr(Landing, "add", slowly)
    with over(server) as opened:
        (got,) = opened.get([Download(key=0, path=P("f"))], ignore)
    assert isinstance(got, Got)
    assert at_first[0] <= 4 * STRIPE


@pytest.mark.parametrize("size", [10, 500_000])
def test_nothing_is_asked_of_a_source_before_its_turn(lab: Path, size: int) -> None:
    """Few files are open at a time, however many are under way."""
    most = 0

    def count(_moved: int) -> None:
        nonlocal most
        most = max(most, len(os.listdir("/proc/self/fd")))

    if not Path("/proc/self/fd").exists():
        pytest.skip("needs /proc")
    with over(TinyServer()) as opened:
        uploads = [upload(lab, key, os.urandom(size)) for key in range(200 if size < 1000 else 20)]
        before = len(os.listdir("/proc/self/fd"))
        assert all(isinstance(outcome, Sent) for outcome in opened.put(uploads, count))
    assert most <= before + 12


def test_many_renames_are_flushed_once_per_folder_and_before_they_are_reported(lab: Path) -> None:
    class Listening(TinyServer):
        def answer(self, kind: int, body: protocol.Fields) -> tuple[int, bytes]:
            if kind == protocol.OPEN:
                return protocol.HANDLE, protocol.string("folder")
            if kind == protocol.EXTENDED:
                what = protocol.Fields(body._body).string().decode()
                log.append(what)
                if what == protocol.POSIX_RENAME:
                    body.string()
                    return protocol.STATUS, b"\0\0\0\0" + protocol.string("") + protocol.string("")
            return super().answer(kind, body)

    log: list[str] = []
    with over(Listening()) as opened:
        log.clear()
        renames = [
            Rename(key=key, partial=P(f"a/x{key}"), final=P(f"{'ab'[key % 2]}/{key}")) for key in range(90)
        ]
        outcomes = opened.publish(iter(renames))
        assert next(outcomes) == Published(key=0)
        assert log.count(protocol.POSIX_RENAME) == 90
        assert log.count(protocol.FSYNC) == 2
        assert len(list(outcomes)) == 89


# ---- a real server ----------------------------------------------------------------------------------------


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


def test_modes_are_as_configured_whatever_the_umask(tmp_path: Path, lab: Path, umask: None) -> None:
    from sftp_stores import require_sshd

    require_sshd()
    with SftpStore(tmp_path / "store", home=tmp_path / "home", server="sshd") as store:
        for number, (file_mode, folder_mode) in enumerate([(0o644, 0o755), (0o660, 0o770)]):
            partial = P(f"new{number}/deeper/f")
            wanted = Upload(
                key=0, source=upload(lab, 0, b"x").source, partial=partial, size=1, mtime_ns=10**18
            )
            options = options_of(store, file_mode=file_mode, folder_mode=folder_mode)
            with SftpTransport(options) as opened:
                (sent,) = opened.put([wanted], ignore)
            assert isinstance(sent, Sent)
            found = (store.root / partial).stat()
            assert (found.st_mode & 0o777, found.st_mtime) == (file_mode, 10**9)
            for folder in (store.root / partial).parents[:2]:
                assert folder.stat().st_mode & 0o777 == folder_mode


def test_a_folder_that_cannot_be_made_fails_its_files_and_only_them(sshd: SftpStore, lab: Path) -> None:
    (sshd.root / "file").write_bytes(b"in the way")
    uploads = [upload(lab, key, b"x") for key in range(40)]
    inside = [
        Upload(key=u.key, source=u.source, partial=P(f"file/{u.key % 3}/{u.key}"), size=1, mtime_ns=0)
        if u.key % 2
        else u
        for u in uploads
    ]
    with SftpTransport(options_of(sshd)) as opened:
        outcomes = {outcome.key: outcome for outcome in opened.put(inside, ignore)}
    for key in range(40):
        if key % 2:
            failed = outcomes[key]
            assert isinstance(failed, Failed)
            assert type(failed.error) is StoreRefused
            assert "a file stands" in failed.error.what
        else:
            assert isinstance(outcomes[key], Sent)
