"""late: before a transfer is called failed, the store is asked what it holds.

A connection that is lost after the last byte and before the answer leaves a file that is whole.  So is a rename whose
answer was lost.  PROMISES
- what a lost attempt of ours left whole, with the registered hash, is SENT without a byte sent again;
- no item is given up for its tries before the store was asked for its partial and for its final name;
- a look that fails proves nothing: then the failure stands;
- only this attempt's own partial is looked at, and it is not written.

The dead connection may still be writing.  Where the lab's file is what was registered, all it can write are the bytes
that were just hashed, so a right hash stays right.
"""

from collections.abc import Sequence
from dataclasses import replace

import structlog

from transfer.errors import ConnectionLost, LostRace, StoreRefused, TransferError
from transfer.ledger.arrivals import published
from transfer.ledger.guarded import Guarded, Move
from transfer.model import Item
from transfer.status import Proof, Status
from transfer.steps.verify import prove
from transfer.steps.work import Failure, StreamingWork, Work

log = structlog.get_logger()

_MAY_HAVE_ARRIVED = (ConnectionLost, StoreRefused)


def not_arrived(work: StreamingWork, failures: Sequence[Failure]) -> list[Failure]:
    """Those of push's failures that stand; what arrived whole all the same is written down as SENT."""
    doubtful = [
        failure
        for failure in failures
        if isinstance(failure.error, _MAY_HAVE_ARRIVED) and failure.back_to is None and failure.item.partial
    ]
    if not doubtful:
        return list(failures)
    arrived = _whole(work, [failure.item for failure in doubtful])
    if arrived:
        why = "it had arrived whole although its connection was lost"
        moves = [Move(item=item, became=Status.SENT, partial=item.partial, why=why) for item in arrived]
        work.ledger.write(work.lease, lambda tx: tx.move(moves))
        log.info("arrived_late", files=len(arrived))
    ids = {item.id for item in arrived}
    return [failure for failure in failures if failure.item.id not in ids]


def _whole(work: StreamingWork, items: Sequence[Item]) -> list[Item]:
    """The items whose own partial holds the registered bytes; none when the store cannot be asked."""
    try:
        stored = work.transport.stat([item.partial_path for item in items])
        complete = [
            item
            for item, file in zip(items, stored, strict=True)
            if file is not None and file.size == item.size and _source_unchanged(work, item)
        ]
        outcomes = prove(work, [(item, item.partial_path) for item in complete])
        return [item for item, seen, _ in outcomes if seen is not None and seen.md5 == item.md5]
    except LostRace:
        raise
    except TransferError as error:
        log.info("store_not_asked", because=error.sentence)
        return []


def _source_unchanged(work: StreamingWork, item: Item) -> bool:
    try:
        found = (work.lab.root / item.source_path).lstat()
    except OSError:
        return False
    return (found.st_size, found.st_mtime_ns) == (item.size, item.mtime_ns)


def still_failed(work: Work, giving_up: Sequence[tuple[Failure, str]]) -> list[tuple[Failure, str]]:
    """Those of the failures about to be held that stand after the store was asked for the final name.

    What stands there with the registered hash goes on: a verified item as PUBLISHED, a planned one as VERIFIED.
    """
    if not isinstance(work, StreamingWork):
        return list(giving_up)
    asked = [
        failure.item
        for failure, because in giving_up
        if because and failure.item.status in (Status.PLANNED, Status.VERIFIED) and failure.item.dataset_uuid
    ]
    right = _standing(work, asked) if asked else []
    if right:
        work.ledger.write(work.lease, lambda tx: _go_on(tx, right))
        log.info("arrived_late", files=len(right))
    ids = {item.id for item, _ in right}
    return [(failure, because) for failure, because in giving_up if failure.item.id not in ids]


def _standing(work: StreamingWork, items: Sequence[Item]) -> list[tuple[Item, Proof]]:
    try:
        stored = work.transport.stat([item.store_path for item in items])
        there = [
            item
            for item, file in zip(items, stored, strict=True)
            if file is not None and file.size == item.size
        ]
        outcomes = prove(work, [(item, item.store_path) for item in there])
        return [(item, seen.proof) for item, seen, _ in outcomes if seen is not None and seen.md5 == item.md5]
    except LostRace:
        raise
    except TransferError as error:
        log.info("store_not_asked", because=error.sentence)
        return []


def _go_on(tx: Guarded, right: Sequence[tuple[Item, Proof]]) -> None:
    why = "the store holds these bytes although the last try failed"
    planned = [(item, proof) for item, proof in right if item.status is Status.PLANNED]
    sent = {
        item.id for item in tx.move([Move(item=item, became=Status.SENT, why=why) for item, _ in planned])
    }
    tx.move(
        [
            Move(item=replace(item, status=Status.SENT), became=Status.VERIFIED, proof=proof)
            for item, proof in planned
            if item.id in sent
        ]
    )
    published(tx, [item for item, _ in right if item.status is Status.VERIFIED])
