"""Names of sessions, datasets and stored files."""

import re
from datetime import date
from pathlib import PurePosixPath, PureWindowsPath
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer.errors import NameRefused, UntrustedPath
from transfer.model import SessionKey
from transfer.paths import (
    AlfName,
    Match,
    TypeIndex,
    Unregistrable,
    is_old,
    is_partial,
    old_name,
    parse_file,
    parse_partial,
    parse_session,
    partial_name,
    refuse_unsafe,
    split_dataset_path,
    with_uuid,
    without_uuid,
)

U = UUID("2622b17c-9408-4910-99cb-abf16d9225b9")
OTHER = UUID("a976e418-c8b8-4d24-be47-d05120b18341")

KEYS = st.builds(
    SessionKey,
    source=st.just("rig"),
    subject=st.from_regex(r"[\w.-]{1,8}", fullmatch=True).filter(lambda text: text not in (".", "..")),
    date=st.dates(),
    number=st.integers(0, 999),
    padded=st.booleans(),
).map(lambda key: key if key.padded or key.number < 100 else SessionKey(**_fields(key) | {"padded": True}))

NAMES = st.from_regex(r"[A-Za-z0-9_.]{1,8}\.[a-z]{1,4}", fullmatch=True).filter(lambda name: name.strip("."))
FOLDERS = st.lists(
    st.from_regex(r"[A-Za-z0-9_.-]{1,6}", fullmatch=True).filter(lambda f: f not in (".", "..")), max_size=3
)


def _fields(key: SessionKey) -> dict[str, object]:
    return {name: getattr(key, name) for name in ("source", "subject", "date", "number", "padded")}


# Sessions ------------------------------------------------------------------------------------------


@given(key=KEYS)
def test_a_session_is_found_again_at_its_path(key: SessionKey):
    """path and parse are inverse, padded or not, also from a Windows disk."""
    assert parse_session(key.path, "rig") == key
    disk = PureWindowsPath("D:\\Subjects") / key.path
    assert parse_session(PurePosixPath(disk.relative_to("D:\\Subjects").as_posix()), "rig") == key


@given(
    text=st.text(max_size=30)
    | st.from_regex(r"\w{1,3}/[0-9]{4}-[0-9]{2}-[0-9]{2}/[0-9]{1,4}", fullmatch=True)
)
def test_whatever_is_taken_for_a_session_lies_at_its_path(text: str):
    """A key never points at another folder than the one it was read from."""
    key = parse_session(PurePosixPath(text), "rig")
    assert key is None or key.path == PurePosixPath(text)


@pytest.mark.parametrize(
    "path",
    [
        "KS/2020-13-01/001",
        "KS/2020-02-30/001",
        "KS/2020-01-01/1234",
        "KS/2020-01-01/01",
        "KS/2020-01-01",
        "KS",
        "cortexlab/Subjects/KS/2020-01-01/001",
        "../2020-01-01/001",
        "K S/2020-01-01/001",
        "/KS/2020-01-01/001",
        "KS/２０２０-01-01/001",
        "KS/2020-01-01/٣",
        "KS/2020-01-01/001/alf",
        "KS\\x/2020-01-01/001",
    ],
)
def test_what_is_no_session(path: str):
    assert parse_session(PurePosixPath(path), "rig") is None


def test_an_unpadded_number_is_remembered():
    """The web server only knows three digits."""
    assert parse_session(PurePosixPath("KS/2020-01-01/7"), "rig") == SessionKey(
        source="rig", subject="KS", date=date(2020, 1, 1), number=7, padded=False
    )


