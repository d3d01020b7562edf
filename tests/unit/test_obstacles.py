"""What would stop a push, decided from sizes, names, times: a table, and properties for what is always so."""

import unicodedata
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer.obstacles import SKEW, ends_too_soon, fitting, skewed, too_much, twins

P = PurePosixPath
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)

sizes = st.lists(st.integers(0, 10**12), max_size=30)
components = st.text(
    st.characters(codec="utf-8", exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=12
).filter(lambda name: name not in (".", ".."))
paths = st.lists(components, min_size=1, max_size=3).map(lambda parts: P(*parts))


@given(sizes=sizes, free=st.none() | st.integers(0, 10**13))
def test_what_goes_always_fits_and_all_goes_that_fits_whole(sizes: list[int], free: int | None) -> None:
    goes = fitting(sizes, free)
    sent = sum(size for size, may in zip(sizes, goes, strict=True) if may)
    assert len(goes) == len(sizes)
    if free is None or sum(sizes) <= free:
        assert all(goes)
    else:
        assert sent <= free
        assert not all(goes)


@given(sizes=sizes, free=st.integers(0, 10**13))
def test_a_file_stays_only_when_it_does_not_fit_behind_those_before_it(sizes: list[int], free: int) -> None:
    left = free
    for size, may in zip(sizes, fitting(sizes, free), strict=True):
        assert may is (size <= left)
        left -= size if may else 0


def test_a_plan_that_is_larger_than_what_is_free_is_a_full_store() -> None:
    assert too_much(10, 10, to="store") is None
    assert too_much(10, None, to="store") is None
    found = too_much(11, 10, to="store")
    assert found is not None
    assert found.code == "E-2006"
    assert "11 bytes are to be sent and 10 are free: store" in found.sentence


def changed(path: PurePosixPath, form: str) -> PurePosixPath:
    text = str(path)
    return P(
        {
            "upper": text.upper(),
            "NFC": unicodedata.normalize("NFC", text),
            "NFD": unicodedata.normalize("NFD", text),
        }[form]
    )


@given(path=paths, form=st.sampled_from(["upper", "NFC", "NFD"]))
def test_every_pair_that_differs_in_case_or_form_only_is_found(path: PurePosixPath, form: str) -> None:
    """And in either order, in the plan or against what stands there."""
    other = changed(path, form)
    expected = 0 if other == path else 1
    found = twins([path, other])
    assert len(found) == expected
    assert [error.sentence for error in twins([other, path])] == [error.sentence for error in found]
    assert len(twins([path], standing=[other])) == expected
    assert twins([], standing=[path, other]) == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("alf/Probe00/x", "alf/probe00/x"),
        ("Zoe\u0308", "Zo\u00eb"),
        ("STRASSE", "straße"),
        ("ﬁ.npy", "FI.npy"),
    ],
)
def test_known_twins(one: str, other: str) -> None:
    (found,) = twins([P(one), P(other), P("alone")])
    assert found.code == "E-1016"


@given(
    st.sets(
        st.from_regex(r"[a-z0-9._]{1,10}", fullmatch=True).filter(lambda name: name not in (".", "..")),
        max_size=20,
    )
)
def test_names_that_differ_otherwise_are_no_twins(names: set[str]) -> None:
    assert twins([P(name) for name in names]) == []


@pytest.mark.parametrize(
    ("until", "seconds", "said"),
    [
        (None, 1e9, None),
        (NOON + timedelta(hours=2), 3600, None),
        (NOON + timedelta(hours=1), 3600, "ends at 2026-06-01 13:00Z"),
        (NOON + timedelta(minutes=59), 3600, "ends at 2026-06-01 12:59Z"),
        (NOON - timedelta(days=1), 0, "has ended at 2026-05-31 12:00Z"),
        (NOON + timedelta(seconds=1), -5, None),
    ],
)
def test_a_credential_must_outlive_the_plan(until: datetime | None, seconds: float, said: str | None) -> None:
    found = ends_too_soon(until, now=NOON, seconds=seconds, to="store")
    assert (found is None) is (said is None)
    if found is not None and said is not None:
        assert said in found.sentence


@given(st.floats(-1e6, 1e6))
def test_a_clock_far_from_ours_is_told_in_either_direction(seconds: float) -> None:
    told = skewed("Alyx", timedelta(seconds=seconds))
    assert (told is None) is (abs(timedelta(seconds=seconds)) <= SKEW)
