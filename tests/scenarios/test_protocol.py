"""The publish protocol, rule by rule, each staged with the interleaving that needs it, and each mutant caught.

`docs/architecture.md` states the rules; an explicit-state model found which interleavings need them.  A
mutant is the product with one rule removed: the scene that needs the rule must turn red with it.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tests.stage import Actor, OtherTool
from tests.world import World, md5, world
from transfer.rounds import Rounds
from transfer.steps import publish as publishing
from transfer.steps import push as pushing
from transfer.steps import record as recording
from transfer.steps import registration as registering
from transfer.steps.work import Fresh
from transfer.transports import local

FILE = "KS023/2019-12-10/001/alf/probe00/spikes.times.npy"
OLD, NEW = b"old bytes", b"new bytes"
LAPSE = 61  # seconds: one more than a lease


@pytest.fixture
def box(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


def prepared(box: World) -> tuple[Actor, Actor, OtherTool]:
    """One file, registered and planned; two workers and another tool."""
    session = box.session()
    box.write(session, "alf/probe00/spikes.times.npy", OLD)
    director = box.runner()
    box.see(director, session)
    director.advance_session()
    director.plan()
    return Actor(box, "first", suspended_clock=True), Actor(box, "second"), OtherTool(box)


def patched(box: World, tool: OtherTool) -> None:
    """The lab's file is replaced and registered by another tool, and our scan notices."""
    tool.replace(FILE, NEW)
    tool.register(FILE)
    noticed(box)


def noticed(box: World) -> None:
    runner = box.runner()
    box.see(runner, box.lab.root / "KS023/2019-12-10/001")


def everything_done(box: World, *actors: Actor) -> None:
    """Everybody finishes, leases lapse, the rounds are walked; then nothing may be wrong."""
    for actor in actors:
        if not actor.idle:
            actor.finish()
    settled(box)
    assert box.lies() == []
    content = (box.lab.root / FILE).read_bytes()
    assert box.record(FILE)["exists"]
    assert box.stored(FILE).read_bytes() == content
    assert box.dataset(FILE)["hash"] == md5(content)


def settled(box: World) -> None:
    runner = box.runner()
    for _ in range(6):
        box.clock.advance(LAPSE)
        box.settle(runner)


# ---- the scenes: each is right with the product as it is, and red with its mutant


def zombie_opens_a_partial_late(box: World) -> None:
    """A worker left standing before it opened its partial opens it when another is about to publish."""
    first, second, _ = prepared(box)
    first.until("opening-partial")
    box.clock.advance(LAPSE)
    second.until("renaming")
    first.until("writing-chunk")
    second.finish()
    assert box.record(FILE)["exists"]
    assert box.lies() == [], "a late worker's open handle leads into the published file"
    everything_done(box, first, second)


def zombie_renames_an_old_copy(box: World) -> None:
    """A worker left standing before its rename wakes up after a newer version was announced."""
    first, second, tool = prepared(box)
    first.until("renaming")
    patched(box, tool)
    box.clock.advance(LAPSE)
    director = box.runner()
    box.settle(director)  # the newer version is registered, pushed, published and announced
    assert box.record(FILE)["exists"]
    assert box.stored(FILE).read_bytes() == NEW
    first.go()  # the rename of the zombie
    assert box.lies() == [], "a late worker put old bytes under an announced name"
    everything_done(box, first, second)


def zombie_finishes_verifying(box: World) -> None:
    """A worker that lost its lease while it verified goes no further: no fence, no rename."""
    first, second, _ = prepared(box)
    first.until("reading")
    box.clock.advance(LAPSE)
    second.until("renaming")
    before = len(first.passed)
    first.finish()
    late = first.passed[before:]
    assert "renaming" not in late, "a worker without its lease came to a rename"
    assert "announce?" not in late, "a worker without its lease wrote to Alyx"
    everything_done(box, first, second)


def patch_between_reading_and_announcing(box: World) -> None:
    """Another tool registers a new version after our last read and before our PATCH."""
    first, second, tool = prepared(box)
    first.until("announce?")
    patched(box, tool)
    first.until("announce.")
    assert box.lies() != [], "the scene is not reached: our PATCH should have been too late"
    first.finish()
    assert box.lies() == [], "a wrong exists=true outlived our read-back"
    everything_done(box, first, second)


def death_between_announcing_and_reading_back(box: World) -> None:
    """We die after the PATCH that came too late; lease and sweep bring somebody who withdraws it."""
    first, second, tool = prepared(box)
    first.until("announce?")
    patched(box, tool)
    first.until("announce.")
    first.die()
    assert box.lies() != []
    box.clock.advance(LAPSE)
    director = box.runner()
    box.settle(director)
    assert box.lies() == [], "a lie outlived lease and sweep"
    everything_done(box, second)


def death_before_anybody_took_over(box: World) -> None:
    """The successor of a dead worker withdraws its late announcement before it sends a byte."""
    first, second, tool = prepared(box)
    first.until("announce?")
    patched(box, tool)
    first.until("announce.")
    first.die()
    box.clock.advance(LAPSE)
    director = box.runner()
    while director.advance_session():
        pass
    director.plan()
    while "opening-partial" not in second.passed and second.go() != "opening-partial":
        pass
    assert box.lies() == [], "the lie stood while the next version was sent"
    everything_done(box, second)


