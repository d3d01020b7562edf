"""From single runs to medians, ratios and bars met or missed: pure.

A *case* is a way and a workload ("sftp-50ms.small-files"); a *run* is one contender's push in one case.  A
contender that was stopped once has no median, only the time it was given: a ratio to it is at most that.
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from bench.contenders import OURS, RCLONE, RSYNC, SFTP

MEMORY_BAR = 150 * 10**6  # bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """`inside` are the seconds ours reports by itself, by activity; empty for others."""

    case: str
    contender: str
    verifies: str
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    stopped: bool = False
    inside: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """One contender in one case.  `seconds` is a median, or with `stopped` a lower bound."""

    case: str
    contender: str
    verifies: str
    runs: int
    seconds: float
    least: float
    most: float
    cpu_seconds: float
    peak_bytes: int
    stopped: bool
    inside: Mapping[str, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """`at_most` is a bound on our median over that of `peer`; `peer` empty: the best one that verifies."""

    case: str
    peer: str
    at_most: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """`value` is a ratio, or bytes for memory; None when it was not measured.  `met` None: cannot be said."""

    what: str
    against: str
    at_most: float
    value: float | None
    met: bool | None


BARS = (
    Bar(case="sftp.one-file", peer=RCLONE, at_most=0.70),
    Bar(case="sftp.small-files", peer=RCLONE, at_most=0.25),
    Bar(case="sftp.small-files", peer=RSYNC, at_most=1.2),
    Bar(case="sftp-50ms.small-files", peer=RSYNC, at_most=0.6),
    Bar(case="sftp-50ms.one-file", peer=SFTP, at_most=0.4),
    *(
        Bar(case=f"{way}.{workload}", peer="", at_most=1.1)
        for way in ("ftps", "local")
        for workload in ("one-file", "small-files", "session")
    ),
)


def summaries(runs: Iterable[Run]) -> list[Summary]:
    """One for each contender in each case, in the order of their first runs."""
    together: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        together.setdefault((run.case, run.contender), []).append(run)
    return [_summary(some) for some in together.values()]


def _summary(runs: Sequence[Run]) -> Summary:
    # A stopped run says only "at least so long"; mixed with others it decides.
    counted = [run for run in runs if run.stopped] or list(runs)
    names = {name: None for run in runs for name in run.inside}
    return Summary(
        case=runs[0].case,
        contender=runs[0].contender,
        verifies=runs[0].verifies,
        runs=len(runs),
        seconds=statistics.median(run.seconds for run in counted),
        least=min(run.seconds for run in counted),
        most=max(run.seconds for run in counted),
        cpu_seconds=statistics.median(run.cpu_seconds for run in counted),
        peak_bytes=max(run.peak_bytes for run in runs),
        stopped=any(run.stopped for run in runs),
        inside={name: statistics.median(run.inside.get(name, 0.0) for run in runs) for name in names},
    )


def ratio(ours: Summary, peer: Summary) -> float:
    return ours.seconds / peer.seconds


def judge(found: Sequence[Summary], bars: Iterable[Bar] = BARS) -> list[Judged]:
    """Each bar, and the memory of all our runs."""
    by_name = {(summary.case, summary.contender): summary for summary in found}
    judged = [_judge(bar, by_name.get((bar.case, OURS)), _peer(bar, found)) for bar in bars]
    peaks = [summary.peak_bytes for summary in found if summary.contender == OURS]
    peak = max(peaks, default=None)
    judged.append(
        Judged(
            what="peak memory, all cases",
            against="bytes",
            at_most=MEMORY_BAR,
            value=peak,
            met=None if peak is None else peak < MEMORY_BAR,
        )
    )
    return judged


def _peer(bar: Bar, found: Sequence[Summary]) -> Summary | None:
    if bar.peer:
        fitting = [s for s in found if s.case == bar.case and s.contender == bar.peer]
    else:
        fitting = [s for s in found if s.case == bar.case and s.verifies and s.contender != OURS]
    # One that was stopped is no yardstick beside one that was not.
    return min(fitting, key=lambda summary: (summary.stopped, summary.seconds), default=None)


def _judge(bar: Bar, ours: Summary | None, peer: Summary | None) -> Judged:
    against = peer.contender if peer else bar.peer or "the best that verifies"
    if ours is None or peer is None:
        return Judged(what=bar.case, against=against, at_most=bar.at_most, value=None, met=None)
    value = ratio(ours, peer)
    met: bool | None = value <= bar.at_most
    if ours.stopped:
        met = False if value > bar.at_most and not peer.stopped else None
    elif peer.stopped and not met:
        met = None
    return Judged(what=bar.case, against=against, at_most=bar.at_most, value=value, met=met)