# Names at the store --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "central"),
    [
        ("spikes.times.npy", f"spikes.times.{U}.npy"),
        ("_spikeglx_ephysData_g0_t0.imec0.ap.cbin", f"_spikeglx_ephysData_g0_t0.imec0.ap.{U}.cbin"),
        ("imaging.frames.tar.bz2", f"imaging.frames.tar.{U}.bz2"),
        ("README", f"README.{U}"),
        (".hidden", f".hidden.{U}"),
        (f"a.b.{OTHER}.npy", f"a.b.{U}.npy"),
        (f"a.b.{U}.npy", f"a.b.{U}.npy"),
        (f"a.b.{OTHER.hex}.npy", f"a.b.{U}.npy"),
        (f"{OTHER}.npy", f".{U}.npy"),
        (f"{U}.npy", f"{U}.npy"),
    ],
)
def test_the_central_name(name: str, central: str):
    """The uuid stands before the last suffix, once."""
    assert with_uuid(PurePosixPath("a/#b#", name), U) == PurePosixPath("a/#b#", central)


@given(folders=FOLDERS, name=NAMES, uuid=st.uuids(version=4))
def test_the_central_name_is_a_name_of_the_same_file(folders: list[str], name: str, uuid: UUID):
    """The folder stays, twice is once, and the registered name comes back."""
    path = PurePosixPath(*folders, name)
    central = with_uuid(path, uuid)
    assert central.parent == path.parent
    assert with_uuid(central, uuid) == central
    assert without_uuid(central) == path


def test_a_name_that_is_only_a_uuid_stays():
    assert without_uuid(PurePosixPath(f"a/{U}")) == PurePosixPath(f"a/{U}")


@given(uuid=st.uuids(), attempt=st.from_regex(r"[0-9a-f]{8}", fullmatch=True), name=st.text(max_size=60))
def test_partials_tell_whose_they_are(uuid: UUID, attempt: str, name: str):
    """And nothing else is taken for one."""
    assert parse_partial(partial_name(uuid, attempt)) == (uuid, attempt)
    found = parse_partial(name)
    assert is_partial(name) == (found is not None)
    assert found is None or partial_name(*found) == name


def test_only_our_own_names_are_made():
    """A wrong attempt or digest is our mistake, not a file name."""
    assert is_old(old_name(U, "a" * 32))
    assert not is_old(partial_name(U, "0" * 8))
    for make in (lambda: partial_name(U, "../x"), lambda: partial_name(U, "A" * 8), lambda: old_name(U, "")):
        with pytest.raises(ValueError):
            make()
    for stranger in (f".{U}.part", f"x.{U}.00000000.part", f".{U}.00000000.part\n", "file.part"):
        assert not is_partial(stranger)


# Paths from Alyx and for Alyx ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "/etc/passwd",
        "a/../b",
        "..",
        "a/..",
        ".",
        "",
        "a/./b",
        "a//b",
        "a/",
        "a\x00b",
        "a\nb",
        "a\\b",
        "C:/x",
        "c:x",
    ],
)
def test_an_unsafe_path_is_refused(text: str):
    with pytest.raises(UntrustedPath):
        refuse_unsafe(text)


@given(text=st.text(alphabet="ab./\\:\x00\n #", max_size=12))
def test_a_path_that_is_let_through_stays_below_its_root(text: str):
    """On this system and on Windows, from Alyx's text and from a path made of it."""
    for told in (text, PurePosixPath(text)):
        try:
            path = refuse_unsafe(told)
        except UntrustedPath:
            continue
        assert ".." not in path.parts
        assert PurePosixPath("/root") in (PurePosixPath("/root") / path).parents
        windows = PureWindowsPath("D:/root") / str(path)
        assert PureWindowsPath("D:/root") in windows.parents
        assert ".." not in windows.parts


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("spikes.times.npy", ("", "", "spikes.times.npy")),
        ("alf/probe00/a.b.npy", ("alf/probe00", "", "a.b.npy")),
        ("alf/#2020-01-01#/a.b.npy", ("alf", "2020-01-01", "a.b.npy")),
        ("#v1#/a.b.npy", ("", "v1", "a.b.npy")),
    ],
)
def test_a_dataset_path_has_three_parts(path: str, parts: tuple[str, str, str]):
    assert split_dataset_path(PurePosixPath(path)) == parts


