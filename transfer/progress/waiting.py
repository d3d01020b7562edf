"""Why a piece of work has not been done yet: busy, kept back, not yet time, or waiting its turn."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from transfer.progress.facts import Endpoint, Explanation, Lease, Owner
from transfer.progress.words import because, counted, moment, who

_OVERDUE = timedelta(minutes=10)


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """What will be claimed next.  `times` are all the moments it waits for; `queue` is (one, many)."""

    standing: str
    step: str
    now: datetime
    times: tuple[datetime | None, ...]
    queue: tuple[str, str]
    lease: Lease | None = None
    endpoints: tuple[Endpoint, ...] = ()
    error_text: str | None = None
    tries: int = 0
    ahead: int = 0


def explain_piece(piece: Piece) -> Explanation:
    """The reason that lasts longest; a worker that is busy with what is due comes first."""
    due = max((time for time in piece.times if time is not None), default=piece.now)
    if piece.lease is not None and due <= piece.now:
        return _busy(piece, piece.lease)
    for endpoint in piece.endpoints:
        if endpoint.paused_by is not None:
            return _paused(piece, endpoint)
    back = [(one.retry_at, one.name) for one in piece.endpoints if one.retry_at is not None]
    at, name = max(back, default=(piece.now, ""))
    if at > piece.now and at >= due:
        return _away(piece, name, at)
    return _later(piece, due) if due > piece.now else _queued(piece, due)


def _busy(piece: Piece, lease: Lease) -> Explanation:
    return Explanation(
        sentence=f"{piece.standing}; worker {lease.holder} is busy with it.",
        owner=Owner.WORKER,
        next_step=f"{piece.step}; if that worker falls silent, another takes over when its lease ends",
        at=lease.until,
    )


def _paused(piece: Piece, endpoint: Endpoint) -> Explanation:
    reason = (endpoint.pause_reason or "no reason was given").rstrip(".")
    return Explanation(
        sentence=f"{piece.standing}, but {endpoint.name} is paused by {who(endpoint.paused_by)}: {reason}.",
        owner=Owner.PERSON,
        next_step=f"`alyx-transfer resume {endpoint.name}` once that is cured; then {piece.step}",
        at=None,
    )


def _away(piece: Piece, name: str, at: datetime) -> Explanation:
    quiet = next((one.quiet for one in piece.endpoints if one.name == name), None)
    if quiet is not None:
        return Explanation(
            sentence=f"{piece.standing}; {name} is left alone until {moment(at)} or longer: {quiet.rstrip('.')}.",
            owner=Owner.PROGRAM,
            next_step=piece.step,
            at=at,
        )
    cause = because(piece.error_text)
    return Explanation(
        sentence=f"{piece.standing}; {name} failed and is tried again at {moment(at)}{cause}.",
        owner=Owner.PROGRAM,
        next_step=piece.step,
        at=at,
    )


def _later(piece: Piece, due: datetime) -> Explanation:
    tries = f" after {counted(piece.tries, 'failed try', 'failed tries')}" if piece.tries else ""
    cause = because(piece.error_text)
    return Explanation(
        sentence=f"{piece.standing}; the next step is due at {moment(due)}{tries}{cause}.",
        owner=Owner.PROGRAM,
        next_step=piece.step,
        at=due,
    )


def _queued(piece: Piece, due: datetime) -> Explanation:
    if piece.ahead == 0 and piece.now - due > _OVERDUE:
        return Explanation(
            sentence=f"{piece.standing} and due since {moment(due)}, but no worker has taken it.",
            owner=Owner.PERSON,
            next_step=f"see that a worker runs, with `alyx-transfer doctor`; it will {piece.step}",
            at=due,
        )
    turn = f"{counted(piece.ahead, *piece.queue)} before it" if piece.ahead else "it is next"
    return Explanation(
        sentence=f"{piece.standing} and waits for a free worker: {turn}.",
        owner=Owner.PROGRAM,
        next_step=piece.step,
        at=due,
    )
