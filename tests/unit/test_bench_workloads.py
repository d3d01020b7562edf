"""The files of the bench: the same for everybody, as large as promised."""

import hashlib
import statistics
from collections import Counter
from pathlib import Path, PurePosixPath
from uuid import UUID

import pytest

from bench.contest import compare
from bench.processes import CommandFailed
from bench.workloads import GIB, MB, SESSION_BYTES, Workload, one_file, small_files, workloads, write
from transfer.paths import with_uuid


def test_the_full_workloads_have_the_sizes_of_the_tables():
    one, small, session = workloads()
    assert (len(one.files), one.bytes) == (1, GIB)
    assert (len(small.files), small.bytes) == (2000, 210 * MB)
    assert 0.999 * SESSION_BYTES < session.bytes <= SESSION_BYTES


def test_small_files_are_skewed_as_log_normal_ones_are():
    sizes = [file.size for file in small_files().files]
    assert statistics.median(sizes) < 0.5 * statistics.mean(sizes)
    assert max(sizes) < 0.1 * sum(sizes)
    assert min(sizes) > 0


def test_a_session_is_a_few_large_files_and_hundreds_of_small_ones():
    sizes = [file.size for file in workloads()[2].files]
    small = [size for size in sizes if size < MB]
    assert len(small) > 300
    assert sum(small) < 0.05 * sum(sizes)
    assert sum(sorted(sizes)[-8:]) > 0.9 * sum(sizes)


@pytest.mark.parametrize("scale", [1, 20, 1000])
def test_no_path_comes_twice_and_every_scale_gives_the_same_again(scale: int):
    for made, again in zip(workloads(scale=scale), workloads(scale=scale), strict=True):
        assert made == again
        assert max(Counter(file.path for file in made.files).values()) == 1
        assert all(file.size > 0 for file in made.files)


@pytest.fixture
def small() -> Workload:
    return small_files(scale=1000)


def test_the_same_bytes_are_written_twice_and_the_md5_is_theirs(tmp_path: Path, small: Workload):
    told = write(small, tmp_path / "a")
    assert told == write(small, tmp_path / "b")
    for file in small.files:
        content = (tmp_path / "a" / file.path).read_bytes()
        assert len(content) == file.size
        assert hashlib.md5(content).hexdigest() == told[file.path]


def test_no_two_files_have_the_same_bytes(tmp_path: Path, small: Workload):
    md5s = write(small, tmp_path / "a")
    assert len(set(md5s.values())) == len(md5s)


def test_a_comparison_takes_central_names_for_their_files(tmp_path: Path):
    work = one_file(scale=1 << 20)
    md5s = write(work, tmp_path / "made")
    (path,) = md5s
    place = tmp_path / "made" / path
    place.rename(tmp_path / "made" / with_uuid(path, UUID(int=7, version=4)))
    compare(md5s, tmp_path / "made", who="ours")


@pytest.mark.parametrize("damage", ["altered", "missing", "left over"])
def test_a_wrong_destination_is_a_failure(tmp_path: Path, small: Workload, damage: str):
    md5s = write(small, tmp_path / "made")
    victim = tmp_path / "made" / small.files[3].path
    if damage == "altered":
        victim.write_bytes(b"\0" * small.files[3].size)
    elif damage == "missing":
        victim.unlink()
    else:
        victim.with_name(".part").write_bytes(b"")
    with pytest.raises(CommandFailed, match="1 files wrong"):
        compare(md5s, tmp_path / "made", who="somebody")


def test_folders_without_files_are_no_difference(tmp_path: Path, small: Workload):
    md5s = write(small, tmp_path / "made")
    (tmp_path / "made" / PurePosixPath("empty")).mkdir()
    compare(md5s, tmp_path / "made", who="somebody")
