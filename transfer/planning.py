"""Which items move together: a pure, deterministic function from items to batches.

A batch is the unit of lease and of verification by one remote command, so it is large enough to keep
the line full and small enough that nothing small waits behind something large: items above
`large_bytes` travel alone, the others in the order they were found, at most `files` and `bytes` to a
batch.  The same items in any order give the same batches.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from transfer.model import Batch, Item
from transfer.paths import with_uuid


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How large a batch may be.  Sizes in bytes."""

    files: int = 400
    bytes: int = 4 * 1024**3
    large_bytes: int = 1024**3

    def __post_init__(self) -> None:
        if min(self.files, self.bytes, self.large_bytes) < 1:
            raise ValueError(f"a batch must be able to hold a file: {self}")


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedBatch:
    """Items that will move together."""

    items: tuple[Item, ...]

    @property
    def bytes(self) -> int:
        return sum(item.size for item in self.items)


def target_path(item: Item) -> PurePosixPath:
    """Where the store keeps it: the lab's path with the dataset's uuid before the suffix (one.alf.path)."""
    return with_uuid(item.source_path, item.uuid)


def batches(items: Iterable[Item], limits: Limits) -> list[PlannedBatch]:
    """Split `items` of one route into batches, small files first, each item exactly once."""
    ordered = sorted(items, key=lambda item: item.id)
    small = [item for item in ordered if item.size < limits.large_bytes]
    large = [item for item in ordered if item.size >= limits.large_bytes]
    together = list(_fill(small, limits))
    return [PlannedBatch(items=group) for group in together] + [PlannedBatch(items=(item,)) for item in large]


def _fill(items: list[Item], limits: Limits) -> Iterator[tuple[Item, ...]]:
    group: list[Item] = []
    total = 0
    for item in items:
        if group and (len(group) >= limits.files or total + item.size > limits.bytes):
            yield tuple(group)
            group, total = [], 0
        group.append(item)
        total += item.size
    if group:
        yield tuple(group)


def is_large(batch: Batch, limits: Limits) -> bool:
    """Whether it is one file so large that others must not wait behind it."""
    return batch.files == 1 and batch.bytes >= limits.large_bytes


Batching = Callable[[list[Item]], list[PlannedBatch]]
