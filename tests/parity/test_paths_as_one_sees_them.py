"""Our names are ONE's names, or nobody finds the files: both are asked about the same generated paths."""

from dataclasses import astuple
from pathlib import PurePosixPath
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from transfer.paths import Match, TypeIndex, parse_file, parse_session, with_uuid, without_uuid

pytestmark = pytest.mark.parity
many = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

UUIDS = st.uuids() | st.uuids(version=4)
LETTERS = st.sampled_from(
    [*"ab0_.-#+ ", "é", "Z", "times", "intervals", "spikes", "_ibl_", "obj.attr", ".npy"]
)
WORDS = st.lists(LETTERS, min_size=1, max_size=6).map("".join)
UUID_TEXTS = UUIDS.map(str) | UUIDS.map(lambda u: str(u).upper()) | UUIDS.map(lambda u: u.hex)
PARTS = WORDS | UUID_TEXTS
NAMES = (
    st.lists(PARTS, min_size=1, max_size=5)
    .map(".".join)
    .filter(lambda name: name.strip(".") != "" and not name.endswith("."))
)
ALF_NAMES = st.tuples(
    st.sampled_from(["", "_ibl_", "_iblrig_", "__", "_a_b_", "_spikeglx_"]),
    st.sampled_from(["spikes", "trials", "leftCamera", "ephysData_g0_t0", "a_b", ""]),
    st.sampled_from([".times", ".raw", ".goCue_times", ".x_intervals", "._phy_ids", ".imec0", ".table", "."]),
    st.sampled_from(["", "_bpod", "_times_bpod", "_", "_ephysClock"]),
    st.sampled_from(["", ".ap", ".lf.x-y", ".2622b17c-9408-4910-99cb-abf16d9225b9", "..", ".é"]),
    st.sampled_from([".npy", ".cbin", ".pqt", "", ".tar.bz2"]),
).map("".join)


@many
@given(
    folders=st.lists(st.sampled_from(["alf", "#2020-01-01#", "probe00"]), max_size=3), name=NAMES, uuid=UUIDS
)
def test_the_central_name(one, folders: list[str], name: str, uuid: UUID):
    """The uuid goes where ONE looks for it, whatever stood there before."""
    path = PurePosixPath(*folders, name)
    assert str(with_uuid(path, uuid)) == one.ask("add_uuid", [str(path), str(uuid)]) or uuid.version not in (
        3,
        4,
        5,
    )


@many
@given(name=NAMES, uuid=st.uuids(version=4))
def test_the_name_without_uuid(one, name: str, uuid: UUID):
    """Ours and strangers' names lose what ONE would take off; a name that is nothing but a uuid keeps it."""
    for path in (with_uuid(PurePosixPath("alf", name), uuid), PurePosixPath("alf", name)):
        theirs = one.ask("remove_uuid", str(path))
        assert str(without_uuid(path)) == (theirs or str(path))


@many
@given(name=ALF_NAMES | NAMES)
def test_the_parts_of_an_alf_name(one, name: str):
    """Valid for the one exactly if for the other, with the same parts."""
    found = parse_file(name)
    theirs = one.ask("filename_parts", name)
    assert (list(astuple(found)) if found else None) == theirs


SUBJECTS = st.sampled_from(["KS023", "4581", "a.b-c", "x y", "é_1", ".", "a#b"])
DATES = st.dates().map(str) | st.sampled_from(["2020-02-30", "2020-1-1", "20200101", "2020-01-01x"])
NUMBERS = st.integers(0, 1200).flatmap(lambda n: st.sampled_from([str(n), f"{n:03d}"])) | st.just("1a")


@many
@given(subject=SUBJECTS, day=DATES, number=NUMBERS)
def test_sessions(one, subject: str, day: str, number: str):
    """What we take for a session is one for ONE, with the same parts; we refuse impossible days besides."""
    path = PurePosixPath(subject, day, number)
    found = parse_session(path, "rig")
    if found:
        assert one.ask("is_session", str(path))
        assert one.ask("session_parts", str(path)) == [None, found.subject, str(found.date), number]
        assert found.path == path
    elif subject in ("KS023", "a.b-c") and day != "2020-02-30" and number[:1] + number[2:] != "0":
        assert not one.ask("is_session", str(path))


@many
@given(data=st.data())
def test_dataset_types(one, reference_types, reference_formats, data: st.DataObject):
    """The one type ONE and Alyx choose among the 131 of a real server, or none for all three."""
    index = TypeIndex(reference_types, frozenset({"", *reference_formats}))
    if one.ask("set_types", reference_types) != len(reference_types):
        pytest.fail("ONE did not take the types")
    likely = st.sampled_from(reference_types).map(lambda kind: _like(*kind))
    name = data.draw(likely | ALF_NAMES.map(lambda name: f"{name}.npy"))
    found = index.match(name)
    if PurePosixPath(name).suffix in reference_formats - {""}:
        assert (found.type if isinstance(found, Match) else None) == one.ask("dataset_type", name)
    else:
        assert not isinstance(found, Match)


def _like(name: str, pattern: str) -> str:
    """A file name of this type."""
    start = pattern.replace("*", "x", 1).replace("*", "") if pattern else name
    return start if pattern and "." in start and not start.endswith(".") else f"{start.rstrip('.')}.npy"
