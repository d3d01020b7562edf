"""Whether a place may be used now and how hard: circuit breaker and concurrency, as pure decisions with their reasons.

The breaker of an endpoint has three gates:

    FREE   closed: as many batches at once as its pace allows
    SHUT   it failed, and its time has not come: nothing is begun
    ONE    its time has come, and nobody knows yet whether it is well: one piece of work at a time, no more,
           until one has succeeded.  A cheap look (`steps.probe`) goes first where somebody walks that round

The pace is how many batches may move to an endpoint at once: one more whenever all places were taken and the last
step brought speed, half as many when the endpoint could not be reached or lost connections.  Each change keeps its
reason.

Many failures of one kind are one *incident*: its files wait together, without spending their tries, for as long
again as the incident has lasted (`retries.wait_of_incident`), and the smallest of them goes first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from transfer import errors
from transfer.errors import TransferError

# ---- the breaker


class Breaker(StrEnum):
    """What the ledger keeps of an endpoint; which gate that is depends on the time."""

    CLOSED = "closed"
    OPEN = "open"
    PROBING = "probing"  # somebody looks at it now, until `retry_at` at the latest
    HALF_OPEN = "half-open"  # the look went well


class Gate(StrEnum):
    """How much may be begun at an endpoint now."""

    FREE = "free"
    ONE = "one at a time"
    SHUT = "shut"


def gate(breaker: str, *, retry_at: datetime | None, paused: bool, now: datetime) -> Gate:
    """How much may be begun at an endpoint."""
    if paused or (retry_at is not None and retry_at > now):
        return Gate.SHUT
    return Gate.FREE if breaker == Breaker.CLOSED else Gate.ONE


def may_probe(breaker: str, *, retry_at: datetime | None, paused: bool, now: datetime) -> bool:
    """Whether a look is due: it failed, its time has come, and nobody has looked since."""
    waiting = breaker in (Breaker.OPEN, Breaker.PROBING)
    return waiting and gate(breaker, retry_at=retry_at, paused=paused, now=now) is Gate.ONE


# ---- the pace

START, MOST, LEAST = 4, 16, 1
_BETTER = 1.05  # times as fast, or the last step brought nothing
_KEPT = 20  # decisions


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """One change of a pace, for people."""

    at: datetime
    was: int
    became: int
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """How many batches may move to an endpoint at once; `rate` is the bytes per second of the last step up."""

    at_once: int = START
    rate: float | None = None
    decisions: tuple[Decision, ...] = ()


def _changed(pace: Pace, became: int, why: str, now: datetime) -> Pace:
    decision = Decision(at=now, was=pace.at_once, became=became, why=why)
    return replace(pace, at_once=became, decisions=(*pace.decisions, decision)[-_KEPT:])


def after_success(pace: Pace, *, moving: int, rate: float | None, now: datetime) -> Pace:
    """One batch moved while `moving` were on their way, this one among them, at `rate` bytes per second in all.

    Only where all places were taken is there anything to learn.
    """
    if moving < pace.at_once or pace.at_once >= MOST:
        return pace
    if rate is not None and pace.rate is not None and rate < pace.rate * _BETTER:
        return pace
    why = f"all {pace.at_once} places were taken, and it went well"
    if rate is not None and pace.rate is not None:
        why = f"{rate:.3g} bytes per second with {pace.at_once} at once, {pace.rate:.3g} with fewer"
    return replace(_changed(pace, pace.at_once + 1, why, now), rate=rate if rate is not None else pace.rate)


_TOO_MUCH = (
    errors.EndpointUnreachable,
    errors.ConnectionLost,
    errors.MoverThrottled,
    errors.MoverUnavailable,
)


def after_failure(pace: Pace, error: TransferError, *, now: datetime) -> Pace:
    """Half as many at once where the failure may come of too many."""
    became = max(pace.at_once // 2, LEAST)
    if not isinstance(error, _TOO_MUCH) or became == pace.at_once:
        return pace
    return replace(_changed(pace, became, f"[{error.code}] {error.what}", now), rate=None)


def as_json(pace: Pace) -> dict[str, Any]:
    """A pace as the ledger keeps it."""
    told = [
        {"at": one.at.isoformat(), "was": one.was, "became": one.became, "why": one.why}
        for one in pace.decisions
    ]
    return {"at_once": pace.at_once, "rate": pace.rate, "decisions": told}


def pace_of(told: Mapping[str, Any] | None) -> Pace:
    """The pace the ledger keeps; the first one for an endpoint without."""
    if not told:
        return Pace()
    decisions = tuple(
        Decision(at=datetime.fromisoformat(one["at"]), was=one["was"], became=one["became"], why=one["why"])
        for one in told.get("decisions", [])
    )
    rate = told.get("rate")
    return Pace(
        at_once=int(told.get("at_once", START)),
        rate=None if rate is None else float(rate),
        decisions=decisions,
    )


# ---- incidents

ENOUGH = 10  # failures of one kind in one step make an incident

_MAY_BE_THE_PLACE = (
    errors.SourceUnreadable,
    errors.ConnectionLost,
    errors.StoreDenied,
    errors.StoreRefused,
    errors.StoredFileMissing,
    errors.ArrivedDamaged,
    errors.PartialExists,
    errors.MoverRefused,
    errors.CatalogRefused,
    errors.CatalogBroken,
)
"""What fails file by file although the files may be innocent: a folder's rights, a server's fault, a disk's.  A name
that is too long or a file that vanished is the file's own affair, however many there are."""


def is_systematic(error: TransferError, *, files: int, known: bool) -> bool:
    """Whether `files` failures of this kind in one step have one cause; `known` if that incident is open already."""
    return isinstance(error, _MAY_BE_THE_PLACE) and (known or files >= ENOUGH)


def goes_first(sizes: Sequence[int]) -> int:
    """Which of an incident's files is tried before the others: the smallest, the first of several."""
    return min(range(len(sizes)), key=lambda place: sizes[place])
