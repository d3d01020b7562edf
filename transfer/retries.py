"""When to try again, and when to ask a person: a pure decision about one failure.

No clock, no sleep, no log: the caller has those.  A failure that reaches the whole ENDPOINT is never
given up, however long it lasts (Alyx may be down for days); one that concerns a FILE or BATCH is held
after `Patience.tries`.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from transfer.errors import Cure, Reach, TransferError


@dataclass(frozen=True, kw_only=True, slots=True)
class Patience:
    """How long and how often to try."""

    tries: int = 8
    first_wait: timedelta = timedelta(seconds=30)
    longest_wait: timedelta = timedelta(hours=2)
    jitter: float = 0.25  # share of the wait that chance may add


@dataclass(frozen=True, slots=True)
class TryAgain:
    at: datetime


@dataclass(frozen=True, slots=True)
class Hold:
    """A person must look; `because` goes in front of the error's own sentence."""

    because: str = ""


Decision = TryAgain | Hold


def decide(error: TransferError, *, tries: int, patience: Patience, now: datetime, chance: float) -> Decision:
    """Choose the next move after the `tries`-th attempt failed with `error`.

    `tries` counts from 1; `chance` is a number from 0 to 1 drawn by the caller.
    """
    match error.cure:
        case Cure.PERSON | Cure.NOTHING:
            return Hold()
        case Cure.TIME | Cure.FRESH_CONNECTION if (
            tries >= patience.tries and error.reach is not Reach.ENDPOINT
        ):
            return Hold(f"gave up after {tries} tries. ")
        case _:
            return TryAgain(now + wait_before(tries + 1, patience, chance=chance, asked=error.after))


def wait_before(
    attempt: int, patience: Patience, *, chance: float, asked: timedelta | None = None
) -> timedelta:
    """How long to wait before the `attempt`-th attempt (from 2 on): doubling, bounded, with jitter.

    What the other side asked for is honoured when it is longer.
    """
    doublings = min(max(attempt - 2, 0), 40)
    seconds = min(patience.first_wait.total_seconds() * 2**doublings, patience.longest_wait.total_seconds())
    wait = timedelta(seconds=seconds * (1 + patience.jitter * chance))
    return max(wait, asked) if asked else wait


def wait_of_incident(lasted: timedelta, patience: Patience, *, chance: float) -> timedelta:
    """How long an incident's files wait: as long again as it has lasted, bounded, with jitter."""
    seconds = min(max(lasted, patience.first_wait), patience.longest_wait).total_seconds()
    return timedelta(seconds=seconds * (1 + patience.jitter * chance))
