"""The nouns: what they derive, and what may not be asked of them too early."""

import dataclasses
from dataclasses import replace
from datetime import date
from pathlib import PurePosixPath
from uuid import UUID

import pytest

from tests.unit.test_planning import item
from transfer import model
from transfer.model import SessionKey

PLACE = PurePosixPath("SW_012/2026-03-04/001/alf/a.uuid.npy")


@pytest.mark.parametrize(
    ("number", "padded", "path"),
    [
        (1, True, "SW_012/2026-03-04/001"),
        (12, True, "SW_012/2026-03-04/012"),
        (1000, True, "SW_012/2026-03-04/1000"),
        (1, False, "SW_012/2026-03-04/1"),
    ],
)
def test_a_session_has_one_place(number: int, padded: bool, path: str) -> None:
    key = SessionKey(source="rig_7", subject="SW_012", date=date(2026, 3, 4), number=number, padded=padded)
    assert key.path == PurePosixPath(path)


def test_bytes_stand_in_the_partial_or_under_the_final_name() -> None:
    planned = replace(item(1, 5), target_path=PLACE)
    assert planned.store_path == planned.partial_path == PLACE
    assert replace(planned, partial=".x.part").partial_path == PLACE.with_name(".x.part")


@pytest.mark.parametrize(
    ("question", "missing"),
    [
        ("store_path", {"target_path": None}),
        ("partial_path", {"target_path": None}),
        ("uuid", {"dataset_uuid": None}),
        ("record", {"record_uuid": None}),
    ],
)
def test_what_is_not_known_yet_is_not_made_up(question: str, missing: dict[str, None]) -> None:
    early = replace(item(7, 5), **missing)  # type: ignore[arg-type]
    with pytest.raises(AssertionError, match="item 7 is registered and has no"):
        getattr(early, question)


def test_what_is_known_is_answered() -> None:
    assert item(7, 5).uuid == item(7, 5).record == UUID(int=7)


@pytest.mark.parametrize(
    "noun",
    [noun for noun in vars(model).values() if dataclasses.is_dataclass(noun)],
    ids=lambda noun: noun.__name__,
)
def test_nouns_are_values(noun: type) -> None:
    """Frozen, so that nobody changes a fact in passing; keyword-only, so that no two are confused."""
    assert noun.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert all(field.kw_only for field in dataclasses.fields(noun))
