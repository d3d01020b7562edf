"""`/healthz`: this process lives.  `/readyz`: it can answer.  Neither needs a login, and neither tells a secret."""

from dataclasses import dataclass

from fastapi import APIRouter

from dashboard.api.asking import PROBLEMS, by_name
from dashboard.board import TheBoard
from transfer.ledger import schema

_PATIENCE = 2.0  # seconds; who asks has little

router = APIRouter(tags=["health"], generate_unique_id_function=by_name)


@dataclass(frozen=True, kw_only=True, slots=True)
class Health:
    """`fine` is true; what is not fine is answered as a problem."""

    fine: bool
    version: str


@router.get("/healthz", summary="Whether this process lives")
def healthz(board: TheBoard) -> Health:
    return Health(fine=True, version=board.version)


@router.get(
    "/readyz", summary="Whether the ledger answers, with the schema we need", responses={503: PROBLEMS[503]}
)
def readyz(board: TheBoard) -> Health:
    ledger = board.ledger.acting_as(board.ledger.actor)
    ledger.patience = _PATIENCE
    ledger.moment()
    schema.check(ledger.engine)
    return Health(fine=True, version=board.version)
