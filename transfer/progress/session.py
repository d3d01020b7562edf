"""One session in a sentence: its hold, else the file that explains best, else its next visit."""

from datetime import datetime

from transfer.progress.facts import Explanation, Owner, SessionFacts, Visit
from transfer.progress.file import explain
from transfer.progress.visit import explain_visit, held_visit


def explain_session(facts: SessionFacts) -> Explanation:
    """Explain one session."""
    visit = facts.visit
    standing = f"Session {visit.path} ({_tally(facts)})"
    if visit.hold is not None:
        return held_visit(visit, f"{standing} is held")
    if facts.foremost is not None:
        inner = explain(facts.foremost)
        return Explanation(
            sentence=f"{standing} is not done: {inner.sentence}",
            owner=inner.owner,
            next_step=inner.next_step,
            at=inner.at,
        )
    if facts.files and visit.lease is None and visit.not_before is None:
        return _done(standing, visit, facts.now)
    return explain_visit(visit, facts.now, standing)


def _done(standing: str, visit: Visit, now: datetime) -> Explanation:
    return Explanation(
        sentence=f"{standing} has nothing left to do.",
        owner=Owner.NOBODY,
        next_step="nothing; a scan notices when its folder changes",
        at=visit.complete_at or visit.looked_at or now,
    )


def _tally(facts: SessionFacts) -> str:
    parts = [f"{facts.recorded} of {facts.files} files recorded"]
    parts += [f"{facts.waiting} waiting"] if facts.waiting else []
    parts += [f"{facts.held} held"] if facts.held else []
    parts += [f"{facts.unregistrable} not registrable"] if facts.unregistrable else []
    return ", ".join(parts)
