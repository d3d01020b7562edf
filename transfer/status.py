"""Where an item stands.  A status is a fact we have proved, never an activity.

"Sending" is not here: if the worker sending it dies, the word would lie.  Three other columns say
what is going on around the fact:

    lease       who is busy with the item's session or batch, and until when (it lapses by itself)
    not_before  when to try the next step again
    hold        why a person must look first; empty for most items

So an item is *due* when it is open, not held, not leased, and its time has come.
"""

import itertools
from enum import StrEnum


class Status(StrEnum):
    """The facts of one item's journey, in order, and the two other ends."""

    DISCOVERED = "discovered"  # complete, quiet and hashed on the lab machine
    REGISTERED = "registered"  # Alyx knows it with our hash: dataset uuid and file records are ours
    PLANNED = "planned"  # belongs to a batch and has its target path
    SENT = "sent"  # every byte is in this item's partial, or already under the final name
    VERIFIED = "verified"  # the stored bytes were hashed and equal the registered hash
    PUBLISHED = "published"  # the bytes stand under the final name
    RECORDED = "recorded"  # Alyx says exists, and was read back
    SUPERSEDED = "superseded"  # a newer hash replaced this item
    ABANDONED = "abandoned"  # a person gave it up


JOURNEY = (
    Status.DISCOVERED,
    Status.REGISTERED,
    Status.PLANNED,
    Status.SENT,
    Status.VERIFIED,
    Status.PUBLISHED,
    Status.RECORDED,
)
ENDS = frozenset({Status.RECORDED, Status.SUPERSEDED, Status.ABANDONED})
OPEN = frozenset(Status) - ENDS

_FORWARD = frozenset(itertools.pairwise(JOURNEY))
_BACK = frozenset(
    (here, there)
    for here in JOURNEY[1:-1]
    for there in (Status.DISCOVERED, Status.REGISTERED, Status.PLANNED)
    if JOURNEY.index(there) < JOURNEY.index(here)
)
_OUT = frozenset((here, end) for here in OPEN for end in (Status.SUPERSEDED, Status.ABANDONED))
MOVES = _FORWARD | _BACK | _OUT


def may_move(here: Status, there: Status) -> bool:
    """Whether an item may go from `here` to `there`: one proved step forward, back for a new try, or out."""
    return (here, there) in MOVES


class Proof(StrEnum):
    """How it was shown that a stored copy equals the registered hash; strongest first."""

    REMOTE_HASH = "remote hash"  # the far side computed it, by a command that passed the canary
    READ_BACK = "read back"  # we read the stored bytes again and hashed them
    MOVER = "mover"  # Globus verified against the registered md5
    SIZE_ONLY = "size only"  # an operator's explicit choice for an endpoint
    NONE = "none"  # adopted without proof; never counts for anything


class Condition(StrEnum):
    """What we know of one copy."""

    EXPECTED = "expected"
    PRESENT = "present"
    DAMAGED = "damaged"
    MISSING = "missing"
    SUPERSEDED = "superseded"
    REMOVED = "removed"
