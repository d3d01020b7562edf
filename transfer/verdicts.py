"""The decisions about hashes, all pure: whether two agree, and who is right when three differ.

A comparison has three results.  A 40-character hash in an old Alyx row is a SHA-1: it says nothing
about our md5, so the answer is UNKNOWN, never DIFFERENT.
"""

import string
from dataclasses import dataclass
from enum import Enum

_HEX = frozenset(string.hexdigits)
_MD5_LENGTH = 32


class Comparison(Enum):
    EQUAL = "equal"
    DIFFERENT = "different"
    UNKNOWN = "unknown"


def is_md5(text: str | None) -> bool:
    """Whether `text` is an md5 in hex."""
    return bool(text) and len(text or "") == _MD5_LENGTH and _HEX.issuperset(text or "")


def compare(one: str | None, other: str | None) -> Comparison:
    """Compare two hashes as Alyx and the lab write them; whatever is no md5 is UNKNOWN."""
    if not is_md5(one) or not is_md5(other):
        return Comparison.UNKNOWN
    assert one is not None
    assert other is not None
    return Comparison.EQUAL if one.lower() == other.lower() else Comparison.DIFFERENT


class Verdict(Enum):
    """What to do with one lab file that Alyx may know."""

    REGISTER = "register"  # Alyx has no such dataset, or has the version we registered before
    ADOPT = "adopt"  # Alyx has exactly this version: take its ids, register nothing
    SET_HASH = "set hash"  # Alyx has the dataset without a usable hash: give it ours
    HOLD = "changed elsewhere"  # Alyx has a version we have never seen


@dataclass(frozen=True, slots=True)
class KnownHash:
    """What Alyx says of one dataset: its hash ('' when it has none)."""

    md5: str


def three_hashes(*, lab: str, alyx: KnownHash | None, registered: str | None) -> Verdict:
    """Decide by the lab file's md5 now, Alyx's hash now, and what this ledger last registered.

    A hash in Alyx that is no md5 (SHA-1 of old rows) cannot be compared; unless we registered the
    dataset ourselves since, somebody else's version stands there and a person decides.  `lab` is an md5:
    without one there is nothing to decide.
    """
    assert is_md5(lab), f"the lab's file has no md5: {lab!r}"
    if alyx is None:
        return Verdict.REGISTER
    if not alyx.md5:
        return Verdict.SET_HASH
    if compare(lab, alyx.md5) is Comparison.EQUAL:
        return Verdict.ADOPT
    if registered is not None and compare(alyx.md5, registered) is Comparison.EQUAL:
        return Verdict.REGISTER
    return Verdict.HOLD


class Central(Enum):
    """What reconciling one central record asks for."""

    NOTHING = "nothing"
    WITHDRAW = "set exists false"  # Alyx announces bytes that are not proved to have its hash
    PROVE = "prove the stored copy"  # our bytes have Alyx's hash but Alyx does not announce them
    SET_SIZE = "patch the size"  # only the size differs: the incumbent's listing wrote it
    SEND_AGAIN = "send again"  # Alyx has a newer hash


def central(
    *, alyx_md5: str, alyx_size: int | None, exists: bool, proved_md5: str | None, proved_size: int | None
) -> Central:
    """Compare one central record with the proved copy of our ledger, closed rows too."""
    if proved_md5 is None:
        return Central.NOTHING  # we never proved this copy: it is not ours to judge
    match compare(alyx_md5, proved_md5):
        case Comparison.UNKNOWN:
            return Central.NOTHING
        case Comparison.DIFFERENT:
            return Central.WITHDRAW if exists else Central.SEND_AGAIN
        case _:
            if not exists:
                return Central.PROVE
            return Central.SET_SIZE if alyx_size != proved_size else Central.NOTHING
