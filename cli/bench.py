"""What the checks of `alyx-transfer doctor` share: how one is written down, and each connection once."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Literal

from config import wiring
from config.queues import Duty
from config.sections import Lab, Settings, Store
from transfer.catalog.base import Catalog
from transfer.transports.base import StreamingTransport
from transfer.transports.delegated import DelegatedTransport

Per = Literal["installation", "lab", "store"]


class Note(Exception):
    """Worth knowing, no problem."""


@dataclass(slots=True)
class Bench:
    """What the checks share: the settings, and each connection once.  `open` closes them all."""

    settings: Settings
    open: ExitStack
    _catalog: Catalog | None = None
    _transports: dict[str, StreamingTransport | DelegatedTransport] = field(default_factory=dict)

    @property
    def catalog(self) -> Catalog:
        if self._catalog is None:
            self._catalog = wiring.catalog(self.settings)
            self.open.callback(self._catalog.close)
        return self._catalog

    def transport(self, store: str) -> StreamingTransport | DelegatedTransport:
        if store not in self._transports:
            made = wiring.transport(self.settings, store)
            self.open.enter_context(made)
            self._transports[store] = made
        return self._transports[store]

    def lab(self, name: str) -> Lab:
        return self.settings.labs[name]

    def store(self, name: str) -> Store:
        return self.settings.stores[name]


@dataclass(frozen=True, slots=True)
class Check:
    """One row of the table.

    `needs` names the checks (of the same subject or of the installation) that it builds on.
    """

    name: str
    per: Per
    look: Callable[[Bench, str], str]
    needs: tuple[str, ...] = ()
    at_the_disk: bool = False  # makes sense only on the machine with the lab's disk


def subjects(settings: Settings, check: Check, duty: Duty) -> Iterator[str]:
    """The names a check is made for here, by what this machine takes; `''` for the installation."""
    match check.per:
        case "installation":
            yield ""
        case "lab":
            ours = settings.labs if duty.central and not check.at_the_disk else duty.labs
            yield from ours
        case "store":
            here = settings.stores if duty.central else {settings.labs[lab].store for lab in duty.labs}
            yield from (store for store in settings.stores if store in here)
