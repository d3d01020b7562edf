"""Many rounds on one stage, and what they come to."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field

from tests.crash.drawing import explore, plans
from tests.crash.rounds import Plan, Played, drawn, play
from tests.crash.seams import is_timed
from tests.crash.stage import Stage, Transport

LIE_BOUND_MS = 30_000
"""With another client writing: ten times lease and sweep of the harness, as two minutes are to those of a lab."""


@dataclass
class Result:
    """The sum of the rounds.  `lie_ms` is the longest lie while nobody else wrote, `lie_ms_patched` with patches."""

    transport: Transport
    seed: int
    rounds: int = 0
    kills: int = 0
    pauses: int = 0
    patches: int = 0
    lost: int = 0
    duplicated: int = 0
    wrong_bytes: int = 0
    orphans: int = 0
    lie_ms: int = 0
    lie_ms_patched: int = 0
    unreached: int = 0
    judged_by_a_person: int = 0
    points: int = 0
    uncovered: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def add(self, played: Played) -> None:
        plan, found = played.plan, played.findings
        self.rounds += 1
        self.kills += plan.action == "kill" and played.reached
        self.pauses += plan.action != "kill" and played.reached
        self.patches += plan.patch
        self.lost += len(found.lost)
        self.duplicated += len(found.duplicated)
        self.wrong_bytes += len(found.wrong_bytes)
        self.orphans += len(found.orphans)
        self.unreached += not played.reached
        self.judged_by_a_person += played.judged_by_a_person
        if plan.patch:
            self.lie_ms_patched = max(self.lie_ms_patched, played.lie_ms)
        else:
            self.lie_ms = max(self.lie_ms, played.lie_ms)
        self.failures += [
            f"round {plan.number} ({plan}; --again '{plan.again}'): {sentence}" for sentence in played.wrong
        ]

    @property
    def good(self) -> bool:
        return not self.failures and not self.lie_ms and self.lie_ms_patched <= LIE_BOUND_MS

    def document(self) -> dict[str, object]:
        return {**asdict(self), "lie_bound_ms": LIE_BOUND_MS, "good": self.good}

    def row(self) -> str:
        """The line of the table in docs/reliability.md."""
        counts = (self.rounds, self.kills, self.pauses, self.patches)
        found = (self.lost, self.duplicated, self.wrong_bytes, self.orphans)
        lies = (f"{self.lie_ms} ms", f"{self.lie_ms_patched} ms")
        return f"| {' | '.join([self.transport, *map(str, counts + found), *lies])} |"


def run(
    transport: Transport,
    *,
    rounds: int,
    seed: int,
    again: Sequence[str] = (),
    told: Callable[[Played], None] = lambda _played: None,
) -> Result:
    """Play the rounds, or those that said `again`.  `told` hears of each as it ends."""
    result = Result(transport, seed)
    struck: set[str] = set()
    with Stage(transport) as stage:
        seen = set[str]()
        if again:
            chosen: Iterable[Plan] = [drawn(one, transport, number) for number, one in enumerate(again, 1)]
        else:
            known = explore(stage, seed)
            seen |= known.labels
            chosen = plans(known, transport, rounds=rounds, seed=seed)
        for plan in chosen:
            played = play(stage, plan)
            result.add(played)
            seen |= {label for label in played.passed if not is_timed(label)}
            if plan.fault is not None and played.reached:
                struck.add(plan.fault.label)
            told(played)
    result.points = len(seen)
    result.uncovered = sorted(seen - struck)
    return result
