"""An SFTP store that goes away, is read-only, or lacks an extension."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Self

import pytest
from sftp_stores import options_of, require_sshd

from sandbox.store import SftpStore
from transfer.errors import ConnectionLost, PathTooLong, RenameDoesNotReplace, StoreDenied, StoreRefused
from transfer.transports.base import Download, Failed, Got, Published, Rename, Sent, Upload
from transfer.transports.sftp import protocol
from transfer.transports.sftp.transport import SftpTransport
from transfer.transports.wrappers import Reconnecting

P = PurePosixPath
MIB = 1 << 20


def upload(lab: Path, key: int, size: int) -> Upload:
    source = lab / str(key)
    source.write_bytes(os.urandom(size))
    return Upload(key=key, source=source, partial=P(f"cut-{lab.parent.name}/{key}"), size=size, mtime_ns=0)


def ignore(_moved: int) -> None: ...


@pytest.fixture(params=["sshd", "embedded"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SftpStore]:
    if request.param == "sshd":
        require_sshd()
    with SftpStore(tmp_path / "store", home=tmp_path / "home", server=request.param) as running:
        yield running


def test_a_cut_line_fails_what_is_unfinished_and_only_that(store: SftpStore, lab: Path) -> None:
    small = [upload(lab, key, 1000) for key in range(3)]
    large = [upload(lab, key, 8 * MIB) for key in range(3, 9)]
    moved = 0

    def cut_in_the_middle(by: int) -> None:
        nonlocal moved
        before, moved = moved, moved + by
        if before < 4 * MIB <= moved:
            store.cut()

    with SftpTransport(options_of(store, connections=1)) as transport:
        outcomes = list(transport.put(small, ignore))
        assert all(isinstance(outcome, Sent) for outcome in outcomes)
        for failed in transport.put(large, cut_in_the_middle):
            assert isinstance(failed, Failed)
            assert type(failed.error) is ConnectionLost
            assert failed.error.__cause__ is not None
        with pytest.raises(ConnectionLost):
            list(transport.stat([small[0].partial]))
        for outcome in transport.publish([Rename(key=0, partial=small[0].partial, final=P("final"))]):
            assert isinstance(outcome, Failed)
            assert type(outcome.error) is ConnectionLost
    assert not (store.root / "final").exists()


def test_a_cut_line_ends_a_batch_on_several_channels(store: SftpStore, lab: Path) -> None:
    uploads = [upload(lab, key, 4 * MIB) for key in range(8)]
    moved = 0

    def cut_once(by: int) -> None:
        nonlocal moved
        before, moved = moved, moved + by
        if before < 3 * MIB <= moved:
            store.cut()

    with SftpTransport(options_of(store)) as transport:
        outcomes = list(transport.put(uploads, cut_once))
    assert {outcome.key for outcome in outcomes} == set(range(8))
    kinds = {type(outcome.error) for outcome in outcomes if isinstance(outcome, Failed)}
    assert kinds == {ConnectionLost}


def test_reads_go_on_over_a_fresh_connection(store: SftpStore, lab: Path) -> None:
    uploads = [upload(lab, key, 2 * MIB) for key in range(6)]
    cuts = [1 * MIB, 5 * MIB]
    moved = 0
    # A connection made while the server still drops others would be dropped with them.
    cutting = threading.Lock()

    def cut_twice(by: int) -> None:
        nonlocal moved
        with cutting:
            moved += by
            if cuts and moved >= cuts[0]:
                del cuts[0]
                store.cut()

    class Careful(SftpTransport):
        def __enter__(self) -> Self:
            with cutting:
                return super().__enter__()

    waited: list[float] = []
    with Reconnecting(lambda: Careful(options_of(store)), sleep=waited.append) as transport:
        sent = {outcome.key: outcome for outcome in transport.put(uploads, ignore)}
        got = list(transport.get([Download(key=u.key, path=u.partial) for u in uploads], cut_twice))
        assert sorted(outcome.key for outcome in got) == list(range(6))
        for outcome in got:
            expected = sent[outcome.key]
            assert isinstance(outcome, Got)
            assert isinstance(expected, Sent)
            assert outcome.md5 == expected.md5
        store.cut()
        assert all(transport.stat([u.partial for u in uploads]))
        store.cut()
        assert list(transport.remove([u.partial for u in uploads])) == []
    assert waited
    assert not cuts


def test_after_a_failed_put_the_next_call_finds_a_fresh_connection(store: SftpStore, lab: Path) -> None:
    with Reconnecting(lambda: SftpTransport(options_of(store)), sleep=lambda _seconds: None) as transport:
        store.cut()
        first = list(transport.put([upload(lab, 1, 100)], ignore))
        assert isinstance(first[0], Failed)
        assert type(first[0].error) is ConnectionLost
        (second,) = transport.put([upload(lab, 2, 100)], ignore)
        assert isinstance(second, Sent)


def test_a_name_that_is_too_long_says_so(sshd: SftpStore, lab: Path) -> None:
    long = Upload(key=0, source=upload(lab, 0, 3).source, partial=P("n" * 300), size=3, mtime_ns=0)
    with SftpTransport(options_of(sshd)) as transport:
        (outcome,) = transport.put([long], ignore)
    assert isinstance(outcome, Failed)
    assert type(outcome.error) is PathTooLong


def test_a_read_only_server_denies_and_can_be_read(tmp_path: Path, lab: Path) -> None:
    require_sshd()
    root = tmp_path / "store"
    root.mkdir()
    (root / "old").write_bytes(b"old")
    options = ["Subsystem sftp internal-sftp -R"]
    with (
        SftpStore(root, home=tmp_path / "home", server="sshd", options=options) as store,
        SftpTransport(options_of(store)) as transport,
    ):
        failures = [
            *transport.put([upload(lab, 0, 10)], ignore),
            *transport.put([Upload(key=1, source=lab / "0", partial=P("x"), size=10, mtime_ns=0)], ignore),
            *transport.publish([Rename(key=0, partial=P("old"), final=P("new"))]),
            *transport.remove([P("old")]),
        ]
        assert [type(failed.error) for failed in failures if isinstance(failed, Failed)] == [StoreDenied] * 4
        assert transport.link(P("old"), P("kept")) is False
        (got,) = transport.get([Download(key=0, path=P("old"))], ignore)
        assert isinstance(got, Got)
    assert [path.name for path in root.iterdir()] == ["old"]


def test_few_channels_are_enough(tmp_path: Path, lab: Path) -> None:
    """A server that allows one channel at a time only makes the work slower."""
    require_sshd()
    with (
        SftpStore(
            tmp_path / "store", home=tmp_path / "home", server="sshd", options=["MaxSessions 1"]
        ) as store,
        SftpTransport(options_of(store)) as transport,
    ):
        outcomes = list(transport.put([upload(lab, key, 100) for key in range(9)], ignore))
    assert len(outcomes) == 9
    assert all(isinstance(outcome, Sent) for outcome in outcomes)


def test_a_server_without_posix_rename_is_told_apart(
    sshd: SftpStore, lab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "POSIX_RENAME", "not-offered@example.org")
    first, second = upload(lab, 1, 10), upload(lab, 2, 10)
    final = first.partial.with_name("final")
    with SftpTransport(options_of(sshd)) as transport:
        assert transport.capabilities.replaces_atomically is False
        list(transport.put([first, second], ignore))
        assert list(transport.publish([Rename(key=1, partial=first.partial, final=final)])) == [
            Published(key=1)
        ]
        (refused,) = transport.publish([Rename(key=2, partial=second.partial, final=final)])
    assert isinstance(refused, Failed)
    assert type(refused.error) is RenameDoesNotReplace
    assert (sshd.root / final).read_bytes() == first.source.read_bytes()


def test_hash_command_off_means_no_remote_hash(sshd: SftpStore) -> None:
    with SftpTransport(options_of(sshd, hash_command=False)) as transport:
        assert transport.capabilities.remote_hash is False
        with pytest.raises(StoreRefused):
            list(transport.digests([P("a")]))


def test_both_algorithms_are_hashed_and_missing_files_are_none(sshd: SftpStore) -> None:
    (sshd.root / "known").write_bytes(b"abc")
    with SftpTransport(options_of(sshd)) as transport:
        paths = [P("known"), P("unknown")]
        md5 = {found.path: found.digest for found in transport.digests(paths)}
        sha256 = {found.path: found.digest for found in transport.digests(paths, "sha256")}
    assert md5 == {P("known"): "900150983cd24fb0d6963f7d28e17f72", P("unknown"): None}
    assert sha256[P("known")] == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256[P("unknown")] is None


def test_a_file_that_stands_and_cannot_be_hashed_is_no_missing_file(sshd: SftpStore) -> None:
    """A link to itself: neither missing by name nor readable."""
    broken = Path("/proc/self/mem")
    if not broken.exists():
        pytest.skip("needs a file that opens and cannot be read")
    (sshd.root / "unreadable").symlink_to(broken)
    with SftpTransport(options_of(sshd)) as transport, pytest.raises(StoreRefused):
        list(transport.digests([P("unreadable")]))
