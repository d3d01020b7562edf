"""What `push --dry-run` says: which files would move, how much that is, about how long it would take, and what would
stop it, all problems at once.

Nothing is moved, hashed or written, not even a row of the ledger; where there is no ledger yet, none is made.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from cli import failures, output
from cli.failures import Exit
from transfer.errors import TransferError

if TYPE_CHECKING:
    from config.sections import Settings
    from transfer.catalog.base import Catalog
    from transfer.forecast import Forecast
    from transfer.ledger import Ledger
    from transfer.model import Lab, SessionKey
    from transfer.preflight import Report

_ALIKE = 5  # problems of one kind that are said one by one


def say_plans(settings: "Settings", wanted: "Sequence[tuple[Lab, SessionKey]]", *, as_json: bool) -> Exit:
    """Say it of each session; one that could not be pushed does not keep the others from being told."""
    from config import wiring
    from transfer.catalog.types import KnownTypes
    from transfer.forecast import forecast

    plans: dict[SessionKey, Forecast] = {}
    stopped: list[TransferError] = []
    ledger = _ledger_to_read(settings)
    with closing(wiring.catalog(settings)) as catalog:
        types = KnownTypes(catalog)()
        for lab, key in wanted:
            try:
                plans[key] = forecast(ledger, catalog, types, lab, key)
            except TransferError as error:
                stopped.append(error)
        found = _obstacles(settings, ledger, catalog, {key: lab for lab, key in wanted}, plans)
    ledger.engine.dispose()
    if as_json:
        told = {"problems": [error.sentence for error in found.problems], "notes": list(found.notes)}
        output.document([plan.as_json() | told for plan in plans.values()])
    else:
        for plan in plans.values():
            _say_plan(plan)
        for note in found.notes:
            output.say(output.visible(f"note: {note}"))
    stopped += found.problems
    _complain(stopped)
    code = failures.common_code(stopped)
    return Exit.HELD if code is Exit.FINE and any(plan.held for plan in plans.values()) else code


def _obstacles(
    settings: "Settings",
    ledger: "Ledger",
    catalog: "Catalog",
    labs: "Mapping[SessionKey, Lab]",
    plans: "Mapping[SessionKey, Forecast]",
) -> "Report":
    """What would stop these plans, a store's space asked for all of them together."""
    from transfer import preflight

    if not plans:
        return preflight.Report()
    return preflight.together(
        [
            preflight.of_clocks(ledger, catalog),
            *(preflight.of_session(plan) for plan in plans.values()),
            preflight.of_names(ledger, list(plans.values())),
            *(
                _of_store(
                    settings, ledger, store, {key: lab for key, lab in labs.items() if key in plans}, plans
                )
                for store in sorted({labs[key].store for key in plans})
            ),
        ]
    )


def _of_store(
    settings: "Settings",
    ledger: "Ledger",
    store: str,
    labs: "Mapping[SessionKey, Lab]",
    plans: "Mapping[SessionKey, Forecast]",
) -> "Report":
    from config import wiring
    from transfer.preflight import known, of_store

    keys = [key for key, lab in labs.items() if lab.store == store]
    return of_store(
        store,
        [plans[key] for key in keys],
        partial(wiring.transport, settings, store),
        promised=known.promised(ledger, store, besides={key.path for key in keys}),
        sources={labs[key].repository for key in keys},
    )


def _complain(problems: "Sequence[TransferError]") -> None:
    """A sentence each, as long as few are of one kind; the files among them were all listed by name."""
    kinds = Counter(problem.code for problem in problems)
    said: Counter[str] = Counter()
    for problem in problems:
        said[problem.code] += 1
        if said[problem.code] <= _ALIKE:
            output.complain(output.visible(failures.sentence(problem)))
        elif said[problem.code] == kinds[problem.code]:
            output.complain(f"[{problem.code}] and {kinds[problem.code] - _ALIKE} more of this kind.")


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
    if not plan.moving and not plan.staying and not plan.arrived:
        output.say(
            '  no file of it is known to move; with work = "alyx" only what Alyx lists as missing at the store does'
        )
    for path, size in plan.moving:
        output.say(output.visible(f"  {path}  {output.size(size)}"))
    for path, reason in plan.staying:
        output.say(output.visible(f"  stays: {path}: {reason}"))
