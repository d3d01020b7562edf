"""Batches: what moves now, and what moved last."""

from typing import Annotated

from fastapi import Query

from dashboard.access import Seeing
from dashboard.api.asking import After, Limit, Number, section
from dashboard.board import TheBoard
from transfer.ledger.glance import transfers as glanced
from transfer.ledger.glance.pages import Page
from transfer.ledger.glance.transfers import Transfer

router = section("transfers")


@router.get("/transfers", summary="Batches, the newest first")
def transfers(
    board: TheBoard,
    _: Seeing,
    open: Annotated[bool, Query(description="Only what still moves.")] = False,
    after: After = None,
    limit: Limit = 50,
) -> Page[Transfer]:
    return glanced.transfers(board.ledger, open_only=open, after=after, limit=limit)


@router.get("/transfers/{batch}", summary="One batch")
def transfer(board: TheBoard, _: Seeing, batch: Number) -> Transfer:
    return glanced.transfer(board.ledger, batch)
