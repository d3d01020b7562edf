"""Packages that only some commands need: what is missing is said before a command begins, and how to install it."""

from collections.abc import Iterable
from importlib.util import find_spec

import typer

from cli import output
from cli.failures import Exit


def need(what: str, packages: Iterable[str], *extras: str) -> None:
    """End here when one of `packages` is not installed; `extras` of this project bring them."""
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        output.complain(
            f"{what} needs packages that are not installed ({', '.join(missing)}). "
            f"In the clone of alyx-transfer, run: scripts/venv {' '.join(extras)}"
        )
        raise typer.Exit(Exit.USAGE)
