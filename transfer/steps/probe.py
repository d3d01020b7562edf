"""probe: one cheap look whether an endpoint that failed is well again, before a batch runs into it.

A store is entered and asked for its free space (a mover: for its collections), a lab's root for being there, Alyx for
one row.  Two looks at one endpoint never happen at once: the ledger gives it to one of them, for a bounded time.

What a look proves: Alyx is well.  A store that answers may still refuse every write, and a root that is there every
read, so there one piece of work goes first, and only its success opens the endpoint to all.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass

import structlog

from transfer.catalog.base import Catalog
from transfer.errors import StoreFull, TransferError
from transfer.ledger import endpoints
from transfer.ledger.ledger import Ledger
from transfer.model import Lab
from transfer.steps.looking import require_root
from transfer.transports.base import StreamingTransport
from transfer.transports.delegated import DelegatedTransport

log = structlog.get_logger()

_AT_ONCE = 8  # looks: the sweep waits for the slowest, not for all
AT_MOST = (
    300.0  # seconds that a look may take before another may begin: more than any time-out of a connection
)


@dataclass(frozen=True, kw_only=True)
class Looks:
    """What is needed to look at every endpoint of an installation.  `failed` writes a failure down."""

    ledger: Ledger
    catalog: Catalog
    labs: Sequence[Lab]
    open_transport: Callable[[str], AbstractContextManager[StreamingTransport | DelegatedTransport]]
    failed: Callable[[str, TransferError], None]


def probe(looks: Looks, names: Sequence[str]) -> dict[str, TransferError | None]:
    """Look at each endpoint whose time has come; answers what was found, None where it is well."""
    wanted = endpoints.due_for_a_look(looks.ledger, names)
    ours = [name for name in wanted if endpoints.begin_look(looks.ledger, name, seconds=AT_MOST)]
    if not ours:
        return {}
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="probe") as pool:
        errors = list(pool.map(lambda name: _look(looks, name), ours))
    for name, error in zip(ours, errors, strict=True):
        if error is None:
            endpoints.looked_well(looks.ledger, name, wholly=name == endpoints.ALYX)
            log.info("endpoint_answered", endpoint=name)
        else:
            looks.failed(name, error)
            log.warning("endpoint_still_away", endpoint=name, code=error.code, because=error.sentence)
    return dict(zip(ours, errors, strict=True))


def _is_store(looks: Looks, name: str) -> bool:
    return any(lab.store == name for lab in looks.labs)


def _look(looks: Looks, name: str) -> TransferError | None:
    try:
        if name == endpoints.ALYX:
            looks.catalog.repository(looks.labs[0].store)
        elif _is_store(looks, name):
            look_at_store(looks, name)
        else:
            require_root(next(lab.root for lab in looks.labs if lab.repository == name))
    except TransferError as error:
        return error
    return None


def look_at_store(looks: Looks, store: str) -> int | None:
    """Enter a store and remember what it tells; answers the bytes that are free there, None where that is not told.

    Raises what entering it raises, and `StoreFull`.
    """
    with looks.open_transport(store) as transport:
        if isinstance(transport, DelegatedTransport):
            transport.see_store()
            return None
        free = transport.free_space()
        until = transport.capabilities.credential_until
        endpoints.saw(looks.ledger, store, free_bytes=free, credential_until=until)
        if free == 0:
            raise StoreFull("the store has no room for a single byte", to=store)
    return free
