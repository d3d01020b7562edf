"""The synthetic sessions are real files, always the same, and registrable exactly as they claim."""

import json
import re
from collections import Counter
from fnmatch import fnmatch
from hashlib import md5
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from sandbox.sessions import FLAG, LARGE, SyntheticSession, write_many, write_sessions

ALYX = json.loads(Path(__file__).with_name("alyx_types.json").read_text())

SMALL = {"megabytes": 0.2, "large_bytes": 300_000}


def matching_types(name: str) -> list[str]:
    """Alyx's rule, told independently: the pattern if there is one, else object.attribute is the name."""
    own_name = ".".join(name.split(".")[:2])
    return [
        kind
        for kind, pattern in ALYX["dataset_types"].items()
        if (fnmatch(name.lower(), pattern.lower()) if pattern else kind == own_name and name.count(".") > 1)
    ]


def registrable(path: str) -> bool:
    name = PurePosixPath(path).name
    known_format = PurePosixPath(name).suffix in set(ALYX["data_formats"].values()) - {""}
    return known_format and len(matching_types(name)) == 1


def files_of(session: SyntheticSession) -> set[str]:
    found = (path for path in session.path.rglob("*") if path.is_file())
    return {path.relative_to(session.path).as_posix() for path in found}


def snapshot(root: Path) -> dict[str, tuple[str, int]]:
    files = (path for path in root.rglob("*") if path.is_file())
    return {
        path.relative_to(root).as_posix(): (md5(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in files
    }


def last_changes(root: Path) -> dict[Path, int]:
    """When each file was last written or renamed; unlike the modification time nobody can set this back."""
    return {path: path.stat().st_ctime_ns for path in root.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> list[SyntheticSession]:
    return write_sessions(
        tmp_path_factory.mktemp("lab"), sessions=3, seed=1, megabytes=3, large_bytes=1_000_003
    )


def test_the_reference_list_is_the_whole_one():
    assert (len(ALYX["dataset_types"]), len(ALYX["data_formats"])) == (131, 29)


def test_alyx_can_register_exactly_what_is_called_registrable(sessions):
    """Judged by the types and formats of a real Alyx; every file is in one list or is the flag."""
    for session in sessions:
        assert [path for path in session.registrable if not registrable(path)] == []
        assert [path for path in session.unregistrable if registrable(path)] == []
        assert files_of(session) == {*session.registrable, *session.unregistrable, FLAG}
        assert list(session.registrable) == sorted(session.registrable)


def test_every_reason_for_being_unregistrable_occurs(sessions):
    """No type, a type without a format, a format without a type, and two types at once."""
    formats = set(ALYX["data_formats"].values()) - {""}
    reasons = {
        (min(len(matching_types(PurePosixPath(path).name)), 2), PurePosixPath(path).suffix in formats)
        for path in sessions[0].unregistrable
    }

    assert reasons == {(0, False), (0, True), (1, False), (2, True)}


def test_names_fit_the_alf_grammar_and_the_layout_of_a_lab(sessions):
    session = r"demolab/Subjects/[\w.-]+/\d{4}-\d{2}-\d{2}/\d{3}"
    name = r"_?([a-zA-Z0-9]+_)?[a-zA-Z]\w*(\.\w+)+"
    for one in sessions:
        assert re.fullmatch(rf".*/{session}", one.path.as_posix())
        assert one.path.parts[-3:] == (one.subject, one.date.isoformat(), f"{one.number:03d}")
        for path in one.registrable:
            assert re.fullmatch(rf"([\w.-]+/)*(#[\w.-]+#/)?{name}", path)


def test_sessions_hold_behaviour_a_probe_video_a_revision_and_an_empty_file(sessions):
    for session in sessions:
        assert {
            "alf/_ibl_trials.table.pqt",
            "alf/probe00/spikes.times.npy",
            "alf/probe00/#2024-05-06#/spikes.times.npy",
            "raw_video_data/_iblrig_leftCamera.frameData.bin",
        } <= set(session.registrable)
        empty = [path for path in session.registrable if (session.path / path).stat().st_size == 0]
        assert empty == ["raw_task_data_00/_iblrig_encoderEvents.raw.ssv"]


def test_the_first_session_alone_has_the_large_file_and_it_does_not_compress(sessions):
    large = (sessions[0].path / LARGE).read_bytes()

    assert [LARGE in session.registrable for session in sessions] == [True, False, False]
    assert len(large) == 1_000_003
    assert max(Counter(large).values()) < 1.1 * len(large) / 256
    assert len({large[at : at + 64] for at in range(0, len(large), 64)}) == -(-len(large) // 64)


def test_a_session_takes_the_megabytes_asked_for(sessions):
    for session in sessions:
        size = sum((session.path / path).stat().st_size for path in session.registrable if path != LARGE)
        assert 2.7e6 < size < 3.3e6


def test_numpy_pyarrow_and_json_read_what_was_written(sessions):
    alf = sessions[0].path / "alf"
    times, clusters, amps, depths = (
        np.load(alf / f"probe00/spikes.{name}.npy") for name in ("times", "clusters", "amps", "depths")
    )
    assert len(times) == len(clusters) == len(amps) == len(depths) > 10_000
    assert (np.diff(times) >= 0).all()
    assert len(np.load(alf / "probe00/#2024-05-06#/spikes.times.npy")) == len(times)
    assert len(np.load(alf / "_ibl_wheel.position.npy")) == len(np.load(alf / "_ibl_wheel.timestamps.npy"))
    for path in sessions[0].path.rglob("*.npy"):
        assert np.load(path, allow_pickle=False).size

    trials = parquet.read_table(alf / "_ibl_trials.table.pqt")
    assert {"intervals_0", "choice", "feedbackType"} <= set(trials.column_names)
    assert parquet.read_table(alf / "probe00/clusters.metrics.pqt").num_rows == 50

    task = sessions[0].path / "raw_task_data_00"
    assert json.loads((task / "_iblrig_taskSettings.raw.json").read_text())["NTRIALS"] == trials.num_rows
    lines = (task / "_iblrig_taskData.raw.jsonable").read_text().splitlines()
    assert [json.loads(line)["trial_num"] for line in lines] == list(range(trials.num_rows))


def test_the_same_seed_gives_the_same_files_and_another_seed_does_not(tmp_path):
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_sessions(tmp_path / folder, sessions=2, seed=seed, **SMALL)
    a, b, c = (snapshot(tmp_path / folder) for folder in "abc")

    assert a == b
    assert a.keys() == c.keys()
    assert {PurePosixPath(path).name for path in a if a[path] == c[path]} == {
        "_ibl_experiment.description.yaml",
        "_iblrig_encoderEvents.raw.ssv",
        "channels.localCoordinates.npy",
        "channels.rawInd.npy",
        "params.py",
        "notes.txt",
        "widefield.raw.meta.json",
        FLAG,
    }


def test_a_second_call_writes_nothing_and_returns_the_same(tmp_path):
    """Not even the modification time of a file whose time was changed meanwhile."""
    first = write_sessions(tmp_path, sessions=2, seed=1, **SMALL)
    touched = first[0].path / "notes.txt"
    touched.write_bytes(touched.read_bytes())
    before = snapshot(tmp_path), last_changes(tmp_path)

    assert write_sessions(tmp_path, sessions=2, seed=1, **SMALL) == first
    assert (snapshot(tmp_path), last_changes(tmp_path)) == before


def test_files_that_are_missing_or_cut_short_are_written_again(tmp_path):
    first = write_sessions(tmp_path, sessions=1, seed=1, **SMALL)
    before = snapshot(tmp_path)
    (first[0].path / "alf/licks.times.npy").unlink()
    (first[0].path / LARGE).write_bytes(b"cut short")

    write_sessions(tmp_path, sessions=1, seed=1, **SMALL)
    assert snapshot(tmp_path) == before


def test_more_sessions_only_add_to_fewer(tmp_path):
    fewer = write_sessions(tmp_path / "a", sessions=1, seed=1, **SMALL)
    more = write_sessions(tmp_path / "b", sessions=3, seed=1, **SMALL)

    assert snapshot(fewer[0].path) == snapshot(more[0].path)
    assert [(it.subject, it.date.isoformat()) for it in more] == [
        ("DEMO_001", "2026-03-02"),
        ("DEMO_001", "2026-03-03"),
        ("DEMO_002", "2026-03-04"),
    ]


@settings(max_examples=15, deadline=None)
@given(files=st.integers(0, 130), size=st.integers(0, 600), seed=st.integers(0, 2**32))
def test_many_files_are_registrable_distinct_and_of_the_size_asked(tmp_path_factory, files, size, seed):
    """However many: legal names in known collections, exactly one dataset type each, exact sizes."""
    root = tmp_path_factory.mktemp("many")
    asked = {"sessions": 2, "files_per_session": files, "bytes_per_file": size, "seed": seed}
    sessions = write_many(root, **asked)
    before, changes = snapshot(root), last_changes(root)

    for session in sessions:
        assert len(set(session.registrable)) == files
        assert all(map(registrable, session.registrable))
        assert files_of(session) == {*session.registrable, FLAG}
        assert {(session.path / path).stat().st_size for path in session.registrable} <= {size}
    if size >= 144:
        hashes = [found for path, (found, _) in before.items() if not path.endswith(FLAG)]
        assert len(set(hashes)) == 2 * files
    assert write_many(root, **asked) == sessions
    assert last_changes(root) == changes


def test_many_files_are_arrays_in_several_collections(tmp_path):
    session = write_many(tmp_path, sessions=1, files_per_session=100, bytes_per_file=1000, seed=1)[0]

    assert {np.load(session.path / path).nbytes for path in session.registrable} == {1000 - 128}
    collections = {PurePosixPath(path).parent.as_posix() for path in session.registrable}
    assert {"alf/probe00", "alf/FOV_00", "alf/probe01"} <= collections


def test_the_same_root_takes_both_kinds(tmp_path):
    demo = write_sessions(tmp_path, sessions=1, seed=1, **SMALL)
    before = snapshot(demo[0].path)
    many = write_many(tmp_path, sessions=1, files_per_session=3, bytes_per_file=200, seed=1)

    assert demo[0].path != many[0].path
    assert snapshot(demo[0].path) == before
