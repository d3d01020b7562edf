"""Reads what deploy/ and docker-compose.yml say: services as they are after merging, and every command line in them."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
import yaml

from cli.main import application

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
ENTRYPOINT = "alyx-transfer"  # of our image: Dockerfile
OURS = re.compile(r"alyx-transfer(-demo)?:")


def compose(file: Path = COMPOSE) -> dict[str, Any]:
    """The file with its anchors and merges carried out; variables stand as they are written."""
    read: dict[str, Any] = yaml.safe_load(file.read_text("utf-8"))
    return read


def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = compose()["services"]
    return found


def is_ours(service: dict[str, Any]) -> bool:
    return bool(OURS.match(service["image"]))


def settings_of(unit: Path) -> list[tuple[str, str]]:
    """Key and value of each line of a unit, in order; sections are left out."""
    lines = [line for line in unit.read_text("utf-8").splitlines() if re.match(r"[A-Za-z]+=", line)]
    return [(key, value) for key, _, value in (line.partition("=") for line in lines)]


def command_lines() -> Iterator[tuple[str, list[str]]]:
    """Where it stands, and the words after `alyx-transfer`, of every command that a recipe starts."""
    for name, service in services().items():
        if is_ours(service) and "entrypoint" not in service:
            yield f"docker-compose.yml: {name}", [str(word) for word in service["command"]]
    for unit in UNITS:
        for line in dict(settings_of(unit))["ExecStart"].splitlines():
            program, *words = shlex.split(line.replace("%i", "cortexlab"))
            assert program.endswith(f"/{ENTRYPOINT}"), f"{unit.name} starts something else: {program}"
            yield unit.name, words
    yield from _of_windows()


def _of_windows() -> Iterator[tuple[str, list[str]]]:
    for script in sorted((DEPLOY / "windows").glob("*.ps1")):
        for line in script.read_text("utf-8").replace("`\n", " ").splitlines():
            if found := re.search(r'alyx-transfer\.exe"\) (.+)$', line):
                yield script.name, _without_variables(found[1])
            if found := re.search(r'-FilePath \$alyxTransfer -ArgumentList "(.+?)" +-NoNewWindow', line):
                yield script.name, _without_variables(found[1].replace('`"', '"'))


def _without_variables(words: str) -> list[str]:
    return shlex.split(re.sub(r"\$\w+", "value", words))


def complaint(words: list[str]) -> str | None:
    """What the command line says against these words, None if nothing; nothing is run."""
    group: Any = typer.main.get_command(application())
    try:
        context = group.make_context(ENTRYPOINT, list(words))
        name, command, rest = group.resolve_command(context, [*context._protected_args, *context.args])
        command.make_context(name, rest, parent=context)
    except typer.Exit:
        return None  # --help and --version
    except Exception as refused:
        return f"alyx-transfer {shlex.join(words)}: {getattr(refused, 'message', refused)}"
    return None
