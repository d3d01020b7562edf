"""One file in a sentence."""

from transfer.progress.facts import Carriage, End, Explanation, FileFacts, Owner, Visit
from transfer.progress.visit import SESSIONS, explain_visit, held_visit
from transfer.progress.waiting import Piece, explain_piece
from transfer.progress.words import moment, who
from transfer.status import ENDS, Status

_BATCHES = ("batch is", "batches are")

_STANDING = {
    Status.DISCOVERED: "found and hashed on the lab machine",
    Status.REGISTERED: "registered in Alyx",
    Status.PLANNED: "planned",
    Status.SENT: "sent to the store under a temporary name",
    Status.VERIFIED: "sent and verified at the store",
    Status.PUBLISHED: "at the store under its final name",
}
_NEXT = {
    Status.DISCOVERED: "register it in Alyx",
    Status.REGISTERED: "put it into a batch",
    Status.PLANNED: "send it",
    Status.SENT: "verify what arrived",
    Status.VERIFIED: "bring it under its final name",
    Status.PUBLISHED: "record it in Alyx",
}


def explain(facts: FileFacts) -> Explanation:
    """Explain one file."""
    if facts.status is None:
        return _without_item(facts)
    if facts.status in ENDS:
        assert facts.end is not None, f"item {facts.item} ended and nobody knows when"
        return _ended(facts, facts.status, facts.end)
    if facts.hold is not None:
        return _held(facts, facts.status)
    return _moving(facts, facts.status)


def _without_item(facts: FileFacts) -> Explanation:
    visit = facts.visit
    if facts.gone_at is not None:
        return Explanation(
            sentence=f"{facts.name} is gone from the lab machine since {moment(facts.gone_at)}; "
            "nothing of it was waiting to be sent.",
            owner=Owner.NOBODY,
            next_step="nothing; if the file comes back, the next scan finds it",
            at=facts.gone_at,
        )
    if facts.unregistrable is None:
        return explain_visit(visit, facts.now, f"{facts.name} was found and has no item yet")
    if facts.unregistrable.startswith("[E-"):
        return Explanation(
            sentence=f"{facts.name} cannot be moved as it is: {facts.unregistrable}",
            owner=Owner.PERSON,
            next_step="cure the cause; the session is looked at again by itself, at once with "
            f"`alyx-transfer retry {visit.path}`",
            at=visit.not_before,
        )
    return Explanation(
        sentence=f"{facts.name} stays on the lab machine, because Alyx could not register it: "
        f"{facts.unregistrable.rstrip('.')}.",
        owner=Owner.PERSON,
        next_step="nothing if that is intended; else rename the file or add its type to Alyx, then "
        f"`alyx-transfer retry {visit.path}`",
        at=None,
    )


def _ended(facts: FileFacts, status: Status, end: End) -> Explanation:
    match status:
        case Status.RECORDED:
            sentence, then = _recorded(facts, end), "nothing; it is finished"
        case Status.SUPERSEDED:
            by = f"item {end.successor}" if end.successor is not None else "a newer version of the file"
            sentence = (
                f"This version of {facts.name} was replaced by {by} at {moment(end.at)}, "
                "because the lab's file changed."
            )
            then = "nothing; its successor makes the journey"
        case _:
            why = (end.why or "no reason was given").rstrip(".")
            sentence = f"{facts.name} was abandoned by {who(end.by)} at {moment(end.at)}: {why}."
            then = "nothing; when the file changes it is discovered again"
    return Explanation(sentence=sentence, owner=Owner.NOBODY, next_step=then, at=end.at)


def _recorded(facts: FileFacts, end: End) -> str:
    receipt = f", receipt {end.receipt}" if end.receipt is not None else ""
    proof = f"proved by {end.proof}" if end.proof else "without proof"
    return f"{facts.name} arrived: recorded in Alyx at {moment(end.at)}, {proof}{receipt}."


def _held(facts: FileFacts, status: Status) -> Explanation:
    gone = f" The lab's file is gone since {moment(facts.gone_at)}." if facts.gone_at else ""
    return Explanation(
        sentence=f"{facts.name} is {_STANDING[status]} and held ({facts.hold}): "
        f"{facts.hold_text or facts.error_text or 'no reason was written down.'}{gone}",
        owner=Owner.PERSON,
        next_step=f"do what it says, then `alyx-transfer release {_handle(facts)}`; "
        f"or give the file up with `alyx-transfer abandon {_handle(facts)}`",
        at=None,
    )


def _moving(facts: FileFacts, status: Status) -> Explanation:
    standing = f"{facts.name} is {_STANDING[status]}"
    if facts.not_before is None:
        return _forgotten(standing, "it has no time for its next step", _handle(facts))
    if status is Status.DISCOVERED:
        return _before_register(facts, facts.visit, standing)
    if facts.carriage is None:
        return explain_piece(_piece(facts, status, standing))
    return _in_batch(facts, status, facts.carriage, standing)


def _before_register(facts: FileFacts, visit: Visit, standing: str) -> Explanation:
    if visit.hold is not None:
        return held_visit(visit, f"{standing}, but its session is held")
    piece = Piece(
        standing=standing,
        step=_NEXT[Status.DISCOVERED],
        now=facts.now,
        times=(facts.not_before, visit.not_before),
        queue=SESSIONS,
        lease=visit.lease,
        endpoints=visit.endpoints,
        error_text=facts.error_text or visit.error_text,
        tries=facts.tries,
        ahead=visit.ahead,
    )
    return explain_piece(piece)


def _in_batch(facts: FileFacts, status: Status, carriage: Carriage, standing: str) -> Explanation:
    if carriage.cancel_at is not None:
        return Explanation(
            sentence=f"{standing}, but its batch {carriage.id} was cancelled at {moment(carriage.cancel_at)}.",
            owner=Owner.PERSON,
            next_step=f"`alyx-transfer release batch:{carriage.id}` lets it go on",
            at=None,
        )
    moving = f", at the mover: {carriage.note}" if carriage.note and status is Status.PLANNED else ""
    return explain_piece(_piece(facts, status, f"{standing} (batch {carriage.id}{moving})"))


def _piece(facts: FileFacts, status: Status, standing: str) -> Piece:
    carriage = facts.carriage or Carriage(id=0)
    return Piece(
        standing=standing,
        step=_NEXT[status],
        now=facts.now,
        times=(facts.not_before, carriage.not_before),
        queue=_BATCHES,
        lease=carriage.lease,
        endpoints=carriage.endpoints,
        error_text=facts.error_text or carriage.error_text,
        tries=facts.tries,
        ahead=carriage.ahead,
    )


def _forgotten(standing: str, what: str, handle: str) -> Explanation:
    return Explanation(
        sentence=f"{standing}, but {what}.",
        owner=Owner.PERSON,
        next_step=f"`alyx-transfer retry {handle}` makes it due now",
        at=None,
    )


def _handle(facts: FileFacts) -> str:
    """How a command names the file."""
    return str(facts.item) if facts.item is not None else facts.visit.path
