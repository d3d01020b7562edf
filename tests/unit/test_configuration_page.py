"""docs/configuration.md is complete and true: every key with its default, and an example that loads."""

import re
import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel

from config import settings
from config.guest import Guest
from config.schedule import LabSchedule
from config.sections import Lab
from config.settings import load
from transfer.transports.registry import KINDS, options_model

PAGE = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")
SECTIONS: dict[str, type[BaseModel]] = {
    **{f"### `[{name}]`": model for name, model in settings._SECTIONS.items()},
    "### `[labs.<name>]`": Lab,
    "### `[labs.<name>.schedule]`": LabSchedule,
    "### `[labs.<name>.guest]`": Guest,
    **{f'#### `transport = "{kind}"`': options_model(kind) for kind in KINDS},
}


def documented(heading: str) -> dict[str, str]:
    """The keys and defaults of the table below `heading`."""
    _, found, after = PAGE.partition(f"\n{heading}\n")
    assert found, f"docs/configuration.md has no heading {heading}"
    section = re.split(r"\n#+ ", after)[0]
    return dict(re.findall(r"^\| `(\w+)` \| (.+?) \| .+ \|$", section, re.MULTILINE))


@pytest.mark.parametrize("heading", SECTIONS)
def test_every_key_is_documented_and_no_other(heading: str) -> None:
    assert documented(heading).keys() == SECTIONS[heading].model_fields.keys()


@pytest.mark.parametrize(
    ("heading", "key"), [(heading, key) for heading, model in SECTIONS.items() for key in model.model_fields]
)
def test_every_default_is_the_one_documented(heading: str, key: str) -> None:
    field, said = SECTIONS[heading].model_fields[key], documented(heading)[key]

    if field.is_required():
        assert said == "*required*"
    elif field.default_factory is not None:
        assert said.startswith("`")
    elif field.default is None:
        assert said == "*none*"
    elif isinstance(field.default, str):
        assert said == f"`{field.default}`"
    else:
        assert tomllib.loads(f"x = {said.strip('`')}")["x"] == field.default


def test_the_example_loads(tmp_path: Path) -> None:
    example = PAGE.split("```toml\n")[1].split("```")[0]
    secret = tmp_path / "password"
    secret.write_text("hunter2")
    secret.chmod(0o600)
    file = tmp_path / "config.toml"
    file.write_text(example.replace("/etc/alyx-transfer/alyx-password", secret.as_posix()))

    assert load(file, {}).labs.keys() == {"cortexlab", "hoferlab"}


def test_every_transport_is_named() -> None:
    row = next(line for line in PAGE.splitlines() if line.startswith("| `transport` |"))

    for kind in KINDS:
        assert f"`{kind}`" in row
