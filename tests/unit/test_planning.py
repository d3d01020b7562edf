"""Which items move together."""

import random
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import PurePosixPath
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer.model import Item
from transfer.planning import Limits, PlannedBatch, batches, target_path
from transfer.status import Status

LIMITS = Limits(files=4, bytes=100, large_bytes=60)
SIZES = st.lists(st.integers(0, 150), max_size=40)
ALL_LIMITS = st.builds(
    Limits, files=st.integers(1, 6), bytes=st.integers(1, 120), large_bytes=st.integers(1, 200)
)


def item(number: int, size: int, path: str = "SW_012/2026-03-04/001/alf/a.npy") -> Item:
    return Item(
        id=number,
        copy=number,
        dataset=number,
        session=1,
        source="rig_7",
        target="flatiron",
        source_path=PurePosixPath(path),
        target_path=None,
        dataset_uuid=UUID(int=number),
        record_uuid=UUID(int=number),
        md5="0" * 32,
        size=size,
        mtime_ns=0,
        status=Status.REGISTERED,
        batch=None,
        attempt=None,
        partial=None,
        tries=0,
        proof=None,
        proved_at=None,
        hold=None,
        created_at=datetime(2026, 3, 4, tzinfo=UTC),
    )


def items(sizes: list[int]) -> list[Item]:
    return [item(number, size) for number, size in enumerate(sizes, start=1)]


def numbers(made: list[PlannedBatch]) -> list[list[int]]:
    return [[one.id for one in batch.items] for batch in made]


@given(sizes=SIZES, limits=ALL_LIMITS)
def test_every_item_travels_once(sizes: list[int], limits: Limits) -> None:
    made = batches(items(sizes), limits)
    assert sorted(number for batch in numbers(made) for number in batch) == list(range(1, len(sizes) + 1))
    assert all(batch.items for batch in made)


@given(sizes=SIZES, limits=ALL_LIMITS)
def test_limits_are_kept(sizes: list[int], limits: Limits) -> None:
    """A batch above the limit of bytes holds one file only: it could not be smaller."""
    for batch in batches(items(sizes), limits):
        assert len(batch.items) <= limits.files
        assert batch.bytes == sum(one.size for one in batch.items)
        assert batch.bytes <= limits.bytes or len(batch.items) == 1


@given(sizes=SIZES, limits=ALL_LIMITS)
def test_nothing_small_waits_behind_something_large(sizes: list[int], limits: Limits) -> None:
    """Large items travel alone, after all the others; each kind in the order it was found."""
    made = batches(items(sizes), limits)
    large = [batch for batch in made if any(one.size >= limits.large_bytes for one in batch.items)]
    assert all(len(batch.items) == 1 for batch in large)
    assert made[len(made) - len(large) :] == large
    for kind in (made[: len(made) - len(large)], large):
        order = [number for batch in numbers(kind) for number in batch]
        assert order == sorted(order)


@given(sizes=SIZES, limits=ALL_LIMITS, seed=st.integers())
def test_any_order_gives_the_same_batches(sizes: list[int], limits: Limits, seed: int) -> None:
    mixed = items(sizes)
    random.Random(seed).shuffle(mixed)
    assert batches(iter(mixed), limits) == batches(items(sizes), limits)


@given(sizes=SIZES, limits=ALL_LIMITS)
def test_no_two_neighbours_could_have_been_one(sizes: list[int], limits: Limits) -> None:
    """Batches are as full as the order allows."""
    small = [b for b in batches(items(sizes), limits) if b.items[0].size < limits.large_bytes]
    for one, following in pairwise(small):
        first = following.items[0]
        assert len(one.items) == limits.files or one.bytes + first.size > limits.bytes


def test_an_example() -> None:
    made = batches(items([50, 50, 1, 60, 0, 0, 0, 0, 59, 200]), LIMITS)
    assert numbers(made) == [[1, 2], [3, 5, 6, 7], [8, 9], [4], [10]]


def test_nothing_makes_no_batch() -> None:
    assert batches([], Limits()) == []


@pytest.mark.parametrize("wrong", [{"files": 0}, {"bytes": 0}, {"large_bytes": -1}])
def test_limits_that_hold_no_file_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be able to hold a file"):
        Limits(**wrong)


def test_the_place_at_the_store_carries_the_uuid() -> None:
    place = target_path(item(1, 5, "SW_012/2026-03-04/001/alf/probe00/spikes.times.npy"))
    assert str(place) == f"SW_012/2026-03-04/001/alf/probe00/spikes.times.{UUID(int=1)}.npy"
