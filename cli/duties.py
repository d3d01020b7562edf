"""The options by which a machine of a fleet says what it takes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from transfer.errors import NothingFound

if TYPE_CHECKING:
    from config.queues import Duty
    from config.sections import Settings

Labs = Annotated[
    list[str] | None,
    typer.Option("--lab", metavar="LAB", help="This lab's own work only, on the machine with its disk."),
]
Central = Annotated[
    bool, typer.Option("--central", help="What needs no lab's disk: Globus, reconcile, the stores' rounds.")
]


def duty_of(settings: "Settings", labs: Sequence[str], central: bool) -> "Duty | None":
    """What the options say; None for everything.  Raises `NothingFound` for a lab that the config has not."""
    from config.queues import Duty

    for name in labs:
        if name not in settings.labs:
            known = ", ".join(settings.labs) or "there is none"
            raise NothingFound("the config has no such lab", to=name, do=f"Its labs: {known}.")
    return Duty(labs=list(dict.fromkeys(labs)), central=central) if labs or central else None