def foreign_announcement_over_closed_rows(box: World) -> None:
    """Another tool announces bytes that are not the hash's while all our rows are closed: reconcile withdraws."""
    first, second, tool = prepared(box)
    first.finish()
    tool.replace(FILE, NEW)
    tool.register(FILE)
    box.new_catalog().announce(_uuid(box.record(FILE)["id"]), True)
    assert box.lies() == [FILE]
    reconciled(box)
    assert box.lies() == [], "a lie over closed rows outlived a reconcile pass"
    noticed(box)
    everything_done(box, first, second)


def lost_flag_over_closed_rows(box: World) -> None:
    """Another tool's whole-row write took exists=true back: reconcile proves the copy and announces it again."""
    first, second, _ = prepared(box)
    first.finish()
    box.new_catalog().announce(_uuid(box.record(FILE)["id"]), False)
    reconciled(box)
    settled(box)
    assert box.record(FILE)["exists"], "a good copy stayed hidden"
    everything_done(box, second)


def register_answer_lost(box: World) -> None:
    """The answer of a registration is lost: nothing is registered twice."""
    session = box.session()
    box.write(session, "alf/probe00/spikes.times.npy", OLD)
    runner = box.runner()
    box.see(runner, session)
    box.alyx.faults.add("POST", "/register-file", drop=True, after_work=True)
    box.alyx.requests.reset()
    box.settle(runner)
    settled(box)
    box.alyx.faults.assert_all_reached()
    posts = box.alyx.requests.count("POST", "/register-file")
    assert posts == 1, f"one registration was asked {posts} times"
    everything_done(box)


def _uuid(text: str) -> UUID:
    return UUID(text)


def reconciled(box: World) -> None:
    Rounds(runner=box.runner(), version="test").reconcile(box.lab)


SCENES: list[Callable[[World], None]] = [
    zombie_opens_a_partial_late,
    zombie_renames_an_old_copy,
    zombie_finishes_verifying,
    patch_between_reading_and_announcing,
    death_between_announcing_and_reading_back,
    death_before_anybody_took_over,
    foreign_announcement_over_closed_rows,
    lost_flag_over_closed_rows,
    register_answer_lost,
]


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_the_protocol_holds(scene: Callable[[World], None], box: World) -> None:
    scene(box)


# ---- the mutants: the product with one rule removed


def shared_partial_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every attempt writes to the same partial, and opens it whoever made it."""
    monkeypatch.setattr(pushing, "partial_name", lambda uuid, _attempt: f".{uuid}.00000000.part")
    monkeypatch.setattr(local, "_NEW", (local._NEW & ~os.O_EXCL) | os.O_TRUNC)


def no_fence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "_fence", lambda _work, items: (list(items), []))


def no_guarded_verified(monkeypatch: pytest.MonkeyPatch) -> None:
    """Facts are committed without asking whether the lease is still ours."""
    monkeypatch.setattr("transfer.ledger.transactions.renew", lambda *_: None)


def no_read_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was patched counts as read."""
    real, calls = recording.read_again, count()

    def once(work: Any, items: Any) -> Any:
        same, differ, gone = real(work, items)
        if next(calls) % 2 == 0:
            return same, differ, gone
        believed = [
            Fresh(
                one.item,
                replace(
                    one.dataset, records=tuple(replace(record, exists=True) for record in one.dataset.records)
                ),
            )
            for one in same + differ
        ]
        return believed, [], gone

    monkeypatch.setattr(recording, "read_again", once)


def no_reconcile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Rounds, "reconcile", lambda *_, **__: None)


def registering_without_a_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """A registration whose answer was lost is simply asked again."""

    def again(work: Any, session: Any, eid: Any, items: Any, _error: Any) -> Any:
        return registering._register_once(work, session, eid, items, {})

    monkeypatch.setattr(registering, "_look_instead", again)


def no_withdrawal_before_sending(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a dead worker announced is left standing until the next version has arrived."""
    monkeypatch.setattr(pushing, "withdraw", lambda *_: None)


MUTANTS = [
    (shared_partial_name, zombie_opens_a_partial_late),
    (no_fence, zombie_renames_an_old_copy),
    (no_guarded_verified, zombie_finishes_verifying),
    (no_read_back, patch_between_reading_and_announcing),
    (no_reconcile, foreign_announcement_over_closed_rows),
    (no_reconcile, lost_flag_over_closed_rows),
    (registering_without_a_look, register_answer_lost),
    (no_withdrawal_before_sending, death_before_anybody_took_over),
]


@pytest.mark.parametrize(("mutant", "scene"), MUTANTS, ids=lambda one: one.__name__)
def test_each_mutant_is_caught(
    mutant: Callable[[pytest.MonkeyPatch], None],
    scene: Callable[[World], None],
    box: World,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A rule that could be removed without a red test would not be proved."""
    mutant(monkeypatch)
    with pytest.raises((AssertionError, FileNotFoundError)):
        scene(box)
