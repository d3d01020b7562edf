"""Who works, and what people did."""

from typing import Annotated

from fastapi import Query

from dashboard.access import Seeing
from dashboard.api.asking import After, Limit, Words, section
from dashboard.board import TheBoard
from transfer.ledger.glance import audit as glanced
from transfer.ledger.glance.audit import Act
from transfer.ledger.glance.crew import Worker
from transfer.ledger.glance.crew import workers as heard_of
from transfer.ledger.glance.pages import Page

router = section("people and workers")


@router.get("/workers", summary="Workers of the last week, and what each holds")
def workers(board: TheBoard, _: Seeing) -> Page[Worker]:
    return Page(rows=heard_of(board.ledger))


@router.get("/audit", summary="What people did, the newest first")
def audit(
    board: TheBoard,
    _: Seeing,
    person: Annotated[Words | None, Query(description="Only what this account did.")] = None,
    after: After = None,
    limit: Limit = 50,
) -> Page[Act]:
    return glanced.acts(board.ledger, person=person, after=after, limit=limit)
