"""`pull`: bring files back from the central store, verified by Alyx's md5.

Needs Alyx and a way to read the store; no ledger, no worker, no lab.  A name on the command line that fits nothing
is refused before anything moves; after that one failed file stops no other.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from enum import StrEnum
from functools import partial
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import failures, output
from cli.failures import Exit
from cli.invocation import of

if TYPE_CHECKING:
    from config.settings import Settings
    from transfer.catalog.base import Catalog
    from transfer.retrieval import Found, Plan, Result
    from transfer.transports.base import Moved, Readable

_SHOWN = 50  # files to a table; of more, those that are right are only counted


class Via(StrEnum):
    """How the stored files are read."""

    HTTP = "http"
    STORE = "store"


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("pull")(pull)


def pull(
    context: typer.Context,
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="SESSION|DATASET...",
            help="subject/YYYY-MM-DD/NNN, a file of it, or the uuid of a session or dataset.",
        ),
    ],
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="The folder that will hold the subjects.")],
    via: Annotated[
        Via | None,
        typer.Option("--via", help="By the store's own transport or over HTTP; else whichever there is."),
    ] = None,
    store: Annotated[
        str | None, typer.Option("--store", metavar="NAME", help="The repository to read; else the config's.")
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="GLOB", help="Only files whose name or path in the session fits."),
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace files that differ.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would come.")] = False,
    as_json: output.Json = False,
) -> None:
    """Bring files back from the central store and verify each by its registered md5.

    What stands there already is not fetched again; what was broken off goes on where it stopped.
    """
    from config import wiring
    from transfer import retrieval

    settings = of(context).settings()
    stores = [store] if store else list(settings.stores)
    with closing(wiring.catalog(settings)) as catalog:
        datasets = retrieval.named(catalog, [_below_a_lab(settings, name) for name in names])
        plan = retrieval.plan(datasets, stores=stores, only=only or ())
        root = to.absolute()
        reader = partial(_reader, settings, catalog, via)
        with bar(sum(one.size or 0 for one in plan.wanted), quiet=as_json) as moved:
            found = retrieval.look(plan.wanted, root, replace=replace, moved=moved)
            retrieval.require_space(found.missing, root)
            results = list(found.ended)
            if not dry_run and found.missing:
                with retrieval.Folder(root) as folder:
                    results += retrieval.fetch(
                        found.missing, folder, open_reader=reader, replace=replace, moved=moved
                    )
    raise typer.Exit(_say(plan, found, results, root, dry_run=dry_run, as_json=as_json))


def _below_a_lab(settings: "Settings", name: str) -> str:
    """A path below a lab's data folder as Alyx knows it; anything else as it is."""
    path = PurePath(name)
    for lab in settings.labs.values():
        if path.is_absolute() and path.is_relative_to(lab.root):
            return path.relative_to(lab.root).as_posix()
    return name


def _reader(
    settings: "Settings", catalog: "Catalog", via: Via | None, store: str
) -> "AbstractContextManager[Readable]":
    """What was asked for; else the store's own transport where it can read, else HTTP."""
    from config import wiring
    from transfer.errors import NothingFound

    readable = via is not Via.HTTP and wiring.can_read(settings, store)
    if via is Via.STORE and not readable:
        do = "Read it with --via http."
        raise NothingFound("the config has no transport that reads this store", to=store, do=do)
    return wiring.reader(settings, catalog, store, via_web=not readable)


@contextmanager
def bar(total: int, *, quiet: bool) -> "Iterator[Moved]":
    """A bar of the bytes as they go by, on a terminal only."""
    import sys

    if quiet or not sys.stderr.isatty():
        yield lambda _count: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), refresh_per_second=4) as shown:
        task = shown.add_task("looking and reading", total=total or None)
        yield lambda count: shown.update(task, advance=count)


# ---- how it ended


def verdict(plan: "Plan", results: "Sequence[Result]") -> Exit:
    """0 when every file asked for is here and verified; failures that agree give their code, all else 1."""
    from transfer.retrieval import Outcome

    errors = [one.error for one in plan.unavailable]
    errors += [one.error for one in results if one.error is not None]
    unverified = any(one.outcome is Outcome.UNVERIFIED for one in results)
    if not errors:
        return Exit.NOT_DONE if unverified or not results else Exit.FINE
    return Exit.NOT_DONE if unverified else failures.common_code(errors)


def _say(
    plan: "Plan", found: "Found", results: "Sequence[Result]", root: Path, *, dry_run: bool, as_json: bool
) -> Exit:
    rows = _rows(plan, found, results, dry_run=dry_run)
    counts = Counter(row["outcome"] for row in rows)
    nothing_to_say = dry_run and not any(row["code"] for row in rows)
    code = Exit.FINE if nothing_to_say and rows else verdict(plan, results)
    if as_json:
        output.document(
            {"folder": root, "files": rows, "counts": counts, "dry_run": dry_run, "exit_code": int(code)}
        )
        return code
    shown = (
        rows if len(rows) <= _SHOWN else [row for row in rows if row["outcome"] not in ("pulled", "present")]
    )
    if shown or not rows:
        output.listing(shown, _COLUMNS, as_json=False, empty="Alyx has no file that fits.")
    if rows:
        told = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
        output.say(output.visible(f"{len(rows)} files: {told}. Folder: {root}"))
    return code


_COLUMNS = (
    output.Column("path", "file"),
    output.Column("outcome", "outcome"),
    output.Column("size", "size", output.size, right=True),
    output.Column("remark", "remark"),
)


def _rows(
    plan: "Plan", found: "Found", results: "Sequence[Result]", *, dry_run: bool
) -> list[dict[str, Any]]:
    """A row for each file, by path."""
    from transfer.retrieval import Outcome

    rows = []
    for one in results:
        remark = "Alyx has no md5 to compare it with" if one.outcome is Outcome.UNVERIFIED else None
        rows.append(_row(one.wanted, str(one.outcome), one.error, remark))
    if dry_run:
        rows += [_row(one, "would come", None, None) for one in found.missing]
    for gone in plan.unavailable:
        rows.append(_row(gone, "failed", gone.error, None))
    return sorted(rows, key=lambda row: str(row["path"]))


def _row(one: Any, outcome: str, error: Any, remark: str | None) -> dict[str, Any]:
    return {
        "path": one.path,
        "dataset": one.dataset,
        "outcome": outcome,
        "size": getattr(one, "size", None),
        "md5": getattr(one, "md5", None),
        "code": error.code if error else None,
        "remark": failures.sentence(error) if error else remark,
    }
