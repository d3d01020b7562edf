"""Hashing while reading: a digest is always of a whole, quiet, regular file."""

import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer.digests import BUFFER, Digests, Source, digest_file
from transfer.errors import SourceChanged, SourceUnreadable, SourceVanished, UnsafeSource


@given(st.lists(st.binary(max_size=200)))
def test_pieces_do_not_change_a_digest(pieces: list[bytes]) -> None:
    digests = Digests(["md5", "sha256"])
    for piece in pieces:
        digests.add(piece)
    whole = b"".join(pieces)
    assert digests.hex("md5") == hashlib.md5(whole).hexdigest()
    assert digests.hex("sha256") == hashlib.sha256(whole).hexdigest()


@pytest.mark.parametrize("size", [0, 1, BUFFER - 1, BUFFER, BUFFER + 1, 3 * BUFFER + 7])
def test_a_file_of_any_size_is_hashed_and_counted(tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    content = os.urandom(size)
    path.write_bytes(content)
    moved: list[int] = []
    found = digest_file(path, ["sha256"], moved.append)
    assert (found.size, found.mtime_ns) == (size, path.stat().st_mtime_ns)
    assert found.md5 == hashlib.md5(content).hexdigest()
    assert found.sha256 == hashlib.sha256(content).hexdigest()
    assert sum(moved) == size
    assert digest_file(path).sha256 is None


@pytest.mark.parametrize("change", ["append", "truncate", "touch"])
def test_a_file_that_is_written_to_meanwhile_has_no_digest(tmp_path: Path, change: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 2 * BUFFER)

    def meddle(_moved: int) -> None:
        match change:
            case "append":
                with path.open("ab") as file:
                    file.write(b"y")
            case "truncate":
                os.truncate(path, 10)
            case _:
                os.utime(path, ns=(1, 1))

    with pytest.raises(SourceChanged):
        digest_file(path, moved=meddle)


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"x")
    (tmp_path / "link").symlink_to(target)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")  # must not wait for a writer
    for name in ("link", "folder", "pipe"):
        with pytest.raises(UnsafeSource, match=name):
            digest_file(tmp_path / name)
    with pytest.raises(UnsafeSource):
        digest_file(Path("/dev/null"))


def test_a_missing_file_is_not_an_unreadable_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    for path in (tmp_path / "missing", tmp_path / "no" / "folder", tmp_path / "file" / "below"):
        with pytest.raises(SourceVanished):
            digest_file(path)


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x")

    def deny(*_arguments: object, **_options: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", deny)
    with pytest.raises(SourceUnreadable, match="Permission denied") as caught:
        digest_file(path)
    assert isinstance(caught.value.__cause__, PermissionError)


@pytest.mark.parametrize("promised", [0, 2, 4, 100])
def test_another_size_than_promised_is_a_change_before_a_byte_is_read(tmp_path: Path, promised: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    with Source(path) as source, pytest.raises(SourceChanged):
        source.expect(promised)
    with Source(path) as source, pytest.raises(SourceChanged):
        next(source.pieces(promised))


@given(at_most=st.integers(1, 50), content=st.binary(max_size=120))
def test_pieces_are_never_larger_than_asked(
    tmp_path_factory: pytest.TempPathFactory, at_most: int, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("pieces") / "file"
    path.write_bytes(content)
    with Source(path) as source:
        pieces = [bytes(piece) for piece in source.pieces(len(content), at_most=at_most)]
    assert b"".join(pieces) == content
    assert all(0 < len(piece) <= at_most for piece in pieces)
    assert source.digests.hex() == hashlib.md5(content).hexdigest()
