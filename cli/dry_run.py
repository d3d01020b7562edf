"""What `push --dry-run` says: which files would move, how much that is, and about how long it would take.

Nothing is moved, hashed or written, not even a row of the ledger; where there is no ledger yet, none is made.
"""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from cli import failures, output
from cli.failures import Exit
from transfer.errors import TransferError

if TYPE_CHECKING:
    from config.sections import Settings
    from transfer.forecast import Forecast
    from transfer.ledger import Ledger
    from transfer.model import Lab, SessionKey


def say_plans(settings: "Settings", wanted: "Sequence[tuple[Lab, SessionKey]]", *, as_json: bool) -> Exit:
    """Say it of each session; one that could not be pushed does not keep the others from being told."""
    from config import wiring
    from transfer.catalog.types import KnownTypes
    from transfer.forecast import forecast

    plans: list[Forecast] = []
    stopped: list[TransferError] = []
    ledger = _ledger_to_read(settings)
    with closing(wiring.catalog(settings)) as catalog:
        types = KnownTypes(catalog)()
        for lab, key in wanted:
            try:
                plans.append(forecast(ledger, catalog, types, lab, key))
            except TransferError as error:
                stopped.append(error)
    ledger.engine.dispose()
    if as_json:
        output.document([plan.as_json() for plan in plans])
    else:
        for plan in plans:
            _say_plan(plan)
    for reason in stopped:
        output.complain(output.visible(failures.sentence(reason)))
    return failures.common_code(stopped)


def _ledger_to_read(settings: "Settings") -> "Ledger":
    """The ledger, or an empty one in memory where there is none yet: asking what would move makes no file."""
    from sqlalchemy import make_url

    from config import wiring
    from transfer.ledger import open_ledger

    url = make_url(settings.ledger.url)
    missing = url.get_backend_name() == "sqlite" and not Path(url.database or "").exists()
    return open_ledger("sqlite://") if missing else wiring.ledger(settings)


def _say_plan(plan: "Forecast") -> None:
    how = "at the pace of the last transfers" if plan.measured else "if the line carries 20 MB/s"
    arrived = f"; {plan.arrived} are there already" if plan.arrived else ""
    told = "nothing would move"
    if plan.moving:
        files = "1 file" if len(plan.moving) == 1 else f"{len(plan.moving)} files"
        time = output.duration(max(plan.seconds, 1))
        told = f"{files}, {output.size(plan.bytes)} would move, in about {time} {how}"
    output.say(output.visible(f"{plan.session}: {told}{arrived}"))
    for path, size in plan.moving:
        output.say(output.visible(f"  {path}  {output.size(size)}"))
    for path, reason in plan.staying:
        output.say(output.visible(f"  stays: {path}: {reason}"))
