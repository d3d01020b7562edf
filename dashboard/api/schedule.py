"""The regular rounds: how often each is walked, when it was, what came of it, when it is due; and to walk one now."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from config import rounds
from config.rounds import SWEEP, Regular
from config.sections import Settings
from dashboard.access import Acting, Person, Seeing
from dashboard.api.asking import Name, section
from dashboard.board import Board, TheBoard
from transfer.errors import NothingFound
from transfer.ledger.glance.pages import Page
from transfer.ledger.glance.rounds import Round
from transfer.ledger.glance.rounds import rounds as walked

router = section("schedule")


@dataclass(frozen=True, kw_only=True, slots=True)
class Due:
    """One round.  `due_at` is null for one that was never walked: it is due now; `holder` walks it at this moment."""

    name: str
    every_seconds: int
    last_run: datetime | None
    last_outcome: str | None
    holder: str | None
    due_at: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Rung:
    """Whether the round's ring was carried away.  Where not, no broker answered, and nobody walks it now."""

    name: str
    heard: bool
    sentence: str


def table(settings: Settings) -> Mapping[str, Regular]:
    """Every round of the config by its name."""
    every = rounds.every(settings.schedule, settings.notices)
    found = rounds.table(labs=settings.labs, stores=settings.stores, every=every)
    return {one.name: one for one in found}


def due(planned: Regular, last: Round | None) -> Due:
    """One round as it stands."""
    run = last.last_run if last is not None else None
    return Due(
        name=planned.name,
        every_seconds=round(planned.every.total_seconds()),
        last_run=run,
        last_outcome=last.last_outcome if last is not None else None,
        holder=last.holder if last is not None else None,
        due_at=run + planned.every if run is not None else None,
    )


def schedule_of(board: Board) -> tuple[Due, ...]:
    """Every round of the config, by name, and the sweep, which has no memory."""
    last = {one.name: one for one in walked(board.ledger)}
    found = [due(one, last.get(name)) for name, one in sorted(table(board.settings).items())]
    interval = timedelta(seconds=board.settings.schedule.sweep_seconds)
    return (due(Regular(task=SWEEP, of=None, every=interval), None), *found)


def ring(board: Board, person: Person, name: str) -> Rung:
    """Have a round walked now, although it is not due.  Raises `NothingFound`."""
    known = table(board.settings)
    if name not in known and name != "sweep":
        raise NothingFound("there is no such round", to=name, do=f"The rounds: sweep, {', '.join(known)}.")
    with board.ledger.acting_as(person.actor).unguarded() as tx:
        tx.log("job", [(name, "rung", None, None, None)])
    heard = board.ring(SWEEP) if name == "sweep" else board.ring(known[name].task, *known[name].by_hand)
    told = "The workers were rung for." if heard else "Nobody heard: the broker does not answer."
    return Rung(name=name, heard=heard, sentence=told)


@router.get("/schedule", summary="The regular rounds, and when each is due")
def schedule(board: TheBoard, _: Seeing) -> Page[Due]:
    return Page(rows=schedule_of(board))


@router.post("/schedule/{name}/run", summary="Walk a round now")
def run_round(board: TheBoard, person: Acting, name: Name) -> Rung:
    return ring(board, person, name)
