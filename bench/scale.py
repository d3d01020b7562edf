"""Whether a fleet of twelve labs fits: a ledger of a million files, eight workers, and a day in a few minutes.

    planning    100,000 due files become batches
    claims      the next batch, while eight worker processes claim; each holds what it has for a moment, as workers do
    moves       proved facts a second, by eight processes: in the chunks of the steps, and each in a transaction alone
    memory      of a worker process, after a hundred pieces of work and after all of them
    growth      the same questions of ledgers of several sizes
    day         180 sessions with 12,000 files through the real ledger, planner and claims, on a simulated clock

    python -m bench scale [--sizes 10000,100000,1000000] [--database postgresql|sqlite] [--parts ...] [--json]

The largest size is the one that the bars are judged at.  Ends with 1 when a bar is missed.
"""

import argparse
import json
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from bench import machine, scale_fleet, scale_growth
from bench.full_ledger import LABS, repository
from bench.report import table
from bench.scale_day import SCENES, simulate
from bench.scale_fleet import EARLY, Told, together
from bench.scale_ground import Ground, all_routes, ground, register
from bench.scale_growth import Point
from bench.scale_waits import Outcome, Waits
from bench.scale_world import Clock
from transfer.ledger import Ledger, schema
from transfer.ledger.engine import open_engine

PLANNED = 100_000
PLANNING, CLAIM, MOVES, MEMORY = 10.0, 0.020, 1_000.0, 0.05
SMALL_BEHIND_LARGE, IDLE, OVERTAKEN = 0.0, 30.0, 0

PROCESSES = 8
PARTS = ("fleet", "growth", "day")
_THINK = 0.5  # seconds that a claim is held; a real batch takes longer, and claims are then rarer
_STORM = 1_000  # claims of each process without a pause
_SEED = 1
_HANDS = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """`measured` must be at most `bar`, or at least where `least` is set.  Judged only where `judged`."""

    what: str
    measured: float
    bar: float
    unit: str
    least: bool = False
    judged: bool = True

    @property
    def met(self) -> bool:
        return self.measured >= self.bar if self.least else self.measured <= self.bar


@dataclass(kw_only=True)
class Result:
    """Everything that was measured."""

    facts: dict[str, str]
    bars: list[Bar] = field(default_factory=list)
    growth: list[Point] = field(default_factory=list)
    days: list[Outcome] = field(default_factory=list)

    @property
    def fine(self) -> bool:
        return all(bar.met for bar in self.bars if bar.judged)


def main() -> None:
    wanted = _arguments()
    with tempfile.TemporaryDirectory(prefix="alyx-transfer-scale-") as folder:
        result = measure(wanted, Path(folder))
    print(json.dumps(as_json(result), indent=2) if wanted.json else as_text(result))
    sys.exit(0 if result.fine else 1)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--sizes", type=_sizes, default=(10_000, 100_000, 1_000_000), metavar="N,N,...")
    parser.add_argument("--database", choices=("postgresql", "sqlite"), default="postgresql")
    parser.add_argument("--parts", type=_parts, default=PARTS, help=f"some of: {','.join(PARTS)}")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long moves are counted")
    parser.add_argument("--claims", type=int, default=150, help="of each process")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _sizes(words: str) -> tuple[int, ...]:
    return tuple(sorted(int(word) for word in words.split(",")))


def _parts(words: str) -> tuple[str, ...]:
    unknown = set(words.split(",")) - set(PARTS)
    if unknown:
        raise argparse.ArgumentTypeError(f"no such part: {', '.join(sorted(unknown))}")
    return tuple(words.split(","))


def measure(wanted: argparse.Namespace, folder: Path) -> Result:
    """Every part that is wanted, one after the other."""
    told = machine.described(folder)
    sizes = ", ".join(f"{size:,}" for size in wanted.sizes)
    result = Result(facts={"machine": told["machine"], "ledger": f"{sizes} files, {wanted.database}"})
    judged = wanted.sizes[-1] >= 1_000_000 and wanted.database == "postgresql"
    for size in wanted.sizes:
        last = size == wanted.sizes[-1]
        if "growth" not in wanted.parts and not (last and "fleet" in wanted.parts):
            continue
        _say(f"writing {size:,} files into {wanted.database}")
        with ground(wanted.database, folder / str(size), size) as place:
            if "growth" in wanted.parts:
                result.growth += scale_growth.measured(place)
            if last and "fleet" in wanted.parts:
                result.bars += _fleet(place, wanted, judged=judged)
    if "day" in wanted.parts:
        for number, scene in enumerate(SCENES):
            _say(f"a day: {scene}")
            place_of = partial(_empty, f"sqlite:///{folder / f'day{number}.db'}")
            result.days.append(simulate(place_of, scene, seed=_SEED, hands=_HANDS))
            result.bars += _of_day(result.days[-1])
    return result


def _empty(url: str, clock: Clock) -> Ledger:
    """A new ledger whose clock is the simulated one."""
    engine = open_engine(url)
    schema.migrate(engine)
    return Ledger(engine, clock=clock.now, monotonic=lambda: clock.seconds)


# ---- the fleet


def _fleet(place: Ground, wanted: argparse.Namespace, *, judged: bool) -> Iterator[Bar]:
    due = PLANNED if judged else PLANNED // 10
    register(place, due)
    _say(f"planning {due:,} files")
    told = together(place.url, partial(scale_fleet.plans, processes=PROCESSES), processes=PROCESSES)
    took, what = max(one.seconds for one in told), f"planning {due:,} due files"
    yield Bar(what=f"{what}, {PROCESSES} processes", measured=took, bar=PLANNING, unit="s", judged=judged)
    register(place, due)
    begun = time.perf_counter()
    scale_growth.planned(place.ledger, all_routes())
    alone = time.perf_counter() - begun
    yield Bar(what=f"{what}, one process", measured=alone, bar=math.inf, unit="s", judged=False)
    yield from _claims(place.url, wanted.claims, judged=judged)
    yield from _moves(place.url, wanted.seconds, judged=judged)


