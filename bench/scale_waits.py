"""Who waited for whom in a simulated day: from what every piece of work did, and when hands and places were taken."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench.full_ledger import lab
from bench.scale_hands import Crew, Span, Work


@dataclass(frozen=True, kw_only=True, slots=True)
class Waits:
    """Of one lab: seconds from the ring to the first byte."""

    lab: str
    batches: int
    gigabytes: float
    small_median: float
    small_worst: float
    large_worst: float
    last_end: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """A day's verdict.  Times in seconds."""

    scene: str
    sessions: int
    files: int
    hands: int
    small_behind_large: float
    small_worst: float
    large_worst: float
    idle_worst: float
    overtaken_most: int
    vain: int
    labs: Sequence[Waits]


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A day that is over.  By store: when all its places were taken, and when all by large files."""

    crews: Sequence[Crew]
    stores: Sequence[str]
    full: Mapping[str, list[Span]]
    full_of_large: Mapping[str, list[Span]]


def outcome(scene: str, day: Seen) -> Outcome:
    """What the day shows."""
    works = [(work, crew) for crew in day.crews for work in crew.done]
    moves = [work for work, _ in works if work.kind == "move"]
    small = [(work, crew) for work, crew in works if work.kind == "move" and not work.is_large]
    return Outcome(
        scene=scene,
        sessions=sum(work.kind == "visit" for work, _ in works),
        files=sum(work.files for work in moves),
        hands=day.crews[0].hands,
        small_behind_large=max(_within(work, _behind(work, crew, day)) for work, crew in small),
        small_worst=max(work.waited for work, _ in small),
        large_worst=max((work.waited for work in moves if work.is_large), default=0.0),
        idle_worst=max(
            _idle(work, crew, day) for work, crew in works if work.kind == "visit" or not work.is_large
        ),
        overtaken_most=max(_overtaken(work, moves, day.stores) for work in moves),
        vain=sum(crew.vain for crew in day.crews),
        labs=list(_by_lab(moves)),
    )


def _within(work: Work, spans: Sequence[Span]) -> float:
    """Seconds of a work's wait that lie in these spans, which do not overlap."""
    return sum(max(min(work.begun, end) - max(work.rung, begin), 0.0) for begin, end in spans)


def _behind(work: Work, crew: Crew, day: Seen) -> list[Span]:
    """When large files had taken all that it needs."""
    return list(_merged([*crew.only_large, *day.full_of_large[day.stores[work.lab]]]))


def _idle(work: Work, crew: Crew, day: Seen) -> float:
    """The longest time of its wait in which a hand was free, and a place at its store."""
    full = day.full[day.stores[work.lab]] if work.kind == "move" else []
    taken = [span for span in _merged([*crew.busy, *full]) if span[1] > work.rung and span[0] < work.begun]
    edges = [work.rung, *(edge for span in taken for edge in span), work.begun]
    return max(max(end - begin, 0.0) for begin, end in zip(edges[::2], edges[1::2], strict=True))


def _merged(spans: Sequence[Span]) -> Iterator[Span]:
    """The same moments in spans that do not overlap."""
    last: Span | None = None
    for begin, end in sorted(spans):
        if last is not None and begin <= last[1]:
            last = (last[0], max(last[1], end))
            continue
        if last is not None:
            yield last
        last = (begin, end)
    if last is not None:
        yield last


def _overtaken(work: Work, moves: Sequence[Work], stores: Sequence[str]) -> int:
    """How many batches of its kind, small or large, for the same store were rung for later and begun earlier."""
    rivals = (one for one in moves if stores[one.lab] == stores[work.lab] and one.is_large == work.is_large)
    return sum(one.rung > work.rung and one.begun < work.begun for one in rivals)


def _by_lab(moves: Sequence[Work]) -> Iterator[Waits]:
    for number in sorted({work.lab for work in moves}):
        own = [work for work in moves if work.lab == number]
        small = sorted(work.waited for work in own if not work.is_large)
        yield Waits(
            lab=lab(number),
            batches=len(own),
            gigabytes=round(sum(work.bytes for work in own) / 1e9, 1),
            small_median=round(small[len(small) // 2], 1),
            small_worst=round(small[-1], 1),
            large_worst=round(max((work.waited for work in own if work.is_large), default=0.0), 1),
            last_end=round(max(work.ended for work in own), 1),
        )
