"""The demo's watching: when it is over, and how seldom it speaks."""

import pytest

from cli import demo_watching
from cli.demo_watching import Standing, _Lines


def test_waiting_and_ended_are_everything() -> None:
    seen = Standing((("abandoned", 1), ("held", 2), ("recorded", 3), ("sent", 4)))
    assert (seen.ended, seen.waiting, seen.recorded) == (6, 4, 3)


def test_without_a_terminal_a_line_every_few_seconds(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(demo_watching.time, "monotonic", lambda: now)
    lines = _Lines(files=100, size=1000)
    for tick in range(100):
        now = tick / 10
        lines(Standing((("recorded", tick),), there=tick * 10))
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 3
    assert said[0] == "   3 s: 30 of 100 files recorded, 300 B of 1000 B at the store, 100 B/s (30 recorded)"


def test_nothing_new_is_not_said_again(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(demo_watching.time, "monotonic", lambda: now)
    lines = _Lines(files=100, size=1000)
    for tick in range(100):
        now = tick / 10
        lines(Standing((("recorded", 1),), there=10))
    assert len(capsys.readouterr().err.splitlines()) == 1
