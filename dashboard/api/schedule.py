"""The regular rounds: when each is walked, when it was, what came of it, when it is due; and to walk one now."""

from dataclasses import dataclass

from config import rounds
from config.upcoming import Due, schedule_of
from dashboard.access import Acting, Person, Seeing
from dashboard.api.asking import Name, section
from dashboard.board import Board, TheBoard
from transfer.errors import NothingFound
from transfer.ledger.glance.pages import Page

router = section("schedule")


@dataclass(frozen=True, kw_only=True, slots=True)
class Rung:
    """Whether the round's ring was carried away.  Where not, no broker answered, and nobody walks it now."""

    name: str
    heard: bool
    sentence: str


def ring(board: Board, person: Person, name: str) -> Rung:
    """Have a round walked now, although it is not due.  Raises `NothingFound`."""
    sweeps = {one.name: one for one in rounds.sweeps(board.settings)}
    known = {**sweeps, **rounds.table(board.settings)}
    if name not in known:
        raise NothingFound("there is no such round", to=name, do=f"The rounds: {', '.join(known)}.")
    with board.ledger.acting_as(person.actor).unguarded() as tx:
        tx.log("job", [(name, "rung", None, None, None)])
    one = known[name]
    carried = one.arguments if name in sweeps else one.by_hand
    heard = board.ring(one.task, *carried, queue=one.queue)
    told = "The workers were rung for." if heard else "Nobody heard: the broker does not answer."
    return Rung(name=name, heard=heard, sentence=told)


@router.get("/schedule", summary="The regular rounds, and when each is due")
def schedule(board: TheBoard, _: Seeing) -> Page[Due]:
    return Page(rows=schedule_of(board.settings, board.ledger))


@router.post("/schedule/{name}/run", summary="Walk a round now")
def run_round(board: TheBoard, person: Acting, name: Name) -> Rung:
    return ring(board, person, name)
