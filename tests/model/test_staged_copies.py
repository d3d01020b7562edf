"""The explicit-state model of publishing through a mover: what the rules promise, and what each is there for."""

import pytest
from looking_through import Found
from staged_copies import Rules, search


def wrong(until: str = "", **rules: bool) -> dict[str, list[str]]:
    """The kinds of wrong that can happen under these rules, each with the way there."""
    found: Found = search(Rules(**rules), until=until)
    assert found.states > 1000, "the model hardly moved: nothing was looked at"
    return found.ways


@pytest.mark.parametrize("own_folder", [True, False])
def test_while_nobody_else_writes_nothing_false_is_ever_announced(own_folder: bool) -> None:
    """Whatever dies, is paused or submitted twice, however late the mover writes: each submission has its folder."""
    assert ("lie" in wrong(patch=False, own_folder=own_folder)) is not own_folder


@pytest.mark.parametrize("old_copy", [False, True])
def test_what_others_change_meanwhile_is_noticed_by_reconcile_at_the_latest(old_copy: bool) -> None:
    assert "closed lie" not in wrong(old_copy=old_copy)


@pytest.mark.parametrize(
    ("rule", "kind"),
    [
        ("own_folder", "lie while nobody else writes"),
        ("checked", "closed lie"),
        ("guarded", "closed lie"),
        ("fence", "closed lie"),
    ],
)
def test_without_one_rule_wrong_bytes_stay_announced(rule: str, kind: str) -> None:
    assert kind in wrong(kind, **{rule: False})


def test_the_read_back_leaves_fewer_lies_that_nobody_watches() -> None:
    """With it they need a worker that dies or is paused between its PATCH and its read-back."""
    careful, careless = search(Rules(deaths=0, lapses=0)), search(Rules(deaths=0, lapses=0, read_back=False))
    assert careful.wrong["unwatched lie"] == 0
    assert careless.wrong["unwatched lie"] > 0


def test_where_a_rename_does_not_replace_a_paused_worker_may_move_a_new_copy_aside() -> None:
    """The known limit (docs/limits.md): nothing at such a store can make the moving aside conditional."""
    way = wrong("closed lie", old_copy=True, replaces=False)["closed lie"]
    assert "0 pauses, its lease lapses" in way
    assert way.index("1 RENAMES") < way.index("0 moves the old copy aside")
