"""What would stop a push, judged before any byte moves: pure decisions over a plan.

Each answers the error that the push would end with, so that a person reads the same sentence, code and remedy
before and after.  Asking the disk, the store and Alyx is `preflight`'s and `steps.ahead`'s.
"""

import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import PurePosixPath

from transfer.errors import CredentialEnds, NamesCollide, StoreFull, TransferError

_LONGEST = 1000  # characters of a path below the root, as Alyx counts them
_COMPONENT = 255  # bytes of one name, on every disk we know
_WHOLE = 4095 - 255  # bytes of a path, with room for the store's root
_UUID = 1 + 36  # what a file's name gains at the store

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


def too_much(needed: int, free: int | None, *, promised: int = 0, to: object) -> TransferError | None:
    """That the whole plan, `needed` bytes, does not fit beside the `promised` bytes that are to be sent besides."""
    if free is None or not needed or needed + promised <= free:
        return None
    besides = f", {promised} of them for files that wait to be sent" if promised else ""
    return StoreFull(f"{needed} bytes are to be sent and {free} are free{besides}", to=to)


def too_long(path: PurePosixPath) -> str | None:
    """Why a path, relative to the lab's root, is longer than Alyx, or a store's disk, can hold; None if it is not.

    At the store a file's name carries a dot and the dataset's uuid besides; a partial's is short, whatever the file's.
    """
    if len(str(path)) > _LONGEST:
        return f"the path has more than {_LONGEST} characters"
    if len(os.fsencode(path.name)) + _UUID > _COMPONENT:
        return f"with a dataset's uuid in it the name has more than {_COMPONENT} bytes"
    if any(len(os.fsencode(folder)) > _COMPONENT for folder in path.parent.parts):
        return f"a folder's name has more than {_COMPONENT} bytes"
    if len(os.fsencode(path)) + _UUID > _WHOLE:
        return f"with a dataset's uuid in it the path has more than {_WHOLE} bytes"
    return None


def twins(paths: Iterable[PurePosixPath], standing: Iterable[PurePosixPath] = ()) -> list[TransferError]:
    """Names of which one would take another's place on a disk that folds case or normalises Unicode.

    Folders are named once, and not each file in them.  At the store each file's name carries its dataset's uuid, so
    that neither overwrites the other there: two folders become one.  It happens to whoever brings the files back to
    Windows or macOS.  `standing` are names that are there already.
    """
    planned = _with_folders(paths)
    alike: dict[tuple[PurePosixPath, str], set[PurePosixPath]] = defaultdict(set)
    for path in planned | _with_folders(standing):
        alike[path.parent, _folded(path.name)].add(path)
    return [
        NamesCollide(
            f"{len(found)} names differ in case or Unicode form only",
            to=" and ".join(map(ascii, sorted(map(str, found)))),
        )
        for _, found in sorted(alike.items())
        if len(found) > 1 and found & planned
    ]


def _with_folders(paths: Iterable[PurePosixPath]) -> set[PurePosixPath]:
    found: set[PurePosixPath] = set()
    for path in paths:
        while path.name and path not in found:
            found.add(path)
            path = path.parent
    return found


def _folded(name: str) -> str:
    """One text for all names that a forgiving disk takes for one (Unicode's canonical caseless matching, D145)."""
    text = unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).casefold())
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
