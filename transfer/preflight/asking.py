"""What the store, Alyx and the ledger say of the plans.  Reads only."""

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta

from transfer.catalog.base import Catalog
from transfer.errors import CatalogBroken, TransferError
from transfer.forecast import Forecast
from transfer.ledger.ledger import Ledger
from transfer.obstacles import ends_too_soon, skewed, too_much
from transfer.preflight import known
from transfer.preflight.report import Report, of_spellings
from transfer.transports.base import StreamingTransport
from transfer.transports.delegated import DelegatedTransport

Opened = AbstractContextManager[StreamingTransport | DelegatedTransport]


def of_store(
    store: str,
    plans: Sequence[Forecast],
    open_store: Callable[[], Opened],
    *,
    promised: int = 0,
    sources: Collection[str] = (),
) -> Report:
    """Whether the store can be reached and takes all these plans together, beside `promised` bytes that wait.

    Through a mover the lab repositories `sources` must be within reach too.
    """
    needed = sum(plan.bytes for plan in plans)
    seconds = sum(plan.seconds for plan in plans)
    try:
        with open_store() as transport:
            if isinstance(transport, DelegatedTransport):
                return _of_mover(transport, sources)
            free = transport.free_space()
            until = transport.capabilities.credential_until
    except TransferError as error:
        return Report(problems=(error,))
    notes = () if free is not None or not needed else (f"{store} does not say how much space is free",)
    found = (
        too_much(needed, free, promised=promised, to=store),
        ends_too_soon(until, now=datetime.now(UTC), seconds=seconds, to=store),
    )
    return Report(problems=tuple(error for error in found if error is not None), notes=notes)


def _of_mover(transport: DelegatedTransport, sources: Collection[str]) -> Report:
    """Entering it has logged in.  It says neither its space nor when a login ends."""
    looks = [
        transport.see_store,
        *(_look_at(transport, source) for source in sorted({*sources} & {*transport.sources})),
    ]
    problems = []
    for look in looks:
        try:
            look()
        except TransferError as error:
            problems.append(error)
    return Report(problems=tuple(problems))


def _look_at(transport: DelegatedTransport, source: str) -> Callable[[], str]:
    return lambda: transport.see_source(source)


def of_names(ledger: Ledger, plans: Sequence[Forecast]) -> Report:
    """Whether names in the plans are others' in another spelling; what stands at a store is what Alyx and we know."""
    return of_spellings(plans, known.subjects(ledger))


def of_clocks(ledger: Ledger, catalog: Catalog) -> Report:
    """Whether Alyx's clock and the ledger's go like ours."""
    try:
        alyx = skewed("Alyx", timedelta(seconds=catalog.server_time_skew()))
    except CatalogBroken:
        alyx = None  # it sends no time
    except TransferError as error:
        return Report(problems=(error,))
    database = skewed("the ledger's database", ledger.moment() - datetime.now(UTC))
    return Report(notes=tuple(note for note in (alyx, database) if note is not None))
