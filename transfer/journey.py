"""THE STORY: which step a session or a batch needs next, and what happens if it fails.

    discover -> register -> plan -> push -> verify -> publish -> record

A session is one piece of work for discover and register.  From then on its items travel in batches, and
the fact an item stands at says which step it needs.  The furthest items of a batch go first: what is
published is announced before anything new is sent.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from transfer.errors import Cure, Reach, TransferError
from transfer.ledger.endpoints import ALYX
from transfer.model import Item, Lab
from transfer.status import JOURNEY, Status
from transfer.steps.publish import publish
from transfer.steps.push import push
from transfer.steps.record import record
from transfer.steps.verify import verify
from transfer.steps.work import BatchWork, Failure

Step = Callable[[BatchWork, Sequence[Item]], list[Failure]]

STEPS: Mapping[Status, Step] = {
    Status.PLANNED: push,
    Status.SENT: verify,
    Status.VERIFIED: publish,
    Status.PUBLISHED: record,
}


def next_step(items: Sequence[Item]) -> tuple[Step, list[Item]] | None:
    """The step for the furthest of a batch's due items, and the items it is for; None when nothing is due."""
    if not items:
        return None
    furthest = max((item.status for item in items), key=JOURNEY.index)
    return STEPS[furthest], [item for item in items if item.status is furthest]


@dataclass(frozen=True, slots=True)
class Consequence:
    """What a failure means for others: an endpoint to keep back or to pause, or only the batch to postpone."""

    endpoint: bool
    pause: bool


def consequence(error: TransferError) -> Consequence:
    """How far a failure of a whole step reaches."""
    whole = error.reach is Reach.ENDPOINT
    return Consequence(endpoint=whole, pause=whole and error.cure in (Cure.PERSON, Cure.NOTHING))


def endpoint_of(error: TransferError, lab: Lab) -> str | None:
    """The endpoint an error speaks of, by the family of its code; None for our own ledger and config."""
    families = {"E-1": lab.repository, "E-2": lab.store, "E-3": ALYX}
    return families.get(error.code[:3])
