"""What the commands of a person need: the config, and the ledger with the person's name in its events."""

import getpass
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cli import invocation

if TYPE_CHECKING:
    from config.settings import Settings
    from transfer.ledger import Ledger
    from transfer.ledger.finding import Kind, Target


@dataclass(frozen=True, slots=True)
class Desk:
    """The config and the open ledger."""

    settings: "Settings"
    ledger: "Ledger"

    def find(self, words: str, *kinds: "Kind") -> "Target":
        """What a person named, of these kinds or of any.  Raises `NothingFound`."""
        from transfer.ledger.finding import ALL_KINDS, find, of_config

        known = of_config(self.settings.labs, self.endpoint_names)
        return find(self.ledger, words, roots=self.roots, kinds=kinds or ALL_KINDS, known=known)

    @property
    def roots(self) -> dict[str, Path]:
        """Each lab's data folder, by the name of its repository."""
        return {lab.repository: lab.root for lab in self.settings.labs.values()}

    @property
    def endpoint_names(self) -> Sequence[str]:
        """Every place of the config that may be paused, Alyx among them."""
        from transfer.ledger.endpoints import ALYX

        return [ALYX, *self.roots, *self.settings.stores]


@contextmanager
def at_desk(context: typer.Context) -> Iterator[Desk]:
    """The desk of this call, closed afterwards."""
    from config import wiring

    settings = invocation.of(context).settings()
    ledger = wiring.ledger(settings)
    ledger.actor = person()
    try:
        yield Desk(settings, ledger)
    finally:
        ledger.engine.dispose()


def person() -> str:
    """Who acts, as the events name them: `person:<user of this machine>`."""
    try:
        return f"person:{getpass.getuser()}"
    except (KeyError, OSError):  # an account without a name, as containers have
        return "person:somebody"
