"""THE STORY: which step a session or a batch needs next, and what happens if it fails.

    discover -> register -> plan -> push -> verify -> publish -> record

A session is one piece of work for discover and register.  From then on its items travel in batches, and
the fact an item stands at says which step it needs.  The furthest items of a batch go first: what is
published is announced before anything new is sent.  While Alyx is away the furthest go first among those
whose step does not need it (`WITHOUT_ALYX`): bytes move and are verified, publish and record wait.  Where a
mover carries the bytes (Globus), push is asking it and looking, one look at a time.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from transfer.errors import Cure, Reach, TransferError
from transfer.ledger.due import WITHOUT_ALYX
from transfer.ledger.endpoints import ALYX
from transfer.model import Item, Lab
from transfer.status import JOURNEY, Status
from transfer.steps.delegate import delegate
from transfer.steps.publish import publish
from transfer.steps.push import push
from transfer.steps.record import record
from transfer.steps.staged import publish_staged, verify_staged
from transfer.steps.verify import verify
from transfer.steps.work import BatchWork, DelegatedWork, Failure, StreamingWork

Setting = TypeVar("Setting", bound=BatchWork)
Step = Callable[[Setting, Sequence[Item]], list[Failure]]

STREAMING: Mapping[Status, Step[StreamingWork]] = {
    Status.PLANNED: push,
    Status.SENT: verify,
    Status.VERIFIED: publish,
    Status.PUBLISHED: record,
}
DELEGATED: Mapping[Status, Step[DelegatedWork]] = {
    Status.PLANNED: delegate,
    Status.SENT: verify_staged,
    Status.VERIFIED: publish_staged,
    Status.PUBLISHED: record,
}


def next_step(
    steps: Mapping[Status, Step[Setting]], items: Sequence[Item], *, may: Collection[Status] = JOURNEY
) -> tuple[Step[Setting], list[Item]] | None:
    """The step for the furthest of a batch's due items, and the items it is for; None when nothing is due.

    `may` are the facts whose next step can be taken now: see `without_alyx`.
    """
    items = [item for item in items if item.status in may]
    if not items:
        return None
    furthest = max((item.status for item in items), key=JOURNEY.index)
    return steps[furthest], [item for item in items if item.status is furthest]


def without_alyx(lab: Lab) -> Collection[Status]:
    """The facts from which this lab's items go on while Alyx is away.

    Where another tool moves files too, sending waits as well: the lock that keeps it away stands in Alyx.
    """
    return WITHOUT_ALYX - {Status.PLANNED} if lab.incumbent else WITHOUT_ALYX


@dataclass(frozen=True, slots=True)
class Consequence:
    """What a failure means for others: an endpoint to keep back or to pause, or only the batch to postpone."""

    endpoint: bool
    pause: bool


def consequence(error: TransferError) -> Consequence:
    """How far a failure of a whole step reaches."""
    whole = error.reach is Reach.ENDPOINT
    return Consequence(endpoint=whole, pause=whole and error.cure in (Cure.PERSON, Cure.NOTHING))


def is_alyx_away(error: TransferError, lab: Lab) -> bool:
    """Whether nothing that needs Alyx can be done now, while other work may go on."""
    return consequence(error).endpoint and endpoint_of(error, lab) == ALYX


def endpoint_of(error: TransferError, lab: Lab) -> str | None:
    """The endpoint an error speaks of, by the family of its code; None for our own ledger and config."""
    families = {"E-1": lab.repository, "E-2": lab.store, "E-3": ALYX}
    return families.get(error.code[:3])
