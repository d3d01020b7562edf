"""`verify`: read stored copies whole and compare them with what was proved and with what Alyx says.

Needs no worker.  A copy that is wrong at the store is withdrawn from Alyx at once and put on its way again, as the
regular rounds do; a worker or the next `push` of its session sends it.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import failures, output
from cli.desk import Desk, at_desk
from cli.failures import Exit
from cli.pull import Via, bar

if TYPE_CHECKING:
    from transfer.catalog.base import Catalog
    from transfer.ledger.standing import StandingCopy
    from transfer.steps.audit import Audited
    from transfer.transports.base import Moved

_SAMPLE = 100
_SHOWN = 50  # copies to a table; of more, those that are right are only counted


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("verify")(verify)


def verify(
    context: typer.Context,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SESSION|DATASET]...", help="Sessions and files of the ledger; else a sample."
        ),
    ] = None,
    via: Annotated[
        Via | None,
        typer.Option(
            "--via", help="From the store, or over HTTP as its readers do; else whichever there is."
        ),
    ] = None,
    sample: Annotated[
        int,
        typer.Option(
            "--sample", metavar="N", min=1, help="How many copies of each store, if nothing is named."
        ),
    ] = _SAMPLE,
    as_json: output.Json = False,
) -> None:
    """Read stored copies and prove them anew; what is wrong is withdrawn and sent again."""
    from config import wiring

    with at_desk(context) as desk, closing(wiring.catalog(desk.settings)) as catalog:
        chosen = _chosen(desk, names or [], sample)
        _must_be_ours(desk, catalog, list(chosen))
        total = sum(copy.size or 0 for copies in chosen.values() for copy in copies)
        with bar(total, quiet=as_json) as moved:
            proofs = [
                Proof(store, one)
                for store, copies in chosen.items()
                for one in _audited(desk, catalog, store, copies, via, moved)
            ]
    raise typer.Exit(_say(proofs, as_json=as_json, named=bool(names)))


@dataclass(frozen=True, slots=True)
class Proof:
    """One copy's finding at one store."""

    store: str
    audited: "Audited"

    def row(self) -> dict[str, Any]:
        one = self.audited
        return {
            "path": one.copy.path,
            "store": self.store,
            "dataset": one.copy.dataset_uuid,
            "finding": one.finding,
            "size": one.copy.size,
            "md5": one.copy.md5,
            "code": one.error.code if one.error else None,
            "remark": "; ".join(
                filter(None, (one.remark, failures.sentence(one.error) if one.error else ""))
            ),
        }


def _chosen(desk: Desk, names: Sequence[str], sample: int) -> "dict[str, list[StandingCopy]]":
    """The copies to prove, by store, each once.  Raises `NothingFound`."""
    from transfer.ledger import audits

    targets = [desk.find(name, "session", "file") for name in names]
    chosen: dict[str, list[StandingCopy]] = {}
    for store in desk.settings.stores:
        if not targets:
            found = audits.least_proved(desk.ledger, store, limit=sample)
        else:
            found = [
                copy
                for target in targets
                for copy in (
                    audits.present_of(desk.ledger, store, session=target.row)
                    if target.kind == "session"
                    else audits.present_of(desk.ledger, store, dataset=target.row)
                )
            ]
        if found:
            chosen[store] = list({copy.id: copy for copy in found}.values())
    return chosen


def _must_be_ours(desk: Desk, catalog: "Catalog", stores: Sequence[str]) -> None:
    """An older ledger would take newer files for damaged ones.  Raises `ForeignLedger`, `RestoredLedger`."""
    from config import wiring
    from transfer.agent import check_owner

    for lab in wiring.labs(desk.settings):
        if lab.store in stores:
            check_owner(desk.ledger, catalog, lab)


def _audited(
    desk: Desk,
    catalog: "Catalog",
    store: str,
    copies: "Sequence[StandingCopy]",
    via: Via | None,
    moved: "Moved",
) -> "Iterator[Audited]":
    from config import wiring
    from transfer.errors import CatalogRefused, NothingFound
    from transfer.steps.audit import Audit

    own = wiring.own_way(desk.settings, store)
    if via is Via.STORE and own is None:
        do = "Read it with --via http."
        raise NothingFound("the config has no transport that reads this store", to=store, do=do)
    over_http = via is Via.HTTP or own is None
    web = wiring.readers_way(desk.settings, catalog, store) if over_http else None
    if over_http and web is None:
        do = "Set data_url in Alyx's admin page, or read the store by its own transport."
        raise CatalogRefused("the repository has no data_url: it cannot be read over HTTP", to=store, do=do)
    audit = Audit(ledger=desk.ledger, catalog=catalog, store=store, open_web=web, open_store=own, moved=moved)
    return audit.run(copies)


# ---- how it ended


def verdict(proofs: Sequence[Proof]) -> Exit:
    """0 when every copy is right; what only a person can cure is 6, what could not be read says why, all else 1."""
    codes = {_code(proof.audited) for proof in proofs} - {Exit.FINE}
    if not codes:
        return Exit.FINE
    return codes.pop() if len(codes) == 1 else Exit.NOT_DONE


def _code(one: "Audited") -> Exit:
    from transfer.steps.audit import Finding

    match one.finding:
        case Finding.RIGHT:
            return Exit.FINE
        case Finding.UNREADABLE | Finding.OTHER_FOR_READERS:
            return Exit.HELD
        case Finding.NOT_READ if one.error is not None:
            return failures.exit_code(one.error)
        case _:
            return Exit.NOT_DONE


def _say(proofs: Sequence[Proof], *, as_json: bool, named: bool) -> Exit:
    rows = [proof.row() for proof in proofs]
    counts = Counter(str(row["finding"]) for row in rows)
    code = verdict(proofs) if proofs or not named else Exit.NOT_DONE
    if as_json:
        output.document({"copies": rows, "counts": counts, "exit_code": int(code)})
        return code
    shown = rows if len(rows) <= _SHOWN else [row for row in rows if row["finding"] != "right"]
    if shown:
        output.listing(shown, _COLUMNS, as_json=False, empty="")
    if rows:
        told = ", ".join(f"{count} {finding}" for finding, count in counts.items())
        output.say(f"{len(rows)} {'copy' if len(rows) == 1 else 'copies'} read: {told}.")
    else:
        output.say(
            "No copy of it stands at a store that nobody moves now." if named else "Nothing has arrived yet."
        )
    return code


_COLUMNS = (
    output.Column("path", "file"),
    output.Column("store", "store"),
    output.Column("finding", "finding"),
    output.Column("size", "size", output.size, right=True),
    output.Column("remark", "remark"),
)
