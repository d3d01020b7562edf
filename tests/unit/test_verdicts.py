"""Whether two hashes agree, and who is right when three differ: every case there is."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer.verdicts import Central, Comparison, KnownHash, Verdict, central, compare, is_md5, three_hashes

L = "0cc175b9c0f1b6a831c399e269772661"
OTHER = "92eb5ffee6ae2fec3ad71c777531578f"
THIRD = "4a8a08f09d37b73795649038408b5f33"
SHA1 = "86f7e437faa5a7fce15d1ddcb9eaeaea377667b8"
BLANK = " " * 32

md5s = st.text("0123456789abcdefABCDEF", min_size=32, max_size=32)
texts = md5s | st.text(max_size=64) | st.text(string.hexdigits, max_size=64) | st.none()


# ---- comparing


@given(one=texts, other=texts)
def test_only_two_md5s_can_be_equal_or_different(one: str | None, other: str | None) -> None:
    """Whatever is no md5 says nothing: never DIFFERENT, never EQUAL."""
    if compare(one, other) is not Comparison.UNKNOWN:
        assert is_md5(one)
        assert is_md5(other)


@given(one=texts, other=texts)
def test_comparing_has_no_sides(one: str | None, other: str | None) -> None:
    assert compare(one, other) is compare(other, one)


@given(one=md5s, other=md5s)
def test_two_md5s_are_equal_exactly_when_their_digits_are(one: str, other: str) -> None:
    equal = int(one, 16) == int(other, 16)
    assert compare(one, other) is (Comparison.EQUAL if equal else Comparison.DIFFERENT)
    assert compare(one.upper(), one.lower()) is Comparison.EQUAL


@pytest.mark.parametrize(
    "text", [None, "", BLANK, SHA1, L[:-1], L + "0", L[:-1] + "g", L[:-1] + "\n", L[:-1] + "٣", "0x" + L[2:]]
)
def test_what_is_no_md5(text: str | None) -> None:
    assert not is_md5(text)
    assert compare(text, L) is Comparison.UNKNOWN
    assert compare(text, text) is Comparison.UNKNOWN


# ---- three hashes

LAB = {"L": L, "L in capitals": L.upper()}
ALYX = {
    "missing": None,
    "empty": "",
    "equal": L,
    "equal in capitals": L.upper(),
    "other": OTHER,
    "other in capitals": OTHER.upper(),
    "sha1": SHA1,
}
REGISTERED = {
    "missing": None,
    "empty": "",
    "equal": L,
    "other": OTHER,
    "other in capitals": OTHER.upper(),
    "third": THIRD,
    "sha1": SHA1,
}


def expected(alyx: str, registered: str) -> Verdict:
    """The rule in words, apart from the code."""
    if alyx == "missing":
        return Verdict.REGISTER
    if alyx == "empty":
        return Verdict.SET_HASH
    if alyx.startswith("equal"):
        return Verdict.ADOPT
    if alyx.startswith("other") and registered.startswith("other"):
        return Verdict.REGISTER  # Alyx has what we registered before: the lab has changed since
    return Verdict.HOLD


@pytest.mark.parametrize("registered", REGISTERED)
@pytest.mark.parametrize("alyx", ALYX)
@pytest.mark.parametrize("lab", LAB)
def test_three_hashes_decide(lab: str, alyx: str, registered: str) -> None:
    text = ALYX[alyx]
    known = None if text is None else KnownHash(text)
    verdict = three_hashes(lab=LAB[lab], alyx=known, registered=REGISTERED[registered])
    assert verdict is expected(alyx, registered)


@pytest.mark.parametrize("lab", ["", SHA1, BLANK, L[:-1]])
@pytest.mark.parametrize("alyx", [None, "", OTHER])
def test_without_an_md5_of_the_labs_file_there_is_nothing_to_decide(lab: str, alyx: str | None) -> None:
    """Registering an empty hash would let any bytes pass for the file: it is a defect, not a verdict."""
    with pytest.raises(AssertionError, match="no md5"):
        three_hashes(lab=lab, alyx=None if alyx is None else KnownHash(alyx), registered=OTHER)


@given(lab=md5s, alyx=texts, registered=texts)
def test_a_version_of_somebody_else_is_never_overwritten(
    lab: str, alyx: str | None, registered: str | None
) -> None:
    """REGISTER over an existing dataset only where Alyx has exactly what we registered."""
    known = None if alyx is None else KnownHash(alyx)
    verdict = three_hashes(lab=lab, alyx=known, registered=registered)
    if verdict is Verdict.REGISTER and known is not None:
        assert compare(alyx, registered) is Comparison.EQUAL
    if verdict is Verdict.ADOPT:
        assert compare(lab, alyx) is Comparison.EQUAL
    if verdict is Verdict.SET_HASH:
        assert alyx == ""


# ---- reconcile


@pytest.mark.parametrize("proved_size", [1, None])
@pytest.mark.parametrize("alyx_size", [1, 2, None])
@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize("alyx", ["", SHA1, L, L.upper(), OTHER])
@pytest.mark.parametrize("proved", [None, "", SHA1, L])
def test_reconciling_one_record(
    proved: str | None, alyx: str, exists: bool, alyx_size: int | None, proved_size: int | None
) -> None:
    verdict = central(
        alyx_md5=alyx, alyx_size=alyx_size, exists=exists, proved_md5=proved, proved_size=proved_size
    )
    if proved != L or alyx in ("", SHA1):
        assert verdict is Central.NOTHING  # nothing proved, or nothing to compare with
    elif alyx == OTHER:
        assert verdict is (Central.WITHDRAW if exists else Central.SEND_AGAIN)
    elif not exists:
        assert verdict is Central.PROVE
    else:
        assert verdict is (Central.NOTHING if alyx_size == proved_size else Central.SET_SIZE)


@given(alyx=texts.map(lambda text: text or ""), proved=texts, exists=st.booleans())
def test_nothing_is_withdrawn_on_a_guess(alyx: str, proved: str | None, exists: bool) -> None:
    """A hash that cannot be compared withdraws nothing; two that differ are never left announced."""
    verdict = central(alyx_md5=alyx, alyx_size=1, exists=exists, proved_md5=proved, proved_size=1)
    different = compare(alyx, proved) is Comparison.DIFFERENT
    assert (verdict is Central.WITHDRAW) == (different and exists)
    assert (verdict is Central.SEND_AGAIN) == (different and not exists)
