"""What would stop a push, found before any byte moves; all of it in one report.

Nothing is written, neither at the store nor in the ledger: that files can be renamed and deleted there is tried by
`doctor`, and by every push before its first batch of the day (`steps.ahead`).  Names that Alyx or the store cannot hold
are in the forecast already, each with its reason.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from transfer.catalog.base import Catalog
from transfer.errors import CatalogBroken, TransferError
from transfer.forecast import Forecast
from transfer.ledger.ledger import Ledger
from transfer.obstacles import ends_too_soon, skewed, too_much, twins
from transfer.transports.base import StreamingTransport
from transfer.transports.delegated import DelegatedTransport

Opened = AbstractContextManager[StreamingTransport | DelegatedTransport]


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """`problems` would stop a push or parts of it; `notes` are worth knowing."""

    problems: tuple[TransferError, ...] = ()
    notes: tuple[str, ...] = ()


def of_session(plan: Forecast) -> Report:
    """What the session's own names say."""
    moving = [path for path, _ in plan.moving]
    return Report(notes=tuple(error.sentence for error in twins(moving, [path for path, _ in plan.staying])))


def of_store(store: str, plans: Sequence[Forecast], open_store: Callable[[], Opened]) -> Report:
    """Whether the store can be reached and takes all these plans together."""
    needed = sum(plan.bytes for plan in plans)
    seconds = sum(plan.seconds for plan in plans)
    try:
        with open_store() as transport:
            if isinstance(transport, DelegatedTransport):
                return Report()
            free = transport.free_space()
            until = transport.capabilities.credential_until
    except TransferError as error:
        return Report(problems=(error,))
    notes = () if free is not None or not needed else (f"{store} does not say how much space is free",)
    found = (
        too_much(needed, free, to=store),
        ends_too_soon(until, now=datetime.now(UTC), seconds=seconds, to=store),
    )
    return Report(problems=tuple(error for error in found if error is not None), notes=notes)


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


def together(reports: Sequence[Report]) -> Report:
    """One report; what is said twice is said once."""
    problems = {error.sentence: error for report in reports for error in report.problems}
    notes = dict.fromkeys(note for report in reports for note in report.notes)
    return Report(problems=tuple(problems.values()), notes=tuple(notes))
