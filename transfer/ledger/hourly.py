"""What became of files, by hour and route: those that arrived, and those that failed, by the error's code.

A file that fails three times counts three times: it is the failures that are counted, not what is left of them.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection

from transfer.ledger.engine import insert_into
from transfer.ledger.tables import hours
from transfer.model import Item

ARRIVED = "arrived"
"""The outcome of files that were recorded; every other outcome is an error's code."""


def count(connection: Connection, items: Sequence[Item], outcome: str, *, now: datetime) -> None:
    """Add these files to the sums of this hour.  `seconds` sums how long ago they were found."""
    hour = now.replace(minute=0, second=0, microsecond=0)
    files: Counter[tuple[str, str]] = Counter()
    sizes: Counter[tuple[str, str]] = Counter()
    seconds: Counter[tuple[str, str]] = Counter()
    for item in items:
        route = (item.source, item.target)
        files[route] += 1
        sizes[route] += item.size
        seconds[route] += round((now - item.created_at).total_seconds())
    for route in sorted(files):
        row = insert_into(connection, hours).values(
            hour=hour,
            source=route[0],
            target=route[1],
            outcome=outcome,
            files=files[route],
            bytes=sizes[route],
            seconds=seconds[route],
        )
        connection.execute(
            row.on_conflict_do_update(
                index_elements=["hour", "source", "target", "outcome"],
                set_={
                    "files": hours.c.files + row.excluded.files,
                    "bytes": hours.c.bytes + row.excluded.bytes,
                    "seconds": hours.c.seconds + row.excluded.seconds,
                },
            )
        )
