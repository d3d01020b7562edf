"""What a command prints: for people, for pipes, for programs; whatever the file names are."""

import io
import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli import output
from cli.output import Column, age, duration, listing, size, text, visible
from transfer.status import Status

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
COLUMNS = (Column("path", "file"), Column("bytes", "size", show=size, right=True))


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def shown(rows: list[dict[str, object]], *, as_json: bool = False, stream: io.StringIO | None = None) -> str:
    out = stream or io.StringIO()
    listing(rows, COLUMNS, as_json=as_json, empty="nothing is held", out=out)
    return out.getvalue()


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (None, "-"),
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (17 * 1024**3, "17.0 GiB"),
    ],
)
def test_bytes_are_written_for_people(count: int | None, words: str) -> None:
    assert size(count) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "-"),
        (0, "0 s"),
        (0.4, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (3725, "1 h 2 min"),
        (-90, "-1 min 30 s"),
    ],
)
def test_lengths_of_time_are_written_for_people(seconds: float | None, words: str) -> None:
    assert duration(seconds) == words


def test_an_age_tells_the_past_from_the_future() -> None:
    assert age(NOON - timedelta(days=3, hours=4, minutes=5), NOON) == "3 d 4 h"
    assert age(NOON + timedelta(minutes=5), NOON) == "in 5 min"
    assert age(None, NOON) == "-"


def test_values_are_written_for_people() -> None:
    assert [text(v) for v in (None, "", True, Status.SENT, NOON, 3)] == [
        "-",
        "-",
        "yes",
        "sent",
        "2026-03-04 12:00Z",
        "3",
    ]


def test_a_pipe_gets_aligned_text() -> None:
    rows: list[dict[str, object]] = [
        {"path": "a.npy", "bytes": 10},
        {"path": "alf/spikes.npy", "bytes": 2048},
    ]

    assert shown(rows) == "file               size\na.npy              10 B\nalf/spikes.npy  2.0 KiB\n"


def test_a_program_gets_every_value_untouched() -> None:
    rows: list[dict[str, object]] = [
        {
            "path": PurePosixPath("a\x1b[31m"),
            "bytes": 2048,
            "at": NOON,
            "took": timedelta(seconds=90),
            "status": Status.SENT,
            "id": UUID(int=1),
            "tags": {"b", "a"},
        }
    ]

    assert json.loads(shown(rows, as_json=True)) == [
        {
            "path": "a\x1b[31m",
            "bytes": 2048,
            "at": "2026-03-04T12:00:00+00:00",
            "took": 90.0,
            "status": "sent",
            "id": "00000000-0000-0000-0000-000000000001",
            "tags": ["a", "b"],
        }
    ]


def test_nothing_is_said_in_words_and_is_an_empty_list_for_programs() -> None:
    assert shown([]) == "nothing is held\n"
    assert json.loads(shown([], as_json=True)) == []


@given(st.text(alphabet=st.characters(exclude_categories=[])))
def test_no_name_can_command_a_terminal(name: str) -> None:
    """Whatever a file is called, what is shown has no control character and stays on one line."""
    assert visible(name).isprintable()
    table = shown([{"path": name, "bytes": 1}])
    assert len(table.splitlines()) == 2


@given(st.text(alphabet="[]/boldred \\:smile", min_size=1))
def test_no_name_is_read_as_markup(name: str) -> None:
    """Every letter of `[bold]x[/bold]` is shown, on a terminal too."""
    wide = "".join(shown([{"path": f"<{name}>", "bytes": 1}], stream=Terminal()).split())

    assert "".join(f"<{name}>".split()) in wide


def test_a_terminal_that_lacks_a_letter_does_not_end_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))

    output.say("µ-scope")
    listing([{"path": "µ", "bytes": 1}], COLUMNS, as_json=False, empty="")

    assert b"\\xb5-scope" in raw.getvalue()
