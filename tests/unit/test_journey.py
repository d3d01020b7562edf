"""Which step comes next, and how far a failure reaches."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.test_planning import item
from transfer.errors import CATALOGUE, Cure, Reach, TransferError
from transfer.journey import DELEGATED, STREAMING, consequence, endpoint_of, next_step, without_alyx
from transfer.model import Lab
from transfer.status import JOURNEY, Status

MOVING = [Status.PLANNED, Status.SENT, Status.VERIFIED, Status.PUBLISHED]


def test_nothing_due_needs_no_step() -> None:
    assert next_step(STREAMING, []) is None


@given(standing=st.lists(st.sampled_from(MOVING), min_size=1, max_size=12))
def test_the_furthest_go_first_and_together(standing: list[Status]) -> None:
    """What is published is announced before anything new is sent."""
    due = [replace(item(n, 1), status=status) for n, status in enumerate(standing)]
    found = next_step(STREAMING, due)
    assert found is not None
    step, chosen = found
    furthest = max(standing, key=JOURNEY.index)
    assert step is STREAMING[furthest]
    assert chosen == [one for one in due if one.status is furthest]


@given(standing=st.lists(st.sampled_from(MOVING), max_size=12), incumbent=st.booleans())
def test_while_alyx_is_away_nothing_that_others_would_see_is_done(
    standing: list[Status], incumbent: bool
) -> None:
    """The furthest of what needs no Alyx goes first; beside another tool nothing is sent without its lock."""
    lab = Lab(
        name="lab", repository="lab_SR", root=Path("/lab"), store="central", work="disk", incumbent=incumbent
    )
    due = [replace(item(n, 1), status=status) for n, status in enumerate(standing)]
    possible = {Status.SENT} if incumbent else {Status.PLANNED, Status.SENT}
    for steps in (STREAMING, DELEGATED):
        found = next_step(steps, due, may=without_alyx(lab))
        left = [status for status in standing if status in possible]
        if not left:
            assert found is None
        else:
            assert found is not None
            step, chosen = found
            furthest = max(left, key=JOURNEY.index)
            assert step is steps[furthest]
            assert step.__name__ not in {"publish", "publish_staged", "record"}
            assert chosen == [one for one in due if one.status is furthest]


@pytest.mark.parametrize(
    ("status", "name"),
    [
        (Status.PLANNED, "push"),
        (Status.SENT, "verify"),
        (Status.VERIFIED, "publish"),
        (Status.PUBLISHED, "record"),
    ],
)
def test_each_fact_of_a_batch_has_its_step(status: Status, name: str) -> None:
    assert STREAMING[status].__name__ == name
    assert set(STREAMING) == set(MOVING)


@pytest.mark.parametrize("kind", CATALOGUE.values(), ids=lambda kind: kind.name)
def test_a_failure_reaches_as_far_as_it_says(kind: type[TransferError]) -> None:
    """An endpoint is paused only where nothing but a person helps; else it is kept back for a while."""
    error = TransferError("x")
    error.__dict__.update(cure=kind.cure, reach=kind.reach, code=kind.code)
    reach = consequence(error)
    assert reach.endpoint == (kind.reach is Reach.ENDPOINT)
    assert reach.pause == (reach.endpoint and kind.cure in {Cure.PERSON, Cure.NOTHING})


@pytest.mark.parametrize("kind", CATALOGUE.values(), ids=lambda kind: kind.name)
def test_a_failure_speaks_of_one_endpoint(kind: type[TransferError]) -> None:
    """The lab's side, the store or Alyx; a failure of our own ledger or config keeps no endpoint back."""
    lab = Lab(name="lab", repository="lab_SR", root=Path("/lab"), store="central", work="disk")
    error = TransferError("x")
    error.__dict__.update(code=kind.code)
    wanted = {"1": "lab_SR", "2": "central", "3": "alyx"}.get(kind.code[2])
    assert endpoint_of(error, lab) == wanted
