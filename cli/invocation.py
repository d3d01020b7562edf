"""What the global options of this call said, for the commands.

A command asks `of(context).settings()`; the config is read then and not before, so that `--help`, `--version`
and `init` work without one.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from config.settings import Settings


@dataclass(frozen=True, slots=True)
class Invocation:
    """`config` is what `--config` named, None if it was not given."""

    config: Path | None = None
    verbose: bool = False
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)

    def settings(self) -> "Settings":
        """Read the config and set up the logs.  Raises `ConfigProblems`.

        A command speaks through its output, so only warnings are logged; with `--verbose` the log is as
        the config says.
        """
        from config import logs
        from config.settings import load

        settings = load(self.config, self.environ)
        quiet = settings.logs.model_copy(update={"level": "warning"})
        logs.configure(settings.logs if self.verbose or settings.logs.level == "error" else quiet)
        return settings


def of(context: typer.Context) -> Invocation:
    """The invocation a command belongs to."""
    found = context.find_object(Invocation)
    return found if found is not None else Invocation()
