"""Giving files up: only a person does, and only after Alyx was asked.

PROMISE: an item is closed as ABANDONED only after its central record was read and, where it announced
bytes that are not proved to stand at the store, set to exists=false.  Both happen under the lease of the item's
batch, or of its session before it has one, so that no worker announces it in between.  When Alyx does not
answer, or a worker holds the lease, nothing is closed.

Not done here: nothing is removed from the store, and a file that changes later is discovered again.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from transfer.aftermath import settle_central
from transfer.catalog.base import Catalog
from transfer.errors import LostRace, NothingFound
from transfer.ledger.abandoning import close_abandoned, leased, open_item_rows
from transfer.ledger.leases import Kind
from transfer.ledger.ledger import Ledger
from transfer.ledger.tables import datasets, items
from transfer.model import Item, Lab
from transfer.pulse import Pulse
from transfer.steps.work import Work, by_hundred


def abandon(
    ledger: Ledger,
    catalog: Catalog,
    labs: Sequence[Lab],
    files: Sequence[int],
    *,
    why: str,
    lease_seconds: float = 60,
) -> list[Item]:
    """Close the open items of these files (row numbers of datasets); answers what was closed.

    Raises `LostRace` when a worker is busy with one of them, and what the catalogue raises; what was closed
    until then stays closed, and the rest can be abandoned by the same call.
    """
    closed: list[Item] = []
    of_lab = {lab.repository: lab for lab in labs}
    for (kind, subject), some in _by_lease(open_item_rows(ledger, datasets.c.id.in_(files))).items():
        with leased(ledger, kind, subject, seconds=lease_seconds) as lease, Pulse(ledger, lease):
            again = open_item_rows(ledger, items.c.id.in_([item.id for item in some]))
            current = _by_lease(again).get((kind, subject), [])
            _refuse_moved(again, current)
            for these in by_hundred(current):
                work = Work(ledger=ledger, lease=lease, lab=_lab(of_lab, these[0]), catalog=catalog)
                settle_central(work, these)
                with ledger.guarded(lease) as tx:
                    done = close_abandoned(tx, these, why=why)
                closed += done
                _refuse_moved(these, done)
    return closed


def _by_lease(found: Sequence[Item]) -> dict[tuple[Kind, int], list[Item]]:
    """Items by the row whose lease guards them; all of one row are of one lab."""
    groups: dict[tuple[Kind, int], list[Item]] = defaultdict(list)
    for item in found:
        groups[("batch", item.batch) if item.batch is not None else ("session", item.session)].append(item)
    return groups


def _lab(labs: Mapping[str, Lab], item: Item) -> Lab:
    if item.source not in labs:
        raise NothingFound(
            f"no lab of the config has the repository {item.source}",
            to=item.source_path,
            do="Abandon it where its lab is configured.",
        )
    return labs[item.source]


def _refuse_moved(wanted: Sequence[Item], done: Sequence[Item]) -> None:
    missed = [item for item in wanted if item.id not in {one.id for one in done}]
    if missed:
        raise LostRace(
            f"{len(missed)} files moved on meanwhile",
            to=missed[0].source_path,
            do="Look with alyx-transfer why, then try again.",
        )
