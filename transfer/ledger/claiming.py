"""The questions of a claim, each built once: to build one takes longer than to answer it."""

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Select, bindparam, false, or_, select

from transfer.ledger.due import may_be_claimed
from transfer.ledger.gates import is_large, leaves_a_place
from transfer.ledger.tables import Instant, batches, sessions

Question = tuple[Select[Any], dict[str, Any]]

_NOW: Any = bindparam("now", type_=Instant)
_LARGE: Any = bindparam("large_bytes")


def session_to_claim(now: datetime, *, sources: Sequence[str] | None, only: Sequence[int] | None) -> Question:
    """One due session: by priority, then the longest waiting."""
    told = {"now": now, **_given(sources=sources, only=only)}
    return _session(sources is not None, only is not None), told


def batch_to_claim(
    now: datetime,
    *,
    sources: Sequence[str] | None,
    targets: Sequence[str] | None,
    only: Sequence[int] | None,
    large_bytes: int | None,
    large: bool,
) -> Question:
    """One batch that has due items: by priority, then the oldest."""
    told = {"now": now, **_given(sources=sources, targets=targets, only=only, large_bytes=large_bytes)}
    which = (sources is not None, targets is not None, only is not None, large_bytes is not None, large)
    return _batch(*which), told


def _given(**told: Any) -> dict[str, Any]:
    return {key: value for key, value in told.items() if value is not None}


def _among(name: str, asked: bool) -> Any:
    return bindparam(name, expanding=True) if asked else None


@cache
def _session(sources: bool, only: bool) -> Select[Any]:
    due = may_be_claimed(sessions, _NOW, _among("sources", sources), _among("only", only))
    order = (sessions.c.priority.desc(), sessions.c.not_before.nulls_first(), sessions.c.id)
    return select(sessions).where(*due).order_by(*order).limit(1).with_for_update(skip_locked=True)


@cache
def _batch(sources: bool, targets: bool, only: bool, told_large: bool, large: bool) -> Select[Any]:
    asked = [_among(name, one) for name, one in (("sources", sources), ("only", only), ("targets", targets))]
    due = may_be_claimed(batches, _NOW, *asked)
    if told_large:
        due.append(or_(~is_large(_LARGE), leaves_a_place(_NOW, _LARGE) if large else false()))
    order = (batches.c.priority.desc(), batches.c.id)
    return select(batches).where(*due).order_by(*order).limit(1).with_for_update(skip_locked=True)
