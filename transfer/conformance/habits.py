"""What a store's disk and clock are like: learnt from small files of our own, removed again.

The files have the names of partials of no dataset and stand below `PROBES`, where `tidy` finds what a killed try
left.  The folders stay: a transport removes no folder.
"""

import unicodedata
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath

from transfer.conformance.single import WHEN_NS, own_names, put_bytes, upload_of
from transfer.errors import NameRefused, StoreDenied, StoreRefused
from transfer.transports.base import StreamingTransport

PROBES = PurePosixPath(".alyx-transfer", "doctor")
_COMPOSED = unicodedata.normalize("NFC", "naïve")
_DECOMPOSED = unicodedata.normalize("NFD", "naïve")
_ODD = 'a"b<c>d|e?f*g'  # what Alyx takes in a file's name, and Windows' disks and shares do not
FOLDERS = (PROBES, PROBES / _COMPOSED, PROBES / _ODD)
"""Everywhere below a store's root that something is tried out."""
_LONG_ENOUGH = b"x" * 4096  # to be on its way when the sending is broken off


@dataclass(frozen=True, kw_only=True, slots=True)
class Names:
    """How a store tells names apart; `folds_unicode` is None where it takes no name with an accent at all."""

    folds_case: bool
    folds_unicode: bool | None
    takes_odd: bool


def names(transport: StreamingTransport, lab: Path) -> Names:
    """Write two small files and look for them under other spellings.  Raises what a plain name is refused with."""
    accented = own_names(PROBES / _COMPOSED, 1)[0]
    odd = own_names(PROBES / _ODD, 1)[0]
    plain = own_names(PROBES, 1)[0]
    try:
        put_bytes(transport, lab, plain, b"plain")
        takes_accents = _takes(transport, lab, accented)
        takes_odd = _takes(transport, lab, odd)
        shouted = plain.with_name(plain.name.upper())
        respelt = PROBES / _DECOMPOSED / accented.name
        case, form = transport.stat([shouted, respelt if takes_accents else plain])
        return Names(
            folds_case=case is not None,
            folds_unicode=form is not None if takes_accents else None,
            takes_odd=takes_odd,
        )
    finally:
        list(transport.remove([plain, accented, odd]))


def _takes(transport: StreamingTransport, lab: Path, path: PurePosixPath) -> bool:
    try:
        put_bytes(transport, lab, path, b"odd")
    except (NameRefused, StoreDenied, StoreRefused):
        return False
    return True


class _Enough(BaseException):
    """Breaks a sending off, as `Moved` allows: the partial stays as it is, with the time the store gave it."""


def clock_ahead(transport: StreamingTransport, lab: Path) -> timedelta | None:
    """How far the store's clock is ahead of ours, to a second or two; None where it does not show.

    A sent file has the time of its source.  One whose sending was broken off still has the store's.
    """
    (partial,) = own_names(PROBES, 1)
    before = datetime.now(UTC)
    try:
        with suppress(_Enough):
            list(transport.put([upload_of(lab, partial, _LONG_ENOUGH, 0)], _break_off))
        (found,) = transport.stat([partial])
        if found is None or found.mtime_ns // 10**9 == WHEN_NS // 10**9:
            return None
        return datetime.fromtimestamp(found.mtime_ns / 1e9, UTC) - before
    finally:
        list(transport.remove([partial]))


def _break_off(_moved: int) -> None:
    raise _Enough
