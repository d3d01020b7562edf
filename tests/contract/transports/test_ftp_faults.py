"""An FTP store that goes away, fills up, denies, falls silent or hangs up: a real server does each of them."""

import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import pytest
from ftp_stores import ftp_options_of, require_pyftpdlib, require_vsftpd

from sandbox.ftp_servers import FtpStore, Tls
from sandbox.ftp_servers_pyftpdlib import CLOSE_DATA, HANG_UP, SILENCE
from transfer.errors import (
    ConnectionLost,
    PathTooLong,
    QuotaExceeded,
    RenameDoesNotReplace,
    StoreDenied,
    StoreFull,
    TransferError,
)
from transfer.transports.base import Download, Failed, Got, Published, Rename, Sent, Upload
from transfer.transports.ftp import transport as ftp_transport
from transfer.transports.ftp.options import FtpOptions
from transfer.transports.ftp.transport import FtpTransport
from transfer.transports.wrappers import Reconnecting

P = PurePosixPath
MIB = 1 << 20


class Script:
    """Answers the next commands of a verb in its own way; `after` lets as many pass first."""

    def __init__(self, verb: str, *answers: str, after: int = 0) -> None:
        self.verb = verb
        self.heard = 0
        self._answers = list(answers)
        self._after = after

    def __call__(self, verb: str, argument: str) -> str | None:
        if verb != self.verb:
            return None
        self.heard += 1
        return self._answers.pop(0) if self.heard > self._after and self._answers else None


def upload(lab: Path, key: int, size: int, folder: str = "f") -> Upload:
    source = lab / str(key)
    source.write_bytes(os.urandom(size))
    return Upload(key=key, source=source, partial=P(folder) / str(key), size=size, mtime_ns=0)


def ignore(_moved: int) -> None: ...


def error_of(outcome: object) -> TransferError:
    assert isinstance(outcome, Failed)
    return outcome.error


def pyftpd(tmp_path: Path, tls: Tls = "explicit", **more: object) -> FtpStore:
    require_pyftpdlib()
    return FtpStore(tmp_path / "home", server="pyftpdlib", tls=tls, **more)


def vsftpd(home: Path, *options: str) -> FtpStore:
    require_vsftpd()
    return FtpStore(home, server="vsftpd", options=options)


