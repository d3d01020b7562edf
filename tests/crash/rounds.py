"""One round: workers run, one of them meets its fault, another client may write, everything is looked at.

    calm        the first worker meets its fault on the way of the first version
    late        it meets it after everything had arrived once and another client replaced a file
    heir        the first worker dies while it sends, the second meets the fault while it takes over
    anywhere    the first worker is killed from outside at a random moment

A worker that died is followed by a fresh one.  One that stands still is woken only after its lease has lapsed and
another has brought everything home; then it goes on in the belief that it still holds what it held.  One that is
ambushed stands still only while the other client writes, and goes on, or dies when it has done what it was about to do.
"""

import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from tests.crash.actors import Never, Worker, until
from tests.crash.findings import Findings, arrived, at_rest, decide_for_ours, judge, leases, reconcile
from tests.crash.observer import Hashes, Observer
from tests.crash.points import Action, Fault
from tests.crash.stage import SESSION, SIZES, Scene, Stage, Transport

Kind = Literal["calm", "late", "heir", "anywhere"]
MIDWAY: dict[Transport, Fault] = {
    "sftp": Fault(label="sftp write", side="after", nth=20, action="kill"),
    "ftp": Fault(label="ftp data", side="after", nth=6, action="kill"),
    "local": Fault(label="disk writing-chunk", side="after", nth=6, action="kill"),
    "globus": Fault(label="globus transfer", side="after", nth=1, action="kill"),
}
"""How the first worker of an `heir` round dies: with a file half sent, or a task that it does not know of."""
_GRACE = 3.0  # seconds of rest after which a fault that has not struck is said never to strike


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What a round is to be.  `first` is how the first worker of an `heir` round dies."""

    number: int
    seed: int
    kind: Kind
    patch: bool
    fault: Fault | None = None
    first: Fault | None = None
    after: float = 0.0

    @property
    def action(self) -> Action:
        return self.fault.action if self.fault else "kill"

    def __str__(self) -> str:
        what = str(self.fault) if self.fault else f"kill after {self.after:.2f} s"
        return f"{self.kind}: {what}{', patched' if self.patch else ''}"

    @property
    def again(self) -> str:
        """Everything that was drawn, as one word for `--again`."""
        fault = self.fault or Fault(label="", side="before", nth=0, action="kill")
        told = [self.kind, fault.action, fault.side, fault.label, fault.nth]
        return "|".join(map(str, [*told, "patch" if self.patch else "", self.after, self.seed]))


def drawn(again: str, transport: Transport, number: int = 1) -> Plan:
    """The plan that said `again`."""
    kind, action, side, label, nth, patch, after, seed = again.split("|")
    fault = Fault(label=label, side=side, nth=int(nth), action=action) if label else None  # type: ignore[arg-type]
    return Plan(
        number=number,
        seed=int(seed),
        kind=kind,  # type: ignore[arg-type]
        patch=bool(patch),
        fault=fault,
        first=MIDWAY[transport] if kind == "heir" else None,
        after=float(after),
    )


@dataclass
class Played:
    """What a round came to."""

    plan: Plan
    findings: Findings = field(default_factory=Findings)
    lie_ms: int = 0
    reached: bool = True
    judged_by_a_person: int = 0
    seconds: float = 0.0
    passed: Counter[str] = field(default_factory=Counter)
    said: str = ""

    @property
    def wrong(self) -> list[str]:
        """Why the round failed, one sentence each."""
        missed = [] if self.reached else [f"never reached: {self.plan.fault}"]
        lie = (
            [f"a lie of {self.lie_ms} ms although nobody else wrote"]
            if self.lie_ms and not self.plan.patch
            else []
        )
        return [*missed, *lie, *self.findings.sentences]


class Round:
    """The round that is being played."""

    def __init__(self, scene: Scene, plan: Plan) -> None:
        self.scene = scene
        self.plan = plan
        self.workers: list[Worker] = []
        self.played = Played(plan)
        self._chance = random.Random(plan.seed)
        self._hashes = Hashes()
        self._patched = False
        files = [f"{SESSION}/{name}" for name in sorted(SIZES)]
        # Another client's files: all of them, or one.
        self._targets = files if self._chance.random() < 0.5 else [self._chance.choice(files)]

    # ---- the story

    def play(self) -> None:
        """Raises `Never` when something that must happen does not."""
        victim = self.victim()
        self._strike(victim)
        if self.plan.patch and not self._patched and self.scene.registered(self._targets):
            self.patch()  # under the one who stands still, or behind the back of the one who died
        if self.plan.action == "ambush" and victim.alive:
            victim.wake()
        follower = self.worker("follower")
        until(self.all_is_well, "everything arrives although a worker fell")
        if self.plan.action != "kill" and victim.alive:
            victim.wake()
            victim.stop()
            if self.plan.patch:
                reconcile(self.scene)
            until(self.all_is_well, "what a late worker did is mended")
        follower.kill()
        until(lambda: not leases(self.scene), "every lease lapses")

    def victim(self) -> Worker:
        """The worker that is to meet the fault, run up to the moment from which it can strike."""
        if self.plan.kind == "heir":
            first = self.worker("first", self.plan.first)
            until(lambda: first.struck, f"the first worker dies: {self.plan.first}")
            if self.plan.patch and self.scene.registered(self._targets):
                self.patch()
            return self.worker("heir", self.plan.fault)
        victim = self.worker("victim", self.plan.fault)
        if self.plan.kind == "late":
            until(lambda: victim.struck or self.all_has_arrived(), "the first version arrives")
            if not victim.struck:
                self.patch()
        return victim

    def _strike(self, victim: Worker) -> None:
        if self.plan.fault is None:
            time.sleep(self.plan.after)
            victim.kill()
            return
        rested_since: float | None = None

        def met() -> bool:
            nonlocal rested_since
            alive = victim.alive  # looked at first: what it wrote before it died is there by then
            if victim.struck:
                return True
            if not alive:
                raise Never(f"worker {victim.name} ended by itself")
            now = time.monotonic()
            # Another client waits for the fault, so that without it nothing but the first version is to come.
            done = self.all_is_well() or (not self._patched and self.all_has_arrived())
            rested_since = (rested_since or now) if done else None
            return rested_since is not None and now - rested_since > _GRACE

        until(met, f"the fault strikes: {self.plan.fault}")
        self.played.reached = victim.struck
        if not victim.struck:
            victim.kill()

    # ---- what is so

    def all_has_arrived(self) -> bool:
        return arrived(self.scene, self._hashes) and at_rest(self.scene)

    def all_is_well(self) -> bool:
        """Everything has arrived; on the way the other client writes as soon as it can, and the person decides."""
        if self.plan.patch and not self._patched and self.plan.kind != "late" and self._may_patch():
            self.patch()
        if self._patched:
            self.played.judged_by_a_person += decide_for_ours(self.scene)
        return self.all_has_arrived() and (self._patched or not self.plan.patch)

    def _may_patch(self) -> bool:
        """Only once the fault has struck: before it, the run must be the one that was drawn from."""
        struck = all(worker.harmless for worker in self.workers)
        return struck and self.scene.registered(self._targets)

    # ---- who acts

    def worker(self, name: str, fault: Fault | None = None) -> Worker:
        seed = self._chance.randrange(2**32)
        made = Worker(self.scene.config, self.scene.folder, name, fault=fault, seed=seed)
        self.workers.append(made)
        return made

    def patch(self) -> None:
        self.scene.patch(self._targets, self._chance)
        self._patched = True

    def close(self) -> None:
        for worker in self.workers:
            self.played.passed += worker.passed
            self.played.said += f"\n---- {worker.name}\n{worker.said}"
            worker.close()


def play(stage: Stage, plan: Plan) -> Played:
    """Play one round and judge it."""
    began = time.monotonic()
    with stage.scene(plan.seed) as scene:
        round_ = Round(scene, plan)
        played = round_.played
        with Observer(scene.alyx, scene.store) as observer:
            try:
                round_.play()
            except Never as never:
                played.findings.unclean.append(f"never happened: {never}")
            finally:
                round_.close()
        played.lie_ms = observer.longest
        judged = judge(scene, patched=plan.patch)
        judged.unclean += played.findings.unclean
        played.findings = judged
    played.seconds = time.monotonic() - began
    return played
