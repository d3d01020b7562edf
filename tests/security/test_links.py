"""Links that lead out: planted before, or put there in the very moment between our look and our opening."""

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import pytest

from tests.world import SUBJECT, World, world
from transfer import opening
from transfer.digests import Source, digest_file
from transfer.errors import NotASession, TransferError, UnsafeSource, UntrustedPath
from transfer.retrieval import Folder
from transfer.steps import discover, push, scan
from transfer.steps.looking import look
from transfer.transports.base import Download, Failed, Upload
from transfer.transports.local import LocalTransport

P = PurePosixPath
NAME = "alf/spikes.times.npy"
SECRET = b"not for the store"


def ignore(_moved: int) -> None: ...


@pytest.fixture
def box(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A place that is none of ours, with a file of the name, size and time that the lab's file has."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "spikes.times.npy").write_bytes(SECRET)
    os.utime(folder / "spikes.times.npy", (1, 1))
    return folder


def decoy(box: World) -> tuple[Path, Path]:
    """A session with a file that looks from outside like the secret one."""
    session = box.session()
    file = box.write(session, NAME, b"x" * len(SECRET))
    os.utime(file, (1, 1))
    return session, file


def swap(folder: Path, target: Path) -> None:
    """The folder is moved aside and a link takes its place."""
    folder.rename(folder.with_name(f"{folder.name}.aside"))
    folder.symlink_to(target)


def unswap(folder: Path) -> None:
    folder.unlink()
    folder.with_name(f"{folder.name}.aside").rename(folder)


# ---- at the lab: links that stand there


@pytest.mark.parametrize("which", ["subject", "day", "number"])
def test_a_session_behind_a_link_is_no_session(box: World, tmp_path: Path, which: str) -> None:
    """Whatever of its path is the link: a scan does not see it, a visit refuses it, and says which."""
    session, _ = decoy(box)
    link = {"subject": session.parent.parent, "day": session.parent, "number": session}[which]
    link.rename(tmp_path / "elsewhere")
    link.symlink_to(tmp_path / "elsewhere")

    assert list(scan.session_folders(box.lab)) == []
    with pytest.raises(NotASession, match="a link stands in the session's path") as refused:
        look(box.lab.root, P(SUBJECT) / session.parent.name / session.name)
    assert str(link) in refused.value.to


def test_a_link_above_the_root_is_the_administrators_and_followed(box: World, tmp_path: Path) -> None:
    session, _ = decoy(box)
    (tmp_path / "mounted").symlink_to(box.lab.root)

    found = look(tmp_path / "mounted", session.relative_to(box.lab.root))

    assert list(found.files) == [P(NAME)]
    assert digest_file(
        tmp_path / "mounted" / session.relative_to(box.lab.root) / NAME, below=tmp_path / "mounted"
    ).size


@pytest.mark.parametrize("path", ["../outside/spikes.times.npy", "KS/../../outside/spikes.times.npy"])
def test_no_path_leads_above_the_root(box: World, outside: Path, path: str) -> None:
    (box.lab.root / "KS").mkdir()
    with pytest.raises(UnsafeSource, match="leads out"):
        digest_file(box.lab.root / path, below=box.lab.root)


# ---- at the lab: the moment between look and open


def test_a_folder_that_becomes_a_link_before_the_hash_is_not_followed(
    box: World, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Name, size and time agree, and it is put back before the second look: only the opening can tell."""
    session, file = decoy(box)
    (session / "raw_session.flag").touch()
    reached: list[str] = []

    def racing(path: Path, **options: object) -> object:
        swap(file.parent, outside)
        reached.append(path.name)
        try:
            return digest_file(path, **options)  # type: ignore[arg-type]
        finally:
            unswap(file.parent)

    monkeypatch.setattr(discover, "digest_file", racing)
    runner = box.runner()
    box.see(runner, session)
    box.settle(runner)

    assert reached == ["spikes.times.npy"]
    assert "a link stands in the path" in box.reason(NAME)
    assert box.stored_files() == []
    assert box.alyx.tables.datasets() == []


def test_a_folder_that_becomes_a_link_before_the_send_is_not_followed(
    box: World, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not one byte of the other file arrives at the store, not even in a partial."""
    session, file = decoy(box)
    runner = box.runner()
    box.see(runner, session)
    runner.advance_session()
    runner.plan()
    real: Callable[..., Iterator[Upload]] = push._uploads
    reached: list[Upload] = []

    def racing(*words: object, **options: object) -> Iterator[Upload]:
        for upload in real(*words, **options):
            if not reached:
                swap(file.parent, outside)
            reached.append(upload)
            yield upload

    monkeypatch.setattr(push, "_uploads", racing)
    runner.advance_batch()

    assert reached
    assert box.facts() == {NAME: UnsafeSource.name}
    assert not any(SECRET in one.read_bytes() for one in box.stored_files())


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_however_often_a_name_flips_only_the_labs_own_bytes_are_read(
    tmp_path: Path, outside: Path, kind: str
) -> None:
    """A thread swaps file or folder and link as fast as it can; the reader gets the lab's bytes or an error."""
    root = tmp_path / "lab"
    file = root / "s" / "alf" / "spikes.times.npy"
    file.parent.mkdir(parents=True)
    file.write_bytes(own := b"o" * len(SECRET))
    place = file if kind == "file" else file.parent
    target = outside / file.name if kind == "file" else outside
    link, aside, stop = root / "link", root / "aside", threading.Event()

    def flip() -> None:
        while not stop.is_set():
            link.symlink_to(target)
            place.rename(aside)
            link.rename(place)
            place.unlink()
            aside.rename(place)

    flipping = threading.Thread(target=flip)
    flipping.start()
    read: set[bytes] = set()
    refused = 0
    try:
        for _ in range(3000):
            try:
                with Source(file, below=root) as source:
                    read |= {bytes(piece) for piece in source.pieces(source.size)}
            except TransferError:
                refused += 1
    finally:
        stop.set()
        flipping.join()
    assert refused, "the race was never run"
    assert read <= {own}


def test_where_a_name_cannot_be_opened_inside_a_folder_links_are_looked_for_before(
    tmp_path: Path, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows."""
    monkeypatch.setattr(opening, "_INSIDE", False)
    root = tmp_path / "lab"
    (root / "s").mkdir(parents=True)
    (root / "s" / "own").write_bytes(b"own")
    (root / "door").symlink_to(outside)
    assert digest_file(root / "s" / "own", below=root).size == 3
    assert [name for name, _ in opening.entries(root / "s", below=root)] == ["own"]
    opening.require_folder(root / "s", below=root)
    for refused in (
        lambda: digest_file(root / "door" / "spikes.times.npy", below=root),
        lambda: opening.entries(root / "door", below=root),
        lambda: opening.require_folder(root / "door", below=root),
    ):
        with pytest.raises(UnsafeSource, match="a link stands"):
            refused()
    with pytest.raises(OSError, match="Not a directory"):
        opening.require_folder(root / "s" / "own", below=root)


# ---- at the store


def upload(tmp_path: Path, key: int, partial: str) -> Upload:
    source = tmp_path / f"source{key}"
    source.write_bytes(SECRET)
    return Upload(key=key, source=source, partial=P(partial), size=len(SECRET), mtime_ns=0)


def test_a_folder_of_the_store_that_becomes_a_link_is_not_written_through(
    tmp_path: Path, outside: Path
) -> None:
    """It becomes one in the moment before the opening: what counts is where the opened file is."""
    store = tmp_path / "store"
    (store / "a").mkdir(parents=True)

    def race(effect: str, path: PurePosixPath) -> None:
        if (effect, path) == ("opening-partial", P("a/second")):
            swap(store / "a", outside)

    transport = LocalTransport(store, connections=1, observe=race)
    list(transport.put([upload(tmp_path, 0, "a/first")], ignore))

    (failed,) = transport.put([upload(tmp_path, 1, "a/second")], ignore)
    (unread,) = transport.get([Download(key=2, path=P("a/spikes.times.npy"))], ignore)

    assert (store / "a").is_symlink(), "the race was never run"
    for outcome in (failed, unread):
        assert isinstance(outcome, Failed)
        assert type(outcome.error) is UntrustedPath
    assert [(one.name, one.read_bytes()) for one in outside.iterdir()] == [("spikes.times.npy", SECRET)]


# ---- where files are brought to


def test_a_pipe_with_a_locks_name_keeps_no_pull_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".alyx-transfer.0123abcd.lock")
    with Folder(tmp_path):
        pass
    assert (tmp_path / ".alyx-transfer.0123abcd.lock").exists()
