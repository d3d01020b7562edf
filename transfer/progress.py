"""Where a file or a session is, why it is not further, and what happens next and when: pure sentences.

PROMISE: an explanation always names an owner, a next step, and a moment or a person.  There is no
"unknown": every combination of facts the ledger can hold has its sentence, and a file that nothing would
ever pick up again is a person's case and said to be one.

The order of the questions is that of the claims in the ledger: ended, held, busy, kept back by an endpoint,
not yet time, waiting its turn.  What a worker would not take for two reasons is explained by the one that
lasts longer.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from transfer.status import ENDS, Status

_OVERDUE = timedelta(minutes=10)


class Owner(StrEnum):
    """Who has the next move."""

    NOBODY = "nobody"  # it is finished
    WORKER = "worker"  # one is busy with it now
    PROGRAM = "alyx-transfer"  # it goes on by itself
    PERSON = "a person"


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    """One sentence, who has the next move, what it is, and when: None only where it is a person's."""

    sentence: str
    owner: Owner
    next_step: str
    at: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Lease:
    """Who is busy, and until when unless renewed."""

    holder: str
    until: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """The state of one place a step needs."""

    name: str
    paused_by: str | None = None
    pause_reason: str | None = None
    retry_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Visit:
    """The session as a piece of work: discover and register."""

    path: str
    hold: str | None = None
    hold_text: str | None = None
    not_before: datetime | None = None
    lease: Lease | None = None
    error_text: str | None = None
    looked_at: datetime | None = None
    complete_at: datetime | None = None
    endpoints: tuple[Endpoint, ...] = ()
    ahead: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Carriage:
    """The batch as a piece of work: push to record.  `ahead` batches are taken before it."""

    id: int
    not_before: datetime | None = None
    cancel_at: datetime | None = None
    lease: Lease | None = None
    error_text: str | None = None
    endpoints: tuple[Endpoint, ...] = ()
    ahead: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class End:
    """How an item ended."""

    at: datetime
    proof: str | None = None
    receipt: int | None = None
    successor: int | None = None  # the item that replaced it
    by: str | None = None
    why: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class FileFacts:
    """Everything the ledger knows that bears on one file.  `status` is None where the file has no item."""

    now: datetime
    name: str
    visit: Visit
    status: Status | None = None
    item: int | None = None
    hold: str | None = None
    hold_text: str | None = None
    not_before: datetime | None = None
    tries: int = 0
    error_text: str | None = None
    carriage: Carriage | None = None
    end: End | None = None
    unregistrable: str | None = None
    gone_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionFacts:
    """A session, the counts of its files, and the file that explains best why it is not done."""

    now: datetime
    visit: Visit
    files: int = 0
    recorded: int = 0
    waiting: int = 0
    held: int = 0
    unregistrable: int = 0
    foremost: FileFacts | None = None


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
_VISIT = "look at the session's folder"


@dataclass(frozen=True, slots=True)
class _Piece:
    """What is claimed next: an item's time joined with that of its session or batch."""

    standing: str
    step: str
    command: str
    now: datetime
    lease: Lease | None
    endpoints: tuple[Endpoint, ...]
    times: tuple[datetime | None, ...]
    because: str | None
    tries: int
    ahead: int
    queue: str


def explain(facts: FileFacts) -> Explanation:
    """Explain one file."""
    match facts.status:
        case None:
            return _without_item(facts)
        case status if status in ENDS:
            return _ended(facts, status)
        case status:
            return _held(facts, status) or _moving(facts, status)


# ---- files that do not move


def _without_item(facts: FileFacts) -> Explanation:
    if facts.gone_at is not None:
        return Explanation(
            sentence=f"{facts.name} is gone from the lab machine since {_moment(facts.gone_at)}; "
            "nothing of it was waiting to be sent.",
            owner=Owner.NOBODY,
            next_step="nothing; if the file comes back, the next scan finds it",
            at=facts.gone_at,
        )
    if facts.unregistrable is None:
        return _of_visit(facts.visit, facts.now, f"{facts.name} was found and has no item yet")
    if facts.unregistrable.startswith("[E-"):
        return Explanation(
            sentence=f"{facts.name} cannot be moved as it is: {facts.unregistrable}",
            owner=Owner.PERSON,
            next_step="cure the cause; the session is looked at again by itself, or at once with "
            f"`alyx-transfer retry {facts.visit.path}`",
            at=facts.visit.not_before,
        )
    return Explanation(
        sentence=f"{facts.name} stays on the lab machine, because Alyx could not register it: "
        f"{facts.unregistrable.rstrip('.')}.",
        owner=Owner.PERSON,
        next_step="nothing if that is intended; else rename the file or add its type to Alyx, then "
        f"`alyx-transfer retry {facts.visit.path}`",
        at=None,
    )


