"""Which faults there are to play, and in which order: learnt from runs without a fault, drawn by a seed."""

import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

from tests.crash.actors import until
from tests.crash.points import Action, Fault, Side
from tests.crash.rounds import MIDWAY, Kind, Plan, Round
from tests.crash.seams import is_rung, is_timed
from tests.crash.stage import Stage, Transport

_SIDES: tuple[Side, ...] = ("before", "after")
_ACTIONS: tuple[Action, ...] = ("kill", "pause", "ambush")
_ANYWHERE = 6  # one round in so many is killed at a random moment


@dataclass(frozen=True)
class Known:
    """The classes of effects by the kind of round in which they are met, with how often one may be counted on."""

    calm: Counter[str]
    late: Counter[str]
    heir: Counter[str]
    seconds: float

    @property
    def labels(self) -> set[str]:
        return set(self.calm) | set(self.late) | set(self.heir)

    def by_kind(self) -> Iterator[tuple[Kind, str, int]]:
        kinds: list[tuple[Kind, Counter[str]]] = [
            ("calm", self.calm),
            ("late", self.late),
            ("heir", self.heir),
        ]
        for kind, counts in kinds:
            for label in sorted(counts):
                yield kind, label, counts[label]


def explore(stage: Stage, seed: int) -> Known:
    """Run without a fault, once quietly with a change afterwards and once behind a death, and note what is met."""
    calm, late, seconds = _quiet_run(stage, seed)
    heir = _behind_a_death(stage, seed)
    return Known(
        calm=_planned(calm),
        late=_planned(Counter({label: count for label, count in late.items() if label not in calm})),
        heir=_planned(
            Counter(
                {label: count for label, count in heir.items() if label not in calm and label not in late}
            )
        ),
        seconds=seconds,
    )


def _planned(counts: Counter[str]) -> Counter[str]:
    return Counter({label: count for label, count in counts.items() if not is_timed(label)})


def _quiet_run(stage: Stage, seed: int) -> tuple[Counter[str], Counter[str], float]:
    plan = Plan(number=0, seed=seed, kind="late", patch=True)
    with stage.scene(seed) as scene:
        round_ = Round(scene, plan)
        try:
            began = time.monotonic()
            worker = round_.worker("explorer")
            until(round_.all_has_arrived, "a run without a fault arrives", tell=lambda: worker.said)
            seconds = time.monotonic() - began
            before = worker.passed
            round_.patch()
            until(round_.all_is_well, "a change arrives", tell=lambda: worker.said)
            worker.stop()
            return before, worker.passed, seconds
        finally:
            round_.close()


def _behind_a_death(stage: Stage, seed: int) -> Counter[str]:
    plan = Plan(number=0, seed=seed, kind="heir", patch=False, first=MIDWAY[stage.transport])
    with stage.scene(seed) as scene:
        round_ = Round(scene, plan)
        try:
            heir = round_.victim()
            until(round_.all_is_well, "a run behind a death arrives", tell=lambda: heir.said)
            heir.stop()
            return heir.passed
        finally:
            round_.close()


def plans(known: Known, transport: Transport, *, rounds: int, seed: int) -> Iterator[Plan]:
    """So many rounds: each class on each side first with one action, then with the other, then from the start."""
    chance = random.Random(seed)
    faults = _endless(known, seed)
    for number in range(1, rounds + 1):
        own = chance.randrange(2**32)
        patch = number % 2 == 0
        if number % _ANYWHERE == 0:
            moment = chance.uniform(0, 1.5 * known.seconds)
            yield Plan(number=number, seed=own, kind="anywhere", patch=chance.random() < 0.5, after=moment)
            continue
        kind, fault = next(faults)
        yield Plan(
            number=number,
            seed=own,
            kind=kind,
            patch=patch or kind == "late" or fault.action == "ambush",
            fault=fault,
            first=MIDWAY[transport] if kind == "heir" else None,
        )


def _endless(known: Known, seed: int) -> Iterator[tuple[Kind, Fault]]:
    """Each place drawn by itself, so that one class more or less moves no other."""
    places = [(kind, label, count, side) for kind, label, count in known.by_kind() for side in _SIDES]
    for turn in count(0) if places else ():
        drawn = []
        for kind, label, times, side in places:
            chance = random.Random(f"{seed} {kind} {label} {side}")
            action = _ACTIONS[(chance.randrange(3) + turn) % 3]
            chance = random.Random(f"{seed} {kind} {label} {side} {turn}")
            # Which of its class: of the first half, because two runs do not count alike to the last one.
            sure = times // 2 if kind == "calm" and not is_rung(label) else 1
            nth = 1 + chance.randrange(max(1, sure))
            drawn.append((chance.random(), kind, Fault(label=label, side=side, nth=nth, action=action)))
        for _, kind, fault in sorted(drawn, key=lambda one: one[0]):
            yield kind, fault
