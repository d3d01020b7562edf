"""reprove: hash a copy once more a day after it arrived, where the store could not flush it to disk.

A store without fsync may lose in a power cut what it had said was written.  Such copies are read again after a
day, when its own caches are long gone: right, an audit receipt says so; wrong or gone, Alyx's announcement is
withdrawn at once and the file is sent again.
"""

from collections.abc import Callable
from datetime import timedelta

from transfer.catalog.base import Catalog
from transfer.ledger import audits, endpoints
from transfer.ledger.ledger import Ledger
from transfer.model import Lab
from transfer.steps.withdrawal import is_right, is_wrong, send_again
from transfer.transports.base import Download, Readable

AFTER = timedelta(hours=24)
_AT_ONCE = 1000


def reprove(
    ledger: Ledger, catalog: Catalog, lab: Lab, *, open_store: Callable[[], Readable]
) -> tuple[int, int]:
    """Prove what is due; answers how many copies were right and how many are sent again."""
    state = endpoints.state(ledger, lab.store)
    if state is None or state.capabilities.get("syncs") is not False:
        return 0, 0
    due = {copy.id: copy for copy in audits.unflushed(ledger, lab.store, older_than=AFTER, limit=_AT_ONCE)}
    if not due:
        return 0, 0
    downloads = [Download(key=copy.id, path=copy.path) for copy in due.values() if copy.path]
    with open_store() as store:
        seen = [(due[one.key], one) for one in store.get(downloads, lambda _count: None)]
    audits.passed(ledger, [copy for copy, one in seen if is_right(copy, one)])
    wrong = [copy for copy, one in seen if is_wrong(copy, one)]
    why = "a day after it arrived the store no longer had its bytes"
    right = sum(is_right(copy, one) for copy, one in seen)
    return right, send_again(ledger, catalog, wrong, why=why)