def _ended(facts: FileFacts, status: Status) -> Explanation:
    end = facts.end or End(at=facts.now)
    if status is Status.RECORDED:
        receipt = f", receipt {end.receipt}" if end.receipt is not None else ""
        sentence = (
            f"{facts.name} arrived: recorded in Alyx at {_moment(end.at)}, "
            f"proved by {end.proof or 'nothing'}{receipt}."
        )
        if facts.unregistrable is not None:
            sentence += f" The lab's file has changed since and cannot follow: {facts.unregistrable}"
        return Explanation(
            sentence=sentence, owner=Owner.NOBODY, next_step="nothing; it is finished", at=end.at
        )
    if status is Status.SUPERSEDED:
        by = f"item {end.successor}" if end.successor is not None else "a newer version of the file"
        return Explanation(
            sentence=f"This version of {facts.name} was replaced by {by} at {_moment(end.at)}, "
            "because the lab's file changed.",
            owner=Owner.NOBODY,
            next_step="nothing; its successor makes the journey",
            at=end.at,
        )
    return Explanation(
        sentence=f"{facts.name} was abandoned by {_who(end.by)} at {_moment(end.at)}: "
        f"{end.why or 'no reason was given'}.",
        owner=Owner.NOBODY,
        next_step="nothing; a changed file is discovered again",
        at=end.at,
    )


def _held(facts: FileFacts, status: Status) -> Explanation | None:
    if facts.hold is None:
        return None
    gone = f" The lab's file is gone since {_moment(facts.gone_at)}." if facts.gone_at else ""
    return Explanation(
        sentence=f"{facts.name} is {_STANDING[status]} and held ({facts.hold}): "
        f"{facts.hold_text or facts.error_text or 'no reason was written down.'}{gone}",
        owner=Owner.PERSON,
        next_step=f"do what it says, then `alyx-transfer release {_handle(facts)}`; "
        "or give the file up with `alyx-transfer abandon`",
        at=None,
    )


# ---- files that move


def _moving(facts: FileFacts, status: Status) -> Explanation:
    visit, carriage = facts.visit, facts.carriage
    standing = f"{facts.name} is {_STANDING[status]}"
    if status is Status.DISCOVERED:
        if visit.hold is not None:
            return _held_visit(visit, f"{standing}, but its session is held")
        if visit.lease is None and visit.not_before is None:
            return _forgotten(standing, "nothing will visit its session", visit.path)
        piece = _piece(facts, standing, status, visit, (facts.not_before, visit.not_before), "sessions")
    elif carriage is not None:
        if carriage.cancel_at is not None:
            return _cancelled(standing, carriage)
        standing += f" (batch {carriage.id})"
        piece = _piece(facts, standing, status, carriage, (facts.not_before, carriage.not_before), "batches")
    else:
        piece = _piece(facts, standing, status, Visit(path=visit.path), (facts.not_before,), "batches")
    if facts.not_before is None:
        return _forgotten(standing, "it has no time for its next step", _handle(facts))
    return _progress(piece)


def _piece(
    facts: FileFacts,
    standing: str,
    status: Status,
    claimed: Visit | Carriage,
    times: tuple[datetime | None, ...],
    queue: str,
) -> _Piece:
    return _Piece(
        standing=standing,
        step=_NEXT[status],
        command=f"alyx-transfer retry {_handle(facts)}",
        now=facts.now,
        lease=claimed.lease,
        endpoints=claimed.endpoints,
        times=times,
        because=facts.error_text or claimed.error_text,
        tries=facts.tries,
        ahead=claimed.ahead,
        queue=queue,
    )


def _progress(piece: _Piece) -> Explanation:
    due = max((time for time in piece.times if time is not None), default=piece.now)
    waits = due > piece.now
    if piece.lease is not None and not waits:
        return _busy(piece, piece.lease)
    for endpoint in piece.endpoints:
        if endpoint.paused_by is not None:
            return _paused(piece, endpoint)
    back = [one for one in piece.endpoints if one.retry_at is not None and one.retry_at > piece.now]
    for endpoint in back:
        if (
            endpoint.retry_at == max(one.retry_at for one in back if one.retry_at)
            and endpoint.retry_at >= due
        ):
            return _away(piece, endpoint, endpoint.retry_at)
    return _later(piece, due) if waits else _queued(piece, due)


def _busy(piece: _Piece, lease: Lease) -> Explanation:
    return Explanation(
        sentence=f"{piece.standing}; worker {lease.holder} is busy with it.",
        owner=Owner.WORKER,
        next_step=f"{piece.step}; if that worker falls silent, another takes over when its lease ends",
        at=lease.until,
    )


def _paused(piece: _Piece, endpoint: Endpoint) -> Explanation:
    return Explanation(
        sentence=f"{piece.standing}, but {endpoint.name} is paused by {_who(endpoint.paused_by)}: "
        f"{(endpoint.pause_reason or 'no reason was given').rstrip('.')}.",
        owner=Owner.PERSON,
        next_step=f"`alyx-transfer resume {endpoint.name}`, then {piece.step}",
        at=None,
    )


def _away(piece: _Piece, endpoint: Endpoint, at: datetime) -> Explanation:
    return Explanation(
        sentence=f"{piece.standing}; {endpoint.name} failed and is tried again at {_moment(at)}"
        f"{_because(piece)}.",
        owner=Owner.PROGRAM,
        next_step=piece.step,
        at=at,
    )


