"""Sums as whole numbers: PostgreSQL answers those of large integers as decimals, which count differently in Python."""

from typing import Any

from sqlalchemy import BigInteger, ColumnElement, case, cast, func


def total(of: Any) -> ColumnElement[int]:
    """The sum of a column of whole numbers; 0 of no rows."""
    return cast(func.coalesce(func.sum(of), 0), BigInteger)


def number(condition: ColumnElement[bool], of: Any = 1) -> ColumnElement[int]:
    """How many rows fulfil the condition, or their sum of `of`."""
    return total(case((condition, of), else_=0))
