"""tidy: remove what dead attempts left at a store.

Only partials and kept old copies (`.part`, `.old`), only in folders where items moved lately and where stores are
tried out (in the root, and by `doctor`), only older than the tidy age, and never the partial an open item stands on.
A mover's staging folder goes as a whole, once its task has ended and nothing in it is waiting to be published.
"""

from datetime import datetime, timedelta
from pathlib import PurePosixPath

from transfer.conformance import habits
from transfer.ledger import standing, submissions
from transfer.ledger.ledger import Ledger
from transfer.transports.base import StreamingTransport
from transfer.transports.delegated import DelegatedTransport

_ROOT = PurePosixPath()
_LOOK_BACK = timedelta(days=14)


def tidy(
    ledger: Ledger, store: str, transport: StreamingTransport, *, now: datetime, older_than: timedelta
) -> list[PurePosixPath]:
    """Remove leftovers of `store` that were last written before `now - older_than`; answers what was removed."""
    in_use = standing.partials_in_use(ledger)
    lately = standing.recent_folders(ledger, store, since=now - _LOOK_BACK)
    folders = sorted({_ROOT, *habits.FOLDERS, *lately})
    limit = (now - older_than).timestamp() * 1e9
    doomed = [
        stored.path
        for stored in transport.list_leftovers(folders)
        if stored.mtime_ns < limit and stored.path.name not in in_use
    ]
    refused = {failed.key for failed in transport.remove(doomed)}
    return [path for n, path in enumerate(doomed) if n not in refused]


def tidy_staging(ledger: Ledger, store: str, transport: DelegatedTransport) -> list[str]:
    """Have the staging folders removed that nobody needs; answers their submission keys.

    Only folders this ledger asked for: other ledgers have theirs beside them.
    """
    keys = submissions.to_clean(ledger, store)
    if keys:
        transport.clean(keys)
        submissions.cleaned(ledger, keys)
    return keys
