"""What a person does through the dashboard: the API's operations and the pages' buttons call these.

PROMISES: each leaves its event with the person and the reason; each may be repeated; what it changes is heeded without
a restart, because workers ask the ledger, and they are rung for at once.

A target is named as `finding.exactly` reads it: `session:12`, `file:7`, `item:9`, `batch:3`, `lab:NAME` or
`endpoint:NAME`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from config.sections import Lab
from dashboard.access import Person
from dashboard.board import Board
from transfer.errors import ActionUnfitting, RequestMalformed
from transfer.ledger import Ledger, actions, bandwidth, endpoints, pausing, prioritising
from transfer.ledger.finding import Target, exactly
from transfer.ledger.scopes import Done
from transfer.timetable import Misread, read_rate, read_timetable, written

FARTHEST = timedelta(days=366)
"""A limit of bandwidth that ends is at most so long."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Changed:
    """What an action changed; nothing where all stood as asked.

    `heard` is false when no worker could be rung: they look by themselves within a minute.
    """

    files: int
    sessions: int
    batches: int
    endpoints: tuple[str, ...]
    heard: bool


def target_of(board: Board, words: str) -> Target:
    """The thing that is named; a lab of the config is known before its first session.  Raises `NothingFound`."""
    for known in board.known:
        if words == known.address:
            endpoints.ensure(board.ledger, board.endpoint_names)
            return known
    return exactly(board.ledger, words)


def release(board: Board, person: Person, target: str, *, why: str | None = None) -> Changed:
    """Let what is held go on from where it stands."""
    return _told(board, actions.release(_as(board, person), target_of(board, target), why=why))


def release_all(board: Board, person: Person, *, hold: str | None = None, why: str | None = None) -> Changed:
    """Let everything that is held go on, or everything that is held for this."""
    return _told(board, actions.release_all(_as(board, person), hold=hold, why=why))


def retry(board: Board, person: Person, target: str, *, why: str | None = None) -> Changed:
    """Make it due now and forget its failures."""
    return _told(board, actions.retry(_as(board, person), target_of(board, target), why=why))


def cancel(board: Board, person: Person, target: str, *, why: str) -> Changed:
    """Stop moving it until it is released."""
    return _told(board, actions.cancel(_as(board, person), target_of(board, target), why=why))


def pause(board: Board, person: Person, target: str, *, why: str) -> Changed:
    """Keep a session, an endpoint, or a lab at its repository, from moving until it is resumed."""
    place = pausing.place_of(target_of(board, target), _repositories(board))
    return _told(board, pausing.pause(_as(board, person), place, why=why))


def resume(board: Board, person: Person, target: str, *, why: str | None = None) -> Changed:
    """Let it go on at once."""
    place = pausing.place_of(target_of(board, target), _repositories(board))
    return _told(board, pausing.resume(_as(board, person), place, why=why))


def prioritise(
    board: Board,
    person: Person,
    target: str,
    *,
    level: int = prioritising.RAISED,
    why: str | None = None,
) -> Changed:
    """Let a session, a batch or what a lab has to do go before all of a lower level."""
    found = target_of(board, target)
    return _told(board, prioritising.prioritise(_as(board, person), found, level, why=why))


def limit(
    board: Board,
    person: Person,
    target: str,
    rate: str,
    *,
    seconds: int | None = None,
    until: datetime | None = None,
    why: str,
) -> Changed:
    """Let at most `rate`, as people write it, leave a lab machine: for so long, until then, or until it is lifted."""
    lab = _lab_of(board, target)
    if seconds is not None and until is not None:
        raise RequestMalformed(["body: `seconds` and `until` say the same thing; keep one"])
    if until is not None and not timedelta(0) < until - board.ledger.moment() <= FARTHEST:
        raise RequestMalformed(["body.until: must be in the future, and at most a year ahead"])
    try:
        wanted = read_rate(rate)
    except Misread as misread:
        raise RequestMalformed([f"body.rate: {misread}"]) from misread
    lasting = timedelta(seconds=seconds) if seconds is not None else None
    bandwidth.set_limit(_as(board, person), lab.repository, wanted, lasting=lasting, until=until, why=why)
    return _told(board, Done(endpoints=[lab.repository]))


def unlimit(board: Board, person: Person, target: str, *, why: str | None = None) -> Changed:
    """Let the config's timetable hold again at a lab machine."""
    lab = _lab_of(board, target)
    lifted = bandwidth.clear_limit(_as(board, person), lab.repository, why=why)
    return _told(board, Done(endpoints=[lab.repository] if lifted else []))


def timetable_of(board: Board, target: str) -> Sequence[str]:
    """The timetable that holds at a lab machine, as it was written."""
    lab = _lab_of(board, target)
    _, ours = bandwidth.said(board.ledger, lab.repository)
    return ours.entries if ours else lab.guest.bandwidth


def set_timetable(board: Board, person: Person, target: str, entries: Sequence[str], *, why: str) -> Changed:
    """Have this timetable hold at a lab machine instead of the config's, in the hours of the lab's time zone."""
    lab = _lab_of(board, target)
    zone = lab.guest.timezone
    wanted = written(entries)
    try:
        read_timetable(wanted, ZoneInfo(zone) if zone else None)
    except Misread as misread:
        raise RequestMalformed([f"body.entries: {misread}"]) from misread
    made = bandwidth.set_timetable(_as(board, person), lab.repository, wanted, timezone=zone, why=why)
    return _told(board, Done(endpoints=[lab.repository] if made else []))


def clear_timetable(board: Board, person: Person, target: str, *, why: str | None = None) -> Changed:
    """Let the config's timetable hold again at a lab machine."""
    lab = _lab_of(board, target)
    lifted = bandwidth.clear_timetable(_as(board, person), lab.repository, why=why)
    return _told(board, Done(endpoints=[lab.repository] if lifted else []))


def _as(board: Board, person: Person) -> Ledger:
    return board.ledger.acting_as(person.actor)


def _repositories(board: Board) -> Mapping[str, str]:
    return {name: lab.repository for name, lab in board.settings.labs.items()}


def _lab_of(board: Board, words: str) -> Lab:
    """The lab whose machine is limited, by its own name or its repository's."""
    found = target_of(board, words)
    for name, lab in board.settings.labs.items():
        if (found.kind, found.name) in (("lab", name), ("endpoint", lab.repository)):
            return lab
    raise ActionUnfitting(
        "only a lab machine's bandwidth is limited",
        to=words,
        do=f"Name a lab of the config: {', '.join(board.settings.labs) or 'there is none'}.",
    )


def _told(board: Board, done: Done) -> Changed:
    """Have the workers look, and say what was changed."""
    heard = board.ring_for_a_look() if done else True
    return Changed(
        files=len(done.items),
        sessions=len(done.sessions),
        batches=len(done.batches),
        endpoints=tuple(done.endpoints),
        heard=heard,
    )
