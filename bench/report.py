"""What was measured, as text for a person and as JSON for a program."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bench.contenders import OURS
from bench.figures import Judged, Run, Summary, judge, ratio, summaries

NOT_VERIFIED = "not verified"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """Everything a report is made of.  `commands`: by way and contender, with short names for the folders."""

    runs: Sequence[Run]
    failures: Sequence[str]
    commands: Mapping[str, Mapping[str, Sequence[str]]]
    machine: Mapping[str, str]
    checks: Mapping[str, Any]
    settings: Mapping[str, str]


def as_json(account: Account) -> dict[str, Any]:
    """Bars and summaries are derived from the runs; they are there for whoever does not want to."""
    found = summaries(account.runs)
    return {
        "machine": dict(account.machine),
        "settings": dict(account.settings),
        "checks": dict(account.checks),
        "bars": [dataclasses.asdict(judged) for judged in judge(found)],
        "summaries": [dataclasses.asdict(summary) for summary in found],
        "runs": [dataclasses.asdict(run) for run in account.runs],
        "failures": list(account.failures),
        "commands": account.commands,
    }


def as_text(account: Account) -> str:
    found = summaries(account.runs)
    facts = {**account.machine, **account.settings, **account.checks}
    parts = [
        *(f"{name}: {value}" for name, value in facts.items()),
        *(_case(case, [s for s in found if s.case == case]) for case in dict.fromkeys(s.case for s in found)),
        *(f"\nFAILED {failure}" for failure in account.failures),
        "\nBars\n" + table(("case", "ours against", "at most", "measured", ""), map(_bar, judge(found))),
        "\nCommand lines\n" + "\n".join(_commands(account.commands)),
    ]
    return "\n".join(parts)


def _case(case: str, found: Sequence[Summary]) -> str:
    ours = next((summary for summary in found if summary.contender == OURS), None)
    rows = [_row(summary, ours) for summary in sorted(found, key=lambda s: (s.stopped, s.seconds))]
    head = ("", "median s", "least-most", "ours / this", "CPU s", "peak MB", "runs", "verifies")
    text = f"\n{case}\n" + table(head, rows)
    if ours is not None and ours.inside:
        spent = ", ".join(f"{name} {seconds:.2f}" for name, seconds in ours.inside.items())
        text += f"\n  {OURS}, seconds: {spent}"
    return text


def _row(summary: Summary, ours: Summary | None) -> tuple[str, ...]:
    seconds = f"{summary.seconds:.2f}"
    compared = f"{ratio(ours, summary):.2f}" if ours and not ours.stopped else ""
    if summary.stopped:
        seconds, compared = f"stopped after {summary.seconds:.0f} s", compared and f"< {compared}"
    return (
        summary.contender,
        seconds,
        f"{summary.least:.2f}-{summary.most:.2f}",
        compared,
        f"{summary.cpu_seconds:.2f}",
        f"{summary.peak_bytes / 1e6:.0f}",
        str(summary.runs),
        summary.verifies or NOT_VERIFIED,
    )


def _bar(judged: Judged) -> tuple[str, ...]:
    verdict = {
        True: "met",
        False: "MISSED",
        None: "not measured" if judged.value is None else "cannot be said",
    }
    if judged.against == "bytes":
        value = "" if judged.value is None else f"{judged.value / 1e6:.0f} MB"
        return (judged.what, "", f"{judged.at_most / 1e6:.0f} MB", value, verdict[judged.met])
    value = "" if judged.value is None else f"{judged.value:.2f}"
    return (judged.what, judged.against, f"{judged.at_most:.2f}", value, verdict[judged.met])


def _commands(commands: Mapping[str, Mapping[str, Sequence[str]]]) -> Iterable[str]:
    for case, by_contender in commands.items():
        yield f"  {case}"
        for contender, lines in by_contender.items():
            for line in lines:
                yield f"    {contender}: {line}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Left-aligned columns, two blanks apart."""
    every = [tuple(head), *map(tuple, rows)]
    widths = [max(len(row[column]) for row in every) for column in range(len(head))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in every)
    return "\n".join(f"  {line}".rstrip() for line in lines)
