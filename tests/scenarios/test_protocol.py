"""The publish protocol, rule by rule, each staged with the interleaving that needs it, and each mutant caught.

`docs/architecture.md` states the rules; an explicit-state model found which interleavings need them.  A
mutant is the product with one rule removed: the scene that needs the rule must turn red with it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.stage import Actor, OtherTool
from tests.world import World, md5, world
from transfer.ledger.guarded import Guarded
from transfer.status import Status
from transfer.steps import publish as publishing
from transfer.steps import push as pushing
from transfer.steps import record as recording

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


def zombie_writes_into_its_old_partial(box: World) -> None:
    """A worker left standing in the middle of a write goes on after another has published."""
    first, second, _ = prepared(box)
    first.until("writing-chunk")
    box.clock.advance(LAPSE)
    second.finish()
    inode = box.stored(FILE).stat().st_ino
    assert box.stored(FILE).read_bytes() == OLD
    # the zombie's handle must not lead into the published file
    (box.lab.root / FILE).write_bytes(OLD)
    first.finish()
    assert box.stored(FILE).stat().st_ino == inode
    assert box.stored(FILE).read_bytes() == OLD
    assert first_partial_is_its_own(first, second)
    everything_done(box, first, second)


def first_partial_is_its_own(first: Actor, second: Actor) -> bool:
    return "partial-opened" in first.passed and "partial-opened" in second.passed


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


def zombie_commits_verified(box: World) -> None:
    """A worker that lost its lease while it verified must not go on to the fence and the rename."""
    first, second, tool = prepared(box)
    first.until("reading")
    patched(box, tool)
    box.clock.advance(LAPSE)
    director = box.runner()
    box.settle(director)
    assert box.stored(FILE).read_bytes() == NEW
    before = len(first.passed)
    first.finish()
    assert "renaming" not in first.passed[before:], "a worker without its lease came to its rename"
    assert "removing" not in first.passed[before:], "a worker without its lease came to the fence"
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


def _uuid(text: str):
    from uuid import UUID

    return UUID(text)


def reconciled(box: World) -> None:
    from transfer.rounds import Rounds

    Rounds(runner=box.runner(), version="test").reconcile(box.lab)


SCENES: list[Callable[[World], None]] = [
    zombie_writes_into_its_old_partial,
    zombie_renames_an_old_copy,
    zombie_commits_verified,
    patch_between_reading_and_announcing,
    death_between_announcing_and_reading_back,
    foreign_announcement_over_closed_rows,
    lost_flag_over_closed_rows,
    register_answer_lost,
]


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_the_protocol_holds(scene: Callable[[World], None], box: World) -> None:
    scene(box)