def _later(piece: _Piece, due: datetime) -> Explanation:
    tries = f" after {piece.tries} failed {_plural(piece.tries, 'try', 'tries')}" if piece.tries else ""
    return Explanation(
        sentence=f"{piece.standing}; the next step is tried at {_moment(due)}{tries}{_because(piece)}.",
        owner=Owner.PROGRAM,
        next_step=piece.step,
        at=due,
    )


def _queued(piece: _Piece, due: datetime) -> Explanation:
    if piece.ahead == 0 and piece.now - due > _OVERDUE:
        return Explanation(
            sentence=f"{piece.standing} and due since {_moment(due)}, but no worker has taken it.",
            owner=Owner.PERSON,
            next_step=f"see that a worker runs (`alyx-transfer doctor`); it will {piece.step}",
            at=due,
        )
    turn = f"{piece.ahead} {piece.queue} are before it" if piece.ahead else "it is next"
    return Explanation(
        sentence=f"{piece.standing} and waits for a free worker: {turn}.",
        owner=Owner.PROGRAM,
        next_step=piece.step,
        at=due,
    )


def _forgotten(standing: str, what: str, handle: str) -> Explanation:
    return Explanation(
        sentence=f"{standing}, but {what}.",
        owner=Owner.PERSON,
        next_step=f"`alyx-transfer retry {handle}` makes it due now",
        at=None,
    )


def _cancelled(standing: str, carriage: Carriage) -> Explanation:
    assert carriage.cancel_at is not None
    return Explanation(
        sentence=f"{standing}, but its batch {carriage.id} was cancelled at {_moment(carriage.cancel_at)}.",
        owner=Owner.PERSON,
        next_step=f"`alyx-transfer release batch:{carriage.id}` lets it go on",
        at=None,
    )


# ---- sessions


def explain_session(facts: SessionFacts) -> Explanation:
    """Explain one session: what hinders its visit, else its foremost file, else that it is done."""
    visit, tally = facts.visit, _tally(facts)
    standing = f"Session {visit.path} ({tally})"
    if visit.hold is not None:
        return _held_visit(visit, f"{standing} is held")
    if facts.foremost is not None and (facts.held or visit.not_before is None):
        inner = explain(facts.foremost)
        return Explanation(
            sentence=f"{standing} is not done: {inner.sentence}",
            owner=inner.owner,
            next_step=inner.next_step,
            at=inner.at,
        )
    if visit.lease is not None or visit.not_before is not None:
        return _of_visit(visit, facts.now, standing)
    if facts.files:
        return Explanation(
            sentence=f"{standing} has nothing left to do.",
            owner=Owner.NOBODY,
            next_step="nothing; a scan notices when its folder changes",
            at=visit.complete_at or visit.looked_at or facts.now,
        )
    return _of_visit(visit, facts.now, standing)


def _tally(facts: SessionFacts) -> str:
    parts = [f"{facts.recorded} of {facts.files} files recorded"]
    if facts.waiting:
        parts.append(f"{facts.waiting} waiting")
    if facts.held:
        parts.append(f"{facts.held} held")
    if facts.unregistrable:
        parts.append(f"{facts.unregistrable} not registrable")
    return ", ".join(parts)


def _held_visit(visit: Visit, standing: str) -> Explanation:
    return Explanation(
        sentence=f"{standing} ({visit.hold}): {visit.hold_text or 'no reason was written down.'}",
        owner=Owner.PERSON,
        next_step=f"do what it says, then `alyx-transfer release {visit.path}`",
        at=None,
    )


def _of_visit(visit: Visit, now: datetime, standing: str) -> Explanation:
    """Why the session has not been visited yet."""
    if visit.hold is not None:
        return _held_visit(visit, f"{standing}; its session is held")
    if visit.lease is None and visit.not_before is None:
        seen = f"last looked at {_moment(visit.looked_at)}" if visit.looked_at else "not looked at yet"
        return Explanation(
            sentence=f"{standing}: its folder was {seen} and is not complete, or did not change since.",
            owner=Owner.PROGRAM,
            next_step="the next scan looks again; a complete and quiet session is then discovered",
            at=now,
        )
    return _progress(
        _Piece(
            standing=standing,
            step=_VISIT,
            command=f"alyx-transfer retry {visit.path}",
            now=now,
            lease=visit.lease,
            endpoints=visit.endpoints,
            times=(visit.not_before,),
            because=visit.error_text,
            tries=0,
            ahead=visit.ahead,
            queue="sessions",
        )
    )


# ---- words


def _handle(facts: FileFacts) -> str:
    return str(facts.item) if facts.item is not None else facts.visit.path


def _because(piece: _Piece) -> str:
    return f", because {piece.because.rstrip('.')}" if piece.because else ""


def _who(actor: str | None) -> str:
    return (actor or "somebody").removeprefix("person:")


def _plural(count: int, one: str, many: str) -> str:
    return one if count == 1 else many


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%MZ}"
