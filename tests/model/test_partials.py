"""The explicit-state model of publishing through partials: what the rules promise, and what each is there for."""

from typing import Any

import pytest
from partials import Rules, search


def wrong(until: str = "", **rules: Any) -> dict[str, list[str]]:
    """The kinds of wrong that can happen under these rules, each with the way there."""
    found = search(Rules(**rules), until=until)
    assert found.states > 1000 or until in found.ways, "the model hardly moved: nothing was looked at"
    return found.ways


@pytest.mark.parametrize("outages", [0, 1])
def test_while_nobody_else_writes_nothing_false_is_ever_announced(outages: int) -> None:
    assert wrong(patch=False, outages=outages) == {}


@pytest.mark.parametrize(("old_copy", "outages"), [(False, 0), (True, 0), (False, 1), (True, 1)])
def test_what_others_change_meanwhile_is_noticed_by_reconcile_at_the_latest(
    old_copy: bool, outages: int
) -> None:
    """Also when bytes were sent without a look at an Alyx that was away."""
    assert "closed lie" not in wrong(old_copy=old_copy, outages=outages)


def test_what_somebody_announced_too_early_is_withdrawn_before_it_is_published() -> None:
    """Push may not have looked: then publish does, and the lie ends there or before."""
    assert "lie that waits for publish" in wrong(announced=True, patch=False, outages=1)
    assert "closed lie" not in wrong(announced=True, patch=False, outages=1)
    assert "lie that waits for publish" not in wrong(
        announced=True, patch=False, outages=1, waits_for_alyx=True
    )


@pytest.mark.parametrize(
    ("rule", "kind"),
    [
        ("own_partial", "lie while nobody else writes"),
        ("fence", "closed lie"),
        ("guarded", "closed lie"),
    ],
)
def test_without_one_rule_wrong_bytes_stay_announced(rule: str, kind: str) -> None:
    assert kind in wrong(kind, **{rule: False})


def test_the_reads_leave_no_lie_but_that_between_our_patch_and_our_read_back() -> None:
    """Nobody dies and nobody is paused: every lie has a worker on its way to look."""
    careful = search(Rules(deaths=0, lapses=0))
    careless = search(Rules(deaths=0, lapses=0, read_before=False, read_back=False))
    assert 0 < careful.wrong["lie"] < careless.wrong["lie"]
