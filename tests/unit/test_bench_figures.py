"""The bench's arithmetic: medians, ratios, bars.  No time is asserted anywhere."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.contenders import OURS
from bench.figures import MEMORY_BAR, Bar, Run, judge, summaries
from bench.report import Account, as_json, as_text, table

BAR = Bar(case="sftp.one-file", peer="rclone", at_most=0.7)
ANY = Bar(case="sftp.one-file", peer="", at_most=1.1)


def run(
    contender: str, seconds: float, *, stopped: bool = False, verifies: str = "md5", peak: int = 1
) -> Run:
    return Run(
        case="sftp.one-file",
        contender=contender,
        verifies=verifies,
        seconds=seconds,
        cpu_seconds=seconds / 2,
        peak_bytes=peak,
        stopped=stopped,
    )


def verdict(runs: list[Run], bar: Bar = BAR) -> tuple[float | None, bool | None]:
    first = judge(summaries(runs), [bar])[0]
    return first.value, first.met


def test_a_bar_compares_medians_not_means():
    """One slow run of ours, as on a machine that is shared, does not decide."""
    runs = [run(OURS, seconds) for seconds in (1.0, 1.0, 90.0)] + [run("rclone", 2.0)] * 3
    assert verdict(runs) == (0.5, True)


@pytest.mark.parametrize(("ours", "met"), [(0.69, True), (0.70, True), (0.71, False)])
def test_the_bar_itself_is_met(ours: float, met: bool):
    assert verdict([run(OURS, ours), run("rclone", 1.0)]) == (ours, met)


def test_what_was_not_measured_is_neither_met_nor_missed():
    assert verdict([run(OURS, 1.0)]) == (None, None)
    assert verdict([run("rclone", 1.0)]) == (None, None)


def test_a_peer_that_was_stopped_took_at_least_so_long():
    """A ratio to it is an upper bound: enough to meet a bar, not enough to miss it."""
    assert verdict([run(OURS, 10.0), run("rclone", 100.0, stopped=True)]) == (0.1, True)
    assert verdict([run(OURS, 90.0), run("rclone", 100.0, stopped=True)]) == (0.9, None)


def test_ours_stopped_never_meets_a_bar():
    assert verdict([run(OURS, 100.0, stopped=True), run("rclone", 10.0)]) == (10.0, False)
    assert verdict([run(OURS, 1.0, stopped=True), run("rclone", 10.0)]) == (0.1, None)


def test_one_stopped_run_decides_over_those_that_ended():
    (summary,) = summaries([run("rclone", 10.0), run("rclone", 30.0, stopped=True)])
    assert (summary.stopped, summary.seconds, summary.runs) == (True, 30.0, 2)


def test_only_a_peer_that_verifies_may_be_the_best():
    runs = [run(OURS, 1.0), run("fast", 0.1, verifies=""), run("slow", 4.0), run("sound", 2.0)]
    assert verdict(runs, ANY) == (0.5, True)


def test_a_stopped_peer_is_not_the_best_because_it_was_stopped_early():
    runs = [run(OURS, 5.0), run("stopped", 1.0, stopped=True), run("sound", 10.0)]
    assert verdict(runs, ANY) == (0.5, True)


@pytest.mark.parametrize(("peak", "met"), [(MEMORY_BAR - 1, True), (MEMORY_BAR, False)])
def test_memory_is_the_largest_of_all_our_runs_and_nobody_elses(peak: int, met: bool):
    runs = [run(OURS, 1.0, peak=1), run(OURS, 1.0, peak=peak), run("rclone", 1.0, peak=10 * MEMORY_BAR)]
    last = judge(summaries(runs))[-1]
    assert (last.value, last.met) == (peak, met)


@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), st.floats(0.1, 100.0)), max_size=20))
def test_a_median_lies_between_the_least_and_the_most(told: list[tuple[str, float]]):
    found = summaries(run(who, seconds) for who, seconds in told)
    assert all(summary.least <= summary.seconds <= summary.most for summary in found)
    assert sum(summary.runs for summary in found) == len(told)


def account(runs: list[Run]) -> Account:
    commands = {"sftp": {"rclone": ["rclone copy a b"]}}
    failures = ["sftp.session: lftp failed: 1"]
    return Account(
        runs=runs, failures=failures, commands=commands, machine={"machine": "m"}, checks={}, settings={}
    )


def test_the_report_says_who_verified_nothing_and_who_was_stopped():
    runs = [run(OURS, 1.0), run("lftp", 2.0, verifies=""), run("rclone", 30.0, stopped=True)]
    text = as_text(account(runs))
    assert "not verified" in text
    assert "stopped after 30 s" in text
    assert "FAILED sftp.session: lftp failed" in text
    assert "rclone: rclone copy a b" in text


def test_the_json_holds_every_run_and_every_bar():
    runs = [run(OURS, 1.0), run("rclone", 2.0)]
    told = json.loads(json.dumps(as_json(account(runs))))
    assert len(told["runs"]) == 2
    assert {"case", "seconds", "peak_bytes"} <= told["runs"][0].keys()
    assert next(bar["met"] for bar in told["bars"] if bar["against"] == "rclone") is True


@given(st.lists(st.tuples(st.text("ab ", max_size=5), st.text("xy", min_size=1, max_size=9)), max_size=5))
def test_columns_begin_in_the_same_place_in_every_line(rows: list[tuple[str, str]]):
    head, *others = table(("first", "B"), rows).split("\n")
    where = head.index("B")
    assert [line[where:] for line in others] == [row[1] for row in rows]
