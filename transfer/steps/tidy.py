"""tidy: remove what dead attempts left at a store.

Only partials and kept old copies (`.part`, `.old`), only in folders where items moved lately, only older than
the tidy age, and never the partial an open item stands on.
"""

from datetime import datetime, timedelta
from pathlib import PurePosixPath

from transfer.ledger import standing
from transfer.ledger.ledger import Ledger
from transfer.transports.base import StreamingTransport

_LOOK_BACK = timedelta(days=14)


def tidy(
    ledger: Ledger, store: str, transport: StreamingTransport, *, now: datetime, older_than: timedelta
) -> list[PurePosixPath]:
    """Remove leftovers of `store` that were last written before `now - older_than`; answers what was removed."""
    in_use = standing.partials_in_use(ledger)
    folders = sorted(standing.recent_folders(ledger, store, since=now - _LOOK_BACK))
    limit = (now - older_than).timestamp() * 1e9
    doomed = [
        stored.path
        for stored in transport.list_leftovers(folders)
        if stored.mtime_ns < limit and stored.path.name not in in_use
    ]
    refused = {failed.key for failed in transport.remove(doomed)}
    return [path for n, path in enumerate(doomed) if n not in refused]