@pytest.mark.parametrize(
    "path",
    [
        "alf/bad dir/a.b.npy",
        "alf/probe+1/x/a.b.npy",
        "x#y/a.b.npy",
        "#v1#/alf/a.b.npy",
        "#a#/#b#/a.b.npy",
        "@lf/a.b.npy",
        "##/a.b.npy",
        "alf/../a.b.npy",
        "alf/a:b.npy",
        "alf/a\\b.npy",
        "alf/a\n.npy",
        "",
        "/abs/a.npy",
    ],
)
def test_a_path_alyx_would_change_is_refused(path: str):
    """With what to do: Alyx itself would register another path without a word."""
    with pytest.raises(NameRefused, match="release") as caught:
        split_dataset_path(PurePosixPath(path))
    assert caught.value.code == "E-1009"


@given(folders=FOLDERS, revision=st.sampled_from(["", "#v-1.x#"]), name=NAMES)
def test_the_parts_make_the_path_again(folders: list[str], revision: str, name: str):
    path = PurePosixPath(*folders, *([revision] if revision else []), name)
    collection, found, last = split_dataset_path(path)
    assert PurePosixPath(collection, f"#{found}#" if found else "", last) == path


# ALF names and types -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("spikes.times.npy", (None, "spikes", "times", None, None, "npy")),
        ("_ibl_trials.goCue_times_bpod.csv", ("ibl", "trials", "goCue_times", "bpod", None, "csv")),
        (
            "_spikeglx_ephysData_g0_t0.imec0.lf.bin",
            ("spikeglx", "ephysData_g0_t0", "imec0", None, "lf", "bin"),
        ),
        ("channels._phy_ids.csv", (None, "channels", "_phy_ids", None, None, "csv")),
    ],
)
def test_the_parts_of_a_name(name: str, parts: tuple[str | None, ...]):
    assert parse_file(name) == AlfName(*parts)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["spike_train.npy", "README", "", "a.b.npy\n", ".a.b", "a b.c.npy"])
def test_what_is_no_alf_name(name: str):
    assert parse_file(name) is None


INDEX = TypeIndex(
    [
        ("spikes.times", "*spikes.times*.npy"),
        ("camera.dlc", "*Camera.dlc.*"),
        ("trials.table", "_ibl_trials.table.pqt"),
        ("trials.any", "_ibl_trials.*"),
        ("mpci.times", ""),
        ("notes", " "),
        ("odd", "[ab]x.y.npy"),
    ],
    {".npy", ".pqt", ".csv", ""},
)


@pytest.mark.parametrize(
    ("name", "type_"),
    [
        ("spikes.times.npy", "spikes.times"),
        ("SPIKES.TIMES_x.npy", "spikes.times"),
        ("_ibl_leftcamera.dlc.pqt", "camera.dlc"),
        ("_ns_mpci.times_bpod.npy", "mpci.times"),
        ("notes.csv", "notes"),
        ("ax.y.npy", "odd"),
        ("_ibl_trials.intervals.npy", "trials.any"),
    ],
)
def test_one_type_matches(name: str, type_: str):
    assert INDEX.match(name) == Match(type_)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("foo.bar.npy", "No dataset type"),
        ("MPCI.times.npy", "No dataset type"),
        ("_ibl_trials.table.pqt", "More than one dataset type.*trials.any, trials.table"),
        ("spikes.times.xyz", r"no data format for \.xyz"),
        ("notes", "no data format for a name without extension"),
        ("cx.y.npy", "No dataset type"),
    ],
)
def test_what_alyx_would_refuse_is_told_as_a_sentence(name: str, why: str):
    found = INDEX.match(name)
    assert isinstance(found, Unregistrable)
    assert found.reason.endswith(".")
    assert re.search(why, found.reason)


def test_a_path_is_judged_by_folder_and_name():
    assert INDEX.why_unregistrable(PurePosixPath("alf/spikes.times.npy")) is None
    assert "bad dir" in (INDEX.why_unregistrable(PurePosixPath("alf/bad dir/spikes.times.npy")) or "")
    assert "No dataset type" in (INDEX.why_unregistrable(PurePosixPath("alf/foo.bar.npy")) or "")
