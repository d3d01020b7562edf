"""Why a session has not been visited yet: the wait for discover and register."""

from datetime import datetime

from transfer.progress.facts import Explanation, Owner, Visit
from transfer.progress.waiting import Piece, explain_piece
from transfer.progress.words import moment

SESSIONS = ("session is", "sessions are")


def held_visit(visit: Visit, standing: str) -> Explanation:
    """A session in a person's hands."""
    return Explanation(
        sentence=f"{standing} ({visit.hold}): {visit.hold_text or 'no reason was written down.'}",
        owner=Owner.PERSON,
        next_step=f"do what it says, then `alyx-transfer release {visit.path}`",
        at=None,
    )


def explain_visit(visit: Visit, now: datetime, standing: str) -> Explanation:
    """When the session is looked at next."""
    if visit.hold is not None:
        return held_visit(visit, f"{standing}; its session is held")
    if visit.by_alyx and visit.lease is None and visit.not_before is None:
        return Explanation(
            sentence=f"{standing}: Alyx lists no file of it as missing at the store.",
            owner=Owner.NOBODY,
            next_step='with work = "alyx" only registered files move: register them, or set work = "disk"',
            at=now,
        )
    if visit.lease is None and visit.not_before is None:
        seen = f"last looked at {moment(visit.looked_at)}" if visit.looked_at else "not looked at yet"
        return Explanation(
            sentence=f"{standing}: its folder was {seen}; it is not complete, or did not change since.",
            owner=Owner.PROGRAM,
            next_step="the next scan looks again; a complete and quiet session is then discovered",
            at=now,
        )
    return explain_piece(
        Piece(
            standing=standing,
            step="look at the session's folder",
            now=now,
            times=(visit.not_before,),
            queue=SESSIONS,
            lease=visit.lease,
            endpoints=visit.endpoints,
            error_text=visit.error_text,
            ahead=visit.ahead,
        )
    )