def _claims(url: str, times: int, *, judged: bool) -> Iterator[Bar]:
    every = [repository(number) for number in range(LABS)]
    own = [[repository(number)] for number in range(PROCESSES)]
    ways: dict[str, tuple[float, int, Sequence[Sequence[str]]]] = {
        "each process for one lab": (_THINK, times, own),
        "each process for all labs": (_THINK, times, [every] * PROCESSES),
        "all labs, without a pause between claims": (0.0, _STORM if judged else times, [every] * PROCESSES),
    }
    for way, (think, many, sources) in ways.items():
        _say(f"claims, {way}")
        work = partial(scale_fleet.claims, times=many, think=think, sources=sources)
        told = together(url, work, processes=PROCESSES)
        taken = sorted(one for process in told for one in process.latencies)
        what = f"claim of the next batch, {PROCESSES} processes, {way}"
        in_time = Bar(
            what=f"{what}, p95",
            measured=_at(taken, 0.95),
            bar=CLAIM,
            unit="s",
            judged=judged and think > 0,
        )
        yield in_time
        yield Bar(
            what=f"{what}, median", measured=statistics.median(taken), bar=math.inf, unit="s", judged=False
        )
        vain = sum(process.vain for process in told) / len(taken)
        yield Bar(
            what=f"{what}, answered with nothing", measured=vain, bar=math.inf, unit="of 1", judged=False
        )
        yield from _memory(f"{many:,} claims, {way}", told, judged=judged)


def _moves(url: str, seconds: float, *, judged: bool) -> Iterator[Bar]:
    for way, at_once in (("each in a transaction of its own", False), ("in the chunks of the steps", True)):
        _say(f"moves, {way}")
        told = together(
            url, partial(scale_fleet.moves, seconds=seconds, at_once=at_once), processes=PROCESSES
        )
        rate = sum(one.done / one.seconds for one in told)
        what = f"facts a second, {PROCESSES} processes, {way}"
        yield Bar(what=what, measured=rate, bar=MOVES, unit="/s", least=True, judged=judged and at_once)
        yield from _memory(f"moves {way}", told, judged=judged)


def _memory(what: str, told: Sequence[Told], *, judged: bool) -> Iterator[Bar]:
    """How much a process has grown since its hundredth piece of work; those that did fewer are not asked."""
    grown = [one.memory_late / one.memory_early - 1 for one in told if one.memory_early]
    if grown:
        what = f"memory of a worker, growth after the {EARLY}th of {what}"
        yield Bar(what=what, measured=max(grown), bar=MEMORY, unit="of 1", judged=judged)


def _at(ordered: Sequence[float], part: float) -> float:
    return ordered[min(math.ceil(part * len(ordered)), len(ordered)) - 1]


# ---- the day


def _of_day(day: Outcome) -> Iterator[Bar]:
    _, own_store = SCENES[day.scene]
    yield Bar(
        what=f"a small file waits behind large ones: {day.scene}",
        measured=day.small_behind_large,
        bar=SMALL_BEHIND_LARGE,
        unit="s",
    )
    yield Bar(what=f"a free hand and a due batch: {day.scene}", measured=day.idle_worst, bar=IDLE, unit="s")
    yield Bar(
        what=f"batches that overtook another: {day.scene}",
        measured=day.overtaken_most,
        bar=OVERTAKEN,
        unit="",
        judged=own_store,
    )


# ---- the report


def as_json(result: Result) -> dict[str, Any]:
    """Bars without a limit have none."""
    return {
        **result.facts,
        "fine": result.fine,
        "bars": [
            {**asdict(bar), "bar": None if math.isinf(bar.bar) else bar.bar, "met": bar.met}
            for bar in result.bars
        ],
        "growth": [asdict(point) for point in result.growth],
        "days": [asdict(day) for day in result.days],
    }


def as_text(result: Result) -> str:
    parts = [f"{name}: {value}" for name, value in result.facts.items()]
    if result.bars:
        parts.append(table(("", "measured", "bar", ""), map(_bar, result.bars)))
    if result.growth:
        parts.append("milliseconds, median of several\n" + _growth(result.growth))
    for day in result.days:
        head = ("lab", "batches", "GB", "small waits, median s", "worst s", "large worst s")
        rows = [(one.lab, str(one.batches), *(f"{value:.0f}" for value in _of_lab(one))) for one in day.labs]
        parts.append(f"{day.scene}: {day.sessions} sessions, {day.files:,} files\n" + table(head, rows))
    return "\n\n".join(parts)


def _of_lab(one: Waits) -> tuple[float, ...]:
    return (one.gigabytes, one.small_median, one.small_worst, one.large_worst)


def _bar(bar: Bar) -> tuple[str, ...]:
    limit = "" if math.isinf(bar.bar) else f"{'at least' if bar.least else 'at most'} {bar.bar:g} {bar.unit}"
    verdict = ("met" if bar.met else "MISSED") if bar.judged else ""
    return (bar.what, f"{bar.measured:.4g} {bar.unit}", limit, verdict)


def _growth(points: Sequence[Point]) -> str:
    sizes = sorted({point.items for point in points})
    found = {(point.what, point.items): point.median for point in points}
    rows = [
        (what, *(f"{found[what, size]:.1f}" for size in sizes))
        for what in dict.fromkeys(point.what for point in points)
    ]
    return table(("files", *(f"{size:,}" for size in sizes)), rows)


def _say(words: str) -> None:
    print(words, file=sys.stderr)
