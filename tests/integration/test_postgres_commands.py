"""What people type, against a ledger in PostgreSQL: its sums are decimals and its sorting is another."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.main import main
from tests.integration.lab import place


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory, postgres_server: str) -> Iterator[tuple[Path, Path]]:
    """A config, and a session of it that has moved while the next one waits."""
    from tests import servers

    with (
        servers.database(postgres_server, "commands") as url,
        place(tmp_path_factory.mktemp("commands"), ledger_url=url) as lab,
    ):
        lab.furnish(sessions=2, files=3)
        config = lab.write_config()
        first, second = sorted(lab.lab_root.glob("*/*/*"))
        assert main(["--config", str(config), "push", str(first)]) == 0
        yield config, second


@pytest.mark.parametrize(
    "words",
    [
        ["push", "--dry-run", "SESSION"],
        ["status"],
        ["status", "--json"],
        ["report"],
        ["report", "--json"],
        ["held", "--json"],
        ["schedule", "--json"],
        ["bandwidth", "--json"],
        ["doctor", "--json"],
        ["verify", "--json"],
    ],
    ids=" ".join,
)
def test_a_command_that_looks_answers(
    moved: tuple[Path, Path], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    config, second = moved
    said = [str(second) if word == "SESSION" else word for word in words]
    assert main(["--config", str(config), *said]) == 0, capsys.readouterr().err
    told = capsys.readouterr().out
    assert told
    if "--json" in words:
        json.loads(told)
