"""verify and publish for what a mover brought: from the staging folder of its submission to the final name.

The mover compared each file with the registered md5 as it arrived; what is verified here is that the file stands
in its staging folder, with its size, under a name nobody else writes.  Publishing follows the order of
`publish`: VERIFIED is committed, Alyx is read again, the *fence* renames every other staged copy of the dataset
away, then the rename.  Its source is the fencing token.

Where the mover does not rename onto a name that stands, the old copy is first withdrawn in Alyx and moved aside.
A staged file that is gone counts as published only if the final name has its size and its time, which the mover
carried over; otherwise the file is sent again.
"""

from collections.abc import Sequence

from transfer.errors import ArrivedDamaged, RenameDoesNotReplace, StoredFileMissing, TransferError
from transfer.ledger.arrivals import published as write_published
from transfer.ledger.guarded import Move
from transfer.model import Item, staged_path
from transfer.status import Proof, Status
from transfer.steps.record import hash_moved
from transfer.steps.work import DelegatedWork, Failure, Fresh, by_hundred, read_again, rediscover, withdraw
from transfer.transports.base import Published, RemoteFile, Rename


def verify_staged(work: DelegatedWork, items: Sequence[Item]) -> list[Failure]:
    """SENT -> VERIFIED, proved by the mover."""
    work.ensure()
    stored = work.transport.stat([item.partial_path for item in items])
    good: list[Item] = []
    failures: list[Failure] = []
    for item, found in zip(items, stored, strict=True):
        if found is not None and found.size == item.size:
            good.append(item)
        else:
            failures.append(Failure(item=item, error=_not_there(item, found), back_to=Status.PLANNED))
    with work.ledger.guarded(work.lease) as tx:
        tx.move(
            [
                Move(item=item, became=Status.VERIFIED, partial=item.partial, proof=Proof.MOVER)
                for item in good
            ]
        )
    return failures


def publish_staged(work: DelegatedWork, items: Sequence[Item]) -> list[Failure]:
    """VERIFIED -> PUBLISHED, a hundred at a time."""
    failures: list[Failure] = []
    for some in by_hundred(items):
        failures += _publish(work, some)
    return failures


def _publish(work: DelegatedWork, items: Sequence[Item]) -> list[Failure]:
    work.ensure()
    same, differ, failures = read_again(work, items)
    withdraw(work, differ)
    failures += rediscover([fresh.item for fresh in differ], hash_moved)
    _fence(work, [fresh.item for fresh in same])
    staged = [fresh for fresh in same if fresh.item.partial]
    published = [fresh.item for fresh in same if not fresh.item.partial]  # adopted where it stands
    done, blocked, refused = _rename(work, staged)
    published += done
    failures += refused
    done, still_blocked, refused = _rename(work, _made_way(work, blocked))
    published += done
    failures += refused + [Failure(item=fresh.item, error=_in_the_way(fresh.item)) for fresh in still_blocked]
    with work.ledger.guarded(work.lease) as tx:
        write_published(tx, published)
    return failures


def _fence(work: DelegatedWork, items: Sequence[Item]) -> None:
    """Nobody publishes another staged copy of these datasets from here on."""
    mine = {item.partial_path for item in items}
    for key in work.transport.staged():
        others = [path for item in items if (path := staged_path(key, item.uuid)) not in mine]
        for path, stored in zip(others, work.transport.stat(others), strict=True):
            if stored is not None:
                work.ensure()
                work.transport.set_aside(path)


def _rename(work: DelegatedWork, fresh: Sequence[Fresh]) -> tuple[list[Item], list[Fresh], list[Failure]]:
    """What was published, what stands in the way of it, and what failed."""
    known = {one.item.id: one for one in fresh}
    published: list[Item] = []
    blocked: list[Fresh] = []
    gone: list[Item] = []
    failures: list[Failure] = []
    work.ensure()
    renames = [
        Rename(key=id, partial=one.item.partial_path, final=one.item.store_path) for id, one in known.items()
    ]
    for outcome in work.transport.publish(renames):
        one = known[outcome.key]
        match outcome:
            case Published():
                published.append(one.item)
            case _ if isinstance(outcome.error, RenameDoesNotReplace):
                blocked.append(one)
            case _ if isinstance(outcome.error, StoredFileMissing):
                gone.append(one.item)
            case _:
                failures.append(Failure(item=one.item, error=outcome.error))
    for item, found in zip(gone, work.transport.stat([item.store_path for item in gone]), strict=True):
        if found is not None and _is_what_we_renamed(item, found):
            published.append(item)
        else:
            failures.append(Failure(item=item, error=_not_there(item, None), back_to=Status.PLANNED))
    return published, blocked, failures


def _is_what_we_renamed(item: Item, found: RemoteFile) -> bool:
    return found.size == item.size and found.mtime_ns // 10**9 == item.mtime_ns // 10**9


def _made_way(work: DelegatedWork, blocked: Sequence[Fresh]) -> list[Fresh]:
    """Take away what stands under the final names: read once more, not announced from here on, and kept aside."""
    if not blocked:
        return []
    same, differ, _ = read_again(work, [fresh.item for fresh in blocked])
    withdraw(work, [*same, *differ])
    for fresh in same:
        work.ensure()
        work.transport.set_aside(fresh.item.store_path)
    return same


def _not_there(item: Item, found: RemoteFile | None) -> TransferError:
    if found is None:
        return StoredFileMissing("the store has no such file", to=item.partial_path)
    return ArrivedDamaged(f"{found.size} bytes arrived, registered are {item.size}", to=item.partial_path)


def _in_the_way(item: Item) -> TransferError:
    return RenameDoesNotReplace("something stands under the final name again", to=item.store_path)
