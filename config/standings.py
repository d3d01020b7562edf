"""Which limit of bandwidth holds at each lab machine now, as a process of this machine sees it."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from config import wiring
from config.sections import Settings

if TYPE_CHECKING:
    from transfer.bandwidth import Standing
    from transfer.ledger import Ledger


def standings(settings: Settings, ledger: "Ledger", labs: Iterable[str]) -> "list[tuple[str, Standing]]":
    """The limit in force at these labs' machines, by the lab's name."""
    guest = wiring.guest(settings, ledger)
    return [(name, guest.standing(settings.labs[name].repository)) for name in labs]
