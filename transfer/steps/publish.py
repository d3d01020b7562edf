"""publish: bring the proved bytes under their final name, so that no reader and no late worker can see others.

The order is the protocol (docs/architecture.md, "publish protocol"): the VERIFIED fact is committed
under the lease, Alyx is read again (what it announces that stands in a partial only is withdrawn), then
the *fence* removes every other partial of the dataset, then the rename.  The rename's source is the
fencing token: a worker that was overtaken renames nothing, because its partial is gone.  A missing partial
is no failure by itself: the final name is hashed, and equal bytes count as published.
"""

from collections.abc import Iterator, Sequence

from transfer.errors import ArrivedDamaged, StoredFileMissing, TransferError
from transfer.ledger.arrivals import published as write_published
from transfer.model import Item
from transfer.paths import old_name, parse_partial
from transfer.status import Status
from transfer.steps.record import hash_moved
from transfer.steps.verify import prove
from transfer.steps.work import Failure, StreamingWork, by_hundred, read_again, rediscover, withdraw
from transfer.transports.base import Published, Rename

_WRITTEN_AT_ONCE = 100


def publish(work: StreamingWork, items: Sequence[Item]) -> list[Failure]:
    """VERIFIED -> PUBLISHED: the whole batch at once, because a store far away makes each round trip felt."""
    failures: list[Failure] = []
    ours: list[Item] = []
    for some in by_hundred(items):
        work.ensure()
        same, differ, gone = read_again(work, some)
        # Whose bytes stand in a partial is not announced: push may have sent it while Alyx could not be asked.
        withdraw(work, [*differ, *(fresh for fresh in same if fresh.item.partial)])
        failures += gone + rediscover([fresh.item for fresh in differ], hash_moved)
        ours += [fresh.item for fresh in same]
    fenced, unfenced = _fence(work, ours)
    _keep_old_copies(work, fenced)
    return failures + unfenced + _rename(work, fenced)


def _fence(work: StreamingWork, items: Sequence[Item]) -> tuple[list[Item], list[Failure]]:
    """Remove every other partial of these datasets; an item whose fence could not be built goes no further."""
    mine = {item.uuid: item for item in items}
    folders = sorted({item.store_path.parent for item in items})
    victims = []
    for stored in work.transport.list_leftovers(folders):
        parsed = parse_partial(stored.path.name)
        item = mine.get(parsed[0]) if parsed else None
        if (
            item is not None
            and stored.path != item.partial_path
            and stored.path.parent == item.store_path.parent
        ):
            victims.append((item, stored.path))
    work.ensure()
    refused = {
        victims[failed.key][0].id: failed.error
        for failed in work.transport.remove([path for _, path in victims])
    }
    return (
        [item for item in items if item.id not in refused],
        [Failure(item=item, error=refused[item.id]) for item in items if item.id in refused],
    )


def _keep_old_copies(work: StreamingWork, items: Sequence[Item]) -> None:
    """Link a good copy that is about to be replaced under its `.old` name, where the store can."""
    if not work.transport.capabilities.hard_links:
        return
    for item in items:
        if item.stored_md5 and item.stored_md5 != item.md5:
            work.ensure()
            work.transport.link(
                item.store_path, item.store_path.with_name(old_name(item.uuid, item.stored_md5))
            )


def _rename(work: StreamingWork, items: Sequence[Item]) -> list[Failure]:
    """Rename, and write down what was renamed while the others are still on their way."""
    known = {item.id: item for item in items}
    renames = [
        Rename(key=item.id, partial=item.partial_path, final=item.store_path)
        for item in items
        if item.partial
    ]
    published: list[Item] = []
    failures: list[Failure] = []
    look_again = [item for item in items if not item.partial]
    work.ensure()
    for outcome in work.transport.publish(_ensured(work, renames)):
        item = known[outcome.key]
        if isinstance(outcome, Published):
            published.append(item)
        elif isinstance(outcome.error, StoredFileMissing):
            look_again.append(item)
        else:
            failures.append(Failure(item=item, error=outcome.error))
        if len(published) >= _WRITTEN_AT_ONCE:
            _write(work, published)
            published = []
    for item, digest, error in prove(work, [(item, item.store_path) for item in look_again]):
        if digest is not None and digest.md5 == item.md5:
            published.append(item)
        else:
            failures.append(Failure(item=item, error=error or _other_bytes(item), back_to=Status.PLANNED))
    _write(work, published)
    return failures


def _write(work: StreamingWork, published: Sequence[Item]) -> None:
    if published:
        work.ledger.write(work.lease, lambda tx: write_published(tx, published))


def _ensured(work: StreamingWork, renames: Sequence[Rename]) -> Iterator[Rename]:
    """Each rename only while the lease allows it."""
    for rename in renames:
        work.ensure()
        yield rename


def _other_bytes(item: Item) -> TransferError:
    return ArrivedDamaged("the final name does not hold the bytes we verified", to=item.store_path)
