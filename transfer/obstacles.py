"""What would stop a push, judged before any byte moves: pure decisions over a plan.

Each answers the error that the push would end with, so that a person reads the same sentence, code and remedy
before and after.  Asking the disk, the store and Alyx is `preflight`'s and `steps.ahead`'s.
"""

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import PurePosixPath

from transfer.errors import CredentialEnds, NamesCollide, StoreFull, TransferError

SKEW = timedelta(minutes=2)
"""How far a clock may be from ours before people are told.  Nothing depends on it: leases use the ledger's clock."""


def fitting(sizes: Sequence[int], free: int | None) -> list[bool]:
    """Which files go into `free` bytes, in their order; all of them where nobody knows.

    A file that does not fit does not keep a smaller one behind it from going.
    """
    if free is None:
        return [True] * len(sizes)
    goes: list[bool] = []
    for size in sizes:
        goes.append(size <= free)
        free -= size if goes[-1] else 0
    return goes


def too_much(needed: int, free: int | None, *, to: object) -> TransferError | None:
    """That the whole plan, `needed` bytes, does not fit."""
    if free is None or needed <= free:
        return None
    return StoreFull(f"{needed} bytes are to be sent and {free} are free", to=to)


def twins(paths: Iterable[PurePosixPath], standing: Iterable[PurePosixPath] = ()) -> list[TransferError]:
    """Names of which one would take another's place on a disk that folds case or normalises Unicode.

    At the store each file's name carries its dataset's uuid, so that neither overwrites the other there.  It happens
    to whoever brings them back to Windows or macOS.  `standing` are names that are there already.
    """
    alike: dict[str, set[PurePosixPath]] = defaultdict(set)
    planned = set(paths)
    for path in planned | set(standing):
        alike[_folded(path)].add(path)
    return [
        NamesCollide(
            f"{len(found)} names differ in case or Unicode form only",
            to=" and ".join(map(ascii, sorted(map(str, found)))),
        )
        for _, found in sorted(alike.items())
        if len(found) > 1 and found & planned
    ]


def _folded(path: PurePosixPath) -> str:
    """One text for all names that a forgiving disk takes for one (Unicode's canonical caseless matching, D145)."""
    text = unicodedata.normalize("NFD", unicodedata.normalize("NFD", str(path)).casefold())
    return unicodedata.normalize("NFC", text)


def ends_too_soon(
    until: datetime | None, *, now: datetime, seconds: float, to: object
) -> TransferError | None:
    """That what lets us in ends before `seconds` of moving are over."""
    if until is None or until - now > timedelta(seconds=max(seconds, 0.0)):
        return None
    when = "has ended" if until <= now else "ends"
    return CredentialEnds(f"the certificate or login {when} at {until:%Y-%m-%d %H:%MZ}", to=to)


def skewed(who: str, ahead: timedelta) -> str | None:
    """That somebody's clock is far from ours, in words."""
    if abs(ahead) <= SKEW:
        return None
    return f"the clock of {who} is {ahead.total_seconds():+.0f} s from ours: set both by NTP"
