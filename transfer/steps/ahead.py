"""ahead: what would stop a batch is found before its first byte moves.

PROMISES
- what does not fit into the store's free space is not begun: the store waits (E-2006), what fits goes;
- where the store lets us write but not rename, replace or delete, nothing is sent: it could not be published.  That is
  tried with three small files beside the batch's first target, once a day and store, and remembered;
- a store that does not tell its free space is sent to all the same.

What the canary leaves behind when it is killed has the names of partials of no dataset: `tidy` removes it.
"""

import tempfile
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from transfer import conformance
from transfer.errors import StoreDenied, StoreFull, StoreRightsMissing, TransferError
from transfer.ledger import endpoints
from transfer.model import Item
from transfer.obstacles import fitting
from transfer.steps.work import Failure, StreamingWork

_TRIED_EVERY = timedelta(days=1)


def look_ahead(work: StreamingWork, items: Sequence[Item]) -> tuple[list[Item], list[Failure]]:
    """Which of these may be sent, and why the others not; a failure here costs no try."""
    if not items:
        return [], []
    work.ensure()
    if (missing := _missing_rights(work, items[0])) is not None:
        return [], [Failure(item=item, error=missing, burn=0) for item in items]
    free = work.transport.free_space()
    until = work.transport.capabilities.credential_until
    endpoints.saw(work.ledger, work.lab.store, free_bytes=free, credential_until=until)
    goes = fitting([item.size for item in items], free)
    full = [
        Failure(item=item, error=_full(item, free), burn=0)
        for item, may in zip(items, goes, strict=True)
        if not may
    ]
    return [item for item, may in zip(items, goes, strict=True) if may], full


def _full(item: Item, free: int | None) -> TransferError:
    return StoreFull(f"{item.size} bytes are to be sent and {free} are free", to=item.store_path)


def _missing_rights(work: StreamingWork, item: Item) -> TransferError | None:
    """None as well where not even writing is allowed: that is said of each file, and may be one folder's affair."""
    state = endpoints.state(work.ledger, work.lab.store)
    tried = (state.capabilities if state else {}).get("rights_at")
    now = work.ledger.moment()
    if tried and now - datetime.fromisoformat(str(tried)) < _TRIED_EVERY:
        return None
    with tempfile.TemporaryDirectory(prefix="alyx-transfer-") as lab:
        try:
            conformance.try_rights(work.transport, item.store_path.parent, Path(lab))
        except conformance.Unwritable:
            return None
        except StoreDenied as error:
            missing = StoreRightsMissing(f"files can be written and not published: {error.what}", to=error.to)
            missing.__cause__ = error
            return missing
    endpoints.learnt(work.ledger, work.lab.store, rights_at=now.isoformat())
    return None