@pytest.fixture(params=["vsftpd", "pyftpdlib"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FtpStore]:
    made = vsftpd(tmp_path / "home") if request.param == "vsftpd" else pyftpd(tmp_path)
    with made as running:
        yield running


@pytest.fixture
def threads_end() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert [one for one in threading.enumerate() if one not in before and "hand" in one.name] == []


# ---- the line is cut ----------------------------------------------------------------------------------------


def cutting(store: FtpStore, *at: int) -> Callable[[int], None]:
    """A `moved` that cuts the line each time so many bytes have gone by."""
    left, lock, moved = list(at), threading.Lock(), 0

    def count(by: int) -> None:
        nonlocal moved
        with lock:
            moved += by
            if left and moved >= left[0]:
                del left[0]
                store.cut()

    return count


def test_a_cut_line_fails_what_is_unfinished_and_only_that(store: FtpStore, lab: Path) -> None:
    small = [upload(lab, key, 1000) for key in range(3)]
    large = [upload(lab, key, 8 * MIB) for key in range(3, 9)]
    with FtpTransport(ftp_options_of(store, connections=1)) as transport:
        outcomes = {o.key: o for o in transport.put([*small, *large], cutting(store, 4 * MIB))}
        assert all(isinstance(outcomes[key], Sent) for key in range(3))
        for key in range(3, 9):
            error = error_of(outcomes[key])
            assert type(error) is ConnectionLost
            assert error.__cause__ is not None
        with pytest.raises(ConnectionLost):
            list(transport.stat([small[0].partial]))
        (lost,) = transport.publish([Rename(key=0, partial=small[0].partial, final=P("final"))])
        assert type(error_of(lost)) is ConnectionLost
    assert not (store.root / "final").exists()


def test_a_cut_line_ends_a_batch_on_several_connections(
    store: FtpStore, lab: Path, threads_end: None
) -> None:
    uploads = [upload(lab, key, 4 * MIB) for key in range(8)]
    with FtpTransport(ftp_options_of(store)) as transport:
        outcomes = list(transport.put(uploads, cutting(store, 3 * MIB)))
    assert {outcome.key for outcome in outcomes} == set(range(8))
    assert {type(outcome.error) for outcome in outcomes if isinstance(outcome, Failed)} == {ConnectionLost}


def test_a_download_goes_on_where_it_was_cut(store: FtpStore, lab: Path) -> None:
    """Two cuts in one file: each time the rest is asked for, and the bytes are right."""
    content = os.urandom(12 * MIB)
    (store.root / "large").write_bytes(content)
    moved = 0
    cut = cutting(store, 3 * MIB, 7 * MIB)

    def count(by: int) -> None:
        nonlocal moved
        moved += by
        cut(by)

    with FtpTransport(ftp_options_of(store, connections=1)) as transport:
        (got,) = transport.get([Download(key=0, path=P("large"), into=lab / "copy")], count)
    assert isinstance(got, Got)
    assert got.size == moved == len(content)
    assert (lab / "copy").read_bytes() == content


def test_a_download_that_is_always_cut_is_given_up(tmp_path: Path, lab: Path) -> None:
    with pyftpd(tmp_path, before=Script("RETR", *[CLOSE_DATA] * 99)) as store:
        (store.root / "large").write_bytes(bytes(MIB))
        with FtpTransport(ftp_options_of(store, connections=1, timeout=1.0)) as transport:
            (failed,) = transport.get([Download(key=0, path=P("large"), into=lab / "copy")], ignore)
    assert type(error_of(failed)) is ConnectionLost
    assert not (lab / "copy").exists()


def test_reads_and_removals_go_on_over_a_fresh_connection(store: FtpStore, lab: Path) -> None:
    uploads = [upload(lab, key, 10_000) for key in range(6)]
    with Reconnecting(lambda: FtpTransport(ftp_options_of(store)), sleep=lambda _s: None) as transport:
        assert all(isinstance(outcome, Sent) for outcome in transport.put(uploads, ignore))
        store.cut()
        assert all(transport.stat([u.partial for u in uploads]))
        store.cut()
        assert list(transport.remove([u.partial for u in uploads])) == []
    assert list((store.root / "f").iterdir()) == []


def test_lines_that_the_server_closed_between_two_batches_are_replaced(store: FtpStore, lab: Path) -> None:
    """As after minutes of idleness: nothing was under way, so nothing is lost."""
    with FtpTransport(ftp_options_of(store)) as transport:
        assert len(list(transport.put([upload(lab, key, 10) for key in range(6)], ignore))) == 6
        store.cut()
        outcomes = list(transport.put([upload(lab, key, 10, "g") for key in range(6)], ignore))
    assert all(isinstance(outcome, Sent) for outcome in outcomes)


def test_a_server_that_says_421_between_two_files_is_dialled_again(tmp_path: Path, lab: Path) -> None:
    script = Script("CWD", "421 Too many commands, good bye.", after=3)
    with (
        pyftpd(tmp_path, before=script) as store,
        FtpTransport(ftp_options_of(store, connections=1)) as transport,
    ):
        uploads = [upload(lab, key, 10, f"folder{key}") for key in range(3)]
        outcomes = list(transport.put(uploads, ignore))
    assert all(isinstance(outcome, Sent) for outcome in outcomes)


@pytest.mark.parametrize("answer", ["421 Good bye.", HANG_UP, CLOSE_DATA])
def test_a_server_that_leaves_in_the_middle_of_a_file(tmp_path: Path, lab: Path, answer: str) -> None:
    with (
        pyftpd(tmp_path, before=Script("STOR", answer)) as store,
        FtpTransport(ftp_options_of(store, connections=1, timeout=2.0)) as transport,
    ):
        (failed,) = transport.put([upload(lab, 0, 4 * MIB)], ignore)
    assert type(error_of(failed)) is ConnectionLost


@pytest.mark.parametrize("verb", ["STOR", "SIZE", "EPSV", "RNTO"])
def test_a_server_that_falls_silent_is_given_up(tmp_path: Path, lab: Path, verb: str) -> None:
    with (
        pyftpd(tmp_path, before=Script(verb, *[SILENCE] * 9)) as store,
        FtpTransport(ftp_options_of(store, connections=1, timeout=0.5)) as transport,
    ):
        one = upload(lab, 0, 10)
        outcomes = list(transport.put([one], ignore))
        if verb == "RNTO":
            outcomes = list(transport.publish([Rename(key=0, partial=one.partial, final=P("x"))]))
    assert type(error_of(outcomes[0])) is ConnectionLost


def test_a_stream_that_stalls_is_given_up(tmp_path: Path, lab: Path) -> None:
    """The server takes a connection, some bytes, and then no more."""
    release = threading.Event()
    with (
        pyftpd(tmp_path) as store,
        FtpTransport(ftp_options_of(store, connections=1, timeout=0.5)) as transport,
    ):
        (failed,) = transport.put([upload(lab, 0, 32 * MIB)], lambda _moved: store.freeze(release))
        release.set()
    assert type(error_of(failed)) is ConnectionLost
    assert "silent" in str(error_of(failed))


def test_an_abandoned_batch_leaves_no_thread(store: FtpStore, lab: Path, threads_end: None) -> None:
    uploads = [upload(lab, key, 4 * MIB) for key in range(8)]
    with FtpTransport(ftp_options_of(store)) as transport:
        outcomes = transport.put(uploads, ignore)
        next(outcomes)
        outcomes.close()  # type: ignore[attr-defined]
        assert len(list(transport.put([upload(lab, 9, 10)], ignore))) == 1


# ---- full ---------------------------------------------------------------------------------------------------

FULL = {
    "452 Insufficient storage space.": StoreFull,
    "552 Exceeded storage allocation.": QuotaExceeded,
    "552 Disk quota exceeded.": QuotaExceeded,
    "426 No space left on device; transfer aborted.": StoreFull,
    "451 Requested action aborted: local error.": StoreFull,
}


@pytest.mark.parametrize("reply", FULL)
@pytest.mark.parametrize("tls", ["explicit", "none"])
def test_a_full_store_says_so_and_is_not_kept_full(tmp_path: Path, lab: Path, reply: str, tls: Tls) -> None:
    with pyftpd(tmp_path, tls, capacity=2 * MIB, when_full=reply) as store:
        with FtpTransport(ftp_options_of(store)) as transport:
            large, small = upload(lab, 0, 6 * MIB), upload(lab, 1, 10)
            (failed,) = transport.put([large], ignore)
            (sent,) = transport.put([small], ignore)
        assert type(error_of(failed)) is FULL[reply]
        assert isinstance(sent, Sent)
        assert [path.name for path in (store.root / "f").iterdir()] == ["1"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("a small tmpfs can be mounted by root only")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_at_a_terse_server_is_found_out(small_disk: Path, lab: Path) -> None:
    """vsftpd says 451 and nothing about space."""
    with vsftpd(small_disk / "home") as store:
        with FtpTransport(ftp_options_of(store)) as transport:
            (failed,) = transport.put([upload(lab, 0, 8 * MIB)], ignore)
            (sent,) = transport.put([upload(lab, 1, 10)], ignore)
        assert type(error_of(failed)) is StoreFull
        assert isinstance(sent, Sent)
        assert [path.name for path in (store.root / "f").iterdir()] == ["1"]


# ---- denied -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("server", ["vsftpd", "pyftpdlib"])
def test_a_read_only_store_denies_and_can_be_read(tmp_path: Path, lab: Path, server: str) -> None:
    made = (
        vsftpd(tmp_path / "home", "write_enable=NO")
        if server == "vsftpd"
        else pyftpd(tmp_path, permissions="elr")
    )
    with made as store:
        (store.root / "old").write_bytes(b"old")
        with FtpTransport(ftp_options_of(store)) as transport:
            assert transport.capabilities.replaces_atomically is False
            failures = [
                *transport.put([upload(lab, 0, 10)], ignore),
                *transport.put([upload(lab, 1, 10, ".")], ignore),
                *transport.publish([Rename(key=0, partial=P("old"), final=P("new"))]),
                *transport.remove([P("old")]),
            ]
            assert [type(error_of(failed)) for failed in failures] == [StoreDenied] * 4
            (got,) = transport.get([Download(key=0, path=P("old"))], ignore)
            assert isinstance(got, Got)
        assert [path.name for path in store.root.iterdir()] == ["old"]


def test_one_closed_folder_is_denied_and_not_missing(tmp_path: Path, lab: Path) -> None:
    """Nobody but root may enter it; its files are not 'missing', and the files beside it are sent."""
    with vsftpd(tmp_path / "home") as store:
        closed = store.root / "closed"
        (closed / "in").mkdir(parents=True)
        (closed / "in" / "file").write_bytes(b"x")
        closed.chmod(0o700)
        if os.geteuid() != 0:
            closed.chmod(0o000)
        with FtpTransport(ftp_options_of(store)) as transport:
            outcomes = {
                o.key: o for o in transport.put([upload(lab, 0, 9, "closed"), upload(lab, 1, 9)], ignore)
            }
            assert type(error_of(outcomes[0])) is StoreDenied
            assert isinstance(outcomes[1], Sent)
            (unread,) = transport.get([Download(key=0, path=P("closed/in/file"))], ignore)
            assert type(error_of(unread)) is StoreDenied
            for path in (P("closed/in/file"), P("closed/nothing")):
                with pytest.raises(StoreDenied):
                    list(transport.stat([path]))
            (kept,) = transport.remove([P("closed/in/file")])
            assert type(kept.error) is StoreDenied
            with pytest.raises(StoreDenied):
                list(transport.list_leftovers([P("closed")]))
            assert list(transport.stat([P("nowhere/at/all"), P("closed")])) == [None, None]
        closed.chmod(0o755)


def test_a_folder_that_may_be_read_but_not_written_is_denied(tmp_path: Path, lab: Path) -> None:
    with vsftpd(tmp_path / "home") as store:
        (store.root / "f").mkdir()
        (store.root / "f").chmod(0o555)
        with FtpTransport(ftp_options_of(store)) as transport:
            (failed,) = transport.put([upload(lab, 0, 9)], ignore)
    assert type(error_of(failed)) is StoreDenied


def test_a_name_that_is_too_long_fails_alone_and_says_so(store: FtpStore, lab: Path) -> None:
    names = [P("n" * 300), P("/".join(["d" * 200] * 25))]
    with FtpTransport(ftp_options_of(store)) as transport:
        uploads = [
            Upload(key=key, source=upload(lab, key, 3).source, partial=name, size=3, mtime_ns=0)
            for key, name in enumerate(names)
        ]
        outcomes = list(transport.put([*uploads, upload(lab, 2, 3)], ignore))
        assert {o.key: type(o.error) for o in outcomes if isinstance(o, Failed)} == {
            0: PathTooLong,
            1: PathTooLong,
        }
        assert list(transport.stat(names)) == [None, None]


# ---- what servers cannot do ---------------------------------------------------------------------------------


def test_few_connections_are_enough(tmp_path: Path, lab: Path) -> None:
    with vsftpd(tmp_path / "home", "max_per_ip=2") as store, FtpTransport(ftp_options_of(store)) as transport:
        outcomes = list(transport.put([upload(lab, key, 100) for key in range(9)], ignore))
    assert len(outcomes) == 9
    assert all(isinstance(outcome, Sent) for outcome in outcomes)


def test_the_address_a_server_names_for_its_data_is_ignored(tmp_path: Path, lab: Path) -> None:
    """Behind NAT a server names its private address: the port is right, the address is not."""
    script = Script("EPSV", *["500 Unknown."] * 99)
    with (
        pyftpd(tmp_path, before=script, settings={"masquerade_address": "10.1.2.3"}) as store,
        FtpTransport(ftp_options_of(store)) as transport,
    ):
        (sent,) = transport.put([upload(lab, 0, 100)], ignore)
    assert isinstance(sent, Sent)
    assert script.heard


def test_a_rename_that_does_not_replace_is_found_out(
    tmp_path: Path, lab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ftp_transport, "_replacing", {})
    first, second = upload(lab, 1, 10), upload(lab, 2, 10)
    final = P("f/final")
    refusing = Refusing()
    with pyftpd(tmp_path, before=refusing) as store:
        refusing.root = store.root
        with FtpTransport(ftp_options_of(store, connections=1)) as transport:
            assert transport.capabilities.replaces_atomically is False
            assert list(store.root.iterdir()) == []
            list(transport.put([first, second], ignore))
            done = list(transport.publish([Rename(key=1, partial=first.partial, final=final)]))
            assert done == [Published(key=1)]
            (refused,) = transport.publish([Rename(key=2, partial=second.partial, final=final)])
        assert type(error_of(refused)) is RenameDoesNotReplace
        assert (store.root / final).read_bytes() == first.source.read_bytes()


class Refusing:
    """A server that renames onto no file that stands."""

    root: Path

    def __call__(self, verb: str, argument: str) -> str | None:
        stands = verb == "RNTO" and (self.root.parent / argument.lstrip("/")).exists()
        return "553 File exists." if stands else None


def test_whether_a_rename_replaces_is_tried_once_for_a_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ftp_transport, "_replacing", {})
    script = Script("RNTO")
    with pyftpd(tmp_path, before=script) as store:
        for _ in range(3):
            with FtpTransport(ftp_options_of(store)) as transport:
                assert transport.capabilities.replaces_atomically is True
                assert transport.capabilities.syncs is False
        assert list(store.root.iterdir()) == []
    assert script.heard == 1


def test_modes_are_set_where_the_server_lets_us(tmp_path: Path, lab: Path) -> None:
    with pyftpd(tmp_path) as store:
        options: FtpOptions = ftp_options_of(store, file_mode=0o640, folder_mode=0o750)
        with FtpTransport(options) as transport:
            (sent,) = transport.put([upload(lab, 0, 10)], ignore)
        assert isinstance(sent, Sent)
        assert (store.root / "f").stat().st_mode & 0o777 == 0o750
        assert (store.root / "f/0").stat().st_mode & 0o777 == 0o640


def test_a_folder_that_another_connection_makes_between_two_looks_is_not_closed_to_us(tmp_path: Path) -> None:
    """Two batches of one session make its folders at the same time; that is nobody's case."""
    made: list[Path] = []

    def make(verb: str, _argument: str) -> None:
        if verb == "NLST":
            made[0].mkdir(exist_ok=True)

    with pyftpd(tmp_path, before=make) as store, FtpTransport(ftp_options_of(store)) as transport:
        made.append(store.root / "session")
        assert list(transport.stat([P("session/spikes.npy")])) == [None]
    assert made[0].is_dir()
