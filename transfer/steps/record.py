"""record: say in Alyx that the central copy exists, read it back, and write the receipt.

PROMISE: an item becomes RECORDED only after Alyx, read *after* our PATCH, had its hash, its size and
exists=true.  Where the hash turns out not to be the one we verified, exists is set false at once.
A record that says exists already is not patched again: every PATCH rewrites whole rows in Alyx and may
undo somebody's change.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from transfer.errors import RegisteredHashDiffers, TransferError, UnknownOutcome
from transfer.ledger.arrivals import Arrival, recorded
from transfer.model import Item
from transfer.steps import coexistence
from transfer.steps.work import BatchWork, Failure, Fresh, by_hundred, read_again, rediscover, withdraw


def record(work: BatchWork, items: Sequence[Item]) -> list[Failure]:
    """PUBLISHED -> RECORDED, a hundred at a time."""
    failures: list[Failure] = []
    for some in by_hundred(items):
        failures += _record(work, some)
    return failures


def _record(work: BatchWork, items: Sequence[Item]) -> list[Failure]:
    work.ensure()
    same, differ, failures = read_again(work, items)
    withdraw(work, differ)
    failures += rediscover([fresh.item for fresh in differ], hash_moved)
    tried, refused = _announce(work, same)
    failures += refused
    if not tried:
        return failures

    same, differ, gone = read_again(work, tried)
    withdraw(work, differ)
    failures += gone + rediscover([fresh.item for fresh in differ], hash_moved)
    read_back_at = datetime.now(UTC)
    arrived = [fresh for fresh in same if fresh.announced]
    failures += [
        Failure(item=fresh.item, error=_lost_update(fresh.item)) for fresh in same if not fresh.announced
    ]
    arrivals = [Arrival(item=fresh.item, read_back_at=read_back_at) for fresh in arrived]
    work.ledger.write(work.lease, lambda tx: recorded(tx, arrivals))
    return failures


def _announce(work: BatchWork, fresh: Sequence[Fresh]) -> tuple[list[Item], list[Failure]]:
    """PATCH what needs it; answers the items whose PATCH may have happened, and the refused ones."""

    locks = coexistence.cleared(work, [found.item for found in fresh])

    def one(found: Fresh) -> Failure | None:
        try:
            work.ensure()
            if found.dataset.size != found.item.size:
                work.catalog.set_size(found.item.uuid, found.item.size)
            lock = locks.get(found.item.record, {})
            if lock or not found.announced:
                work.catalog.announce(found.item.record, True, **lock)
        except TransferError as error:
            return Failure(item=found.item, error=error)
        return None

    if work.announcers == 1:
        outcomes = [one(found) for found in fresh]
    else:
        with ThreadPoolExecutor(work.announcers, thread_name_prefix="announce") as pool:
            outcomes = list(pool.map(one, fresh))
    return (
        [found.item for found, failure in zip(fresh, outcomes, strict=True) if failure is None],
        [failure for failure in outcomes if failure is not None],
    )


def hash_moved(item: Item) -> TransferError:
    return RegisteredHashDiffers(
        "Alyx has another hash than the one we sent", to=item.source_path, do="It is discovered again."
    )


def _lost_update(item: Item) -> TransferError:
    return UnknownOutcome("Alyx did not keep exists=true", to=item.source_path)
