"""A row's number in an address: what no ledger can hold is refused before it is asked."""

from typing import Annotated

from fastapi import Path

LARGEST = 2**63 - 1

RowNumber = Annotated[int, Path(ge=1, le=LARGEST)]
"""The number of a session, a file or a batch."""
