"""What every page and every call of the API is given."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request

from config.rounds import sweeps
from config.sections import Settings
from transfer.ledger import Ledger
from transfer.ledger.endpoints import ALYX
from transfer.ledger.finding import Target, of_config


@dataclass(frozen=True, kw_only=True)
class Board:
    """The config, the ledger, and how to ring the workers: by a task's name and its arguments; False: nobody hears."""

    settings: Settings
    ledger: Ledger
    ring: Callable[..., bool]
    version: str

    def ring_for_a_look(self) -> bool:
        """Have every worker look what is due; False when the broker does not answer."""
        rung = [self.ring(one.task, *one.arguments, queue=one.queue) for one in sweeps(self.settings)]
        return all(rung)

    @property
    def roots(self) -> Mapping[str, Path]:
        """Each lab's data folder, by the name of its repository."""
        return {lab.repository: lab.root for lab in self.settings.labs.values()}

    @property
    def endpoint_names(self) -> Sequence[str]:
        """Every place of the config that may be paused, Alyx among them."""
        return [ALYX, *self.roots, *self.settings.stores]

    @property
    def known(self) -> Sequence[Target]:
        """The labs and places of the config, which the ledger may not have seen yet."""
        return of_config(self.settings.labs, self.endpoint_names)


def board_of(request: Request) -> Board:
    """The board of the application that was asked."""
    found = request.app.state.board
    assert isinstance(found, Board)
    return found


TheBoard = Annotated[Board, Depends(board_of)]
"""A parameter of a page or of a call."""
