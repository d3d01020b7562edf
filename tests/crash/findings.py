"""What became of a round, read from the store's disk, the sandbox's tables and plain SQL."""

import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from config import wiring
from config.settings import load
from tests.crash.observer import Hashes, Record, central_records
from tests.crash.stage import Scene
from tests.world import LAB, STORE
from transfer.ledger import actions
from transfer.model import STAGING
from transfer.rounds import Rounds
from transfer.steps.tidy import tidy, tidy_staging
from transfer.transports.delegated import DelegatedTransport

_FROM_NOW_ON = timedelta(minutes=-5)  # the tidy age: everything that stands is older
_FOREIGN = "changed-elsewhere"


@dataclass
class Findings:
    """What is wrong, in four kinds that are counted and one that is told."""

    lost: list[str] = field(default_factory=list)
    duplicated: list[str] = field(default_factory=list)
    wrong_bytes: list[str] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    unclean: list[str] = field(default_factory=list)

    @property
    def sentences(self) -> list[str]:
        told = [
            f"{kind}: {what}"
            for kind in ("lost", "duplicated", "wrong_bytes")
            for what in getattr(self, kind)
        ]
        return [*told, *(f"orphan: {what}" for what in self.orphans), *self.unclean]


def arrived(scene: Scene, hashes: Hashes) -> bool:
    """Whether every lab file stands at the store as it is now, and Alyx says so of that version."""
    records = {record.path: record for record in central_records(scene.alyx)}
    return all(
        (found := records.get(path)) is not None
        and found.exists
        and found.md5 == md5
        and hashes.of(found.place(scene.store)) == md5
        for path, md5 in scene.files.items()
    )


def at_rest(scene: Scene) -> bool:
    """Whether no item is on its way and nobody holds a session or batch."""
    try:
        open_items = asked(scene, "SELECT count(*) FROM items WHERE open = 1")[0][0]
    except sqlite3.OperationalError:
        return False  # not made yet
    return open_items == 0 and not leases(scene, ("sessions", "batches"))


def leases(scene: Scene, tables: Sequence[str] = ("sessions", "batches", "jobs")) -> list[str]:
    """Who holds something now."""
    return [
        f"lease on {table}: {holder}"
        for table in tables
        for (holder,) in asked(
            scene,
            f"SELECT lease_holder FROM {table} WHERE lease_until > strftime('%Y-%m-%d %H:%M:%f', 'now')",
        )
    ]


def asked(scene: Scene, question: str) -> list[Any]:
    """The rows of a SELECT on the ledger, which is only read."""
    file = scene.folder / "ledger.sqlite"
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=30)) as connection:
        return connection.execute(question).fetchall()


def decide_for_ours(scene: Scene) -> int:
    """Play the person where somebody else's change has to be judged; answers how many files waited for that."""
    if not asked(scene, f"SELECT count(*) FROM items WHERE open = 1 AND hold = '{_FOREIGN}'")[0][0]:
        return 0
    ledger = wiring.ledger(load(scene.config, {}))
    try:
        return len(actions.release_all(ledger, hold=_FOREIGN).items)
    finally:
        ledger.engine.dispose()


def reconcile(scene: Scene) -> None:
    """The pass that follows when another client wrote."""
    settings = load(scene.config, {})
    ledger = wiring.ledger(settings)
    try:
        with closing(wiring.catalog(settings)) as catalog:
            runner = wiring.runner(settings, ledger=ledger, catalog=catalog)
            with closing(runner):
                Rounds(runner=runner, version="crash").reconcile(wiring.lab(settings, LAB))
    finally:
        ledger.engine.dispose()


def judge(scene: Scene, *, patched: bool) -> Findings:
    """Everything that must be true once the workers have ended."""
    found = Findings()
    records = central_records(scene.alyx)
    _judge_files(scene, records, found)
    _judge_rows(scene, records, found)
    _judge_receipts(scene, found, patched=patched)
    _judge_tasks(scene, found)
    found.unclean += leases(scene)
    _tidied(scene)
    known = {record.place(scene.store) for record in records}
    for file in sorted(path for path in scene.store.rglob("*") if path.is_file()):
        name = file.relative_to(scene.store)
        if name.parts[0] == STAGING.name or file.suffix in (".part", ".old"):
            found.orphans.append(str(name))
        elif file not in known:
            found.duplicated.append(f"{name} stands at the store and belongs to no record")
    return found


def _judge_files(scene: Scene, records: Sequence[Record], found: Findings) -> None:
    hashes = Hashes()
    known = {record.path: record for record in records}
    for path, md5 in scene.files.items():
        record = known.get(path)
        if record is None or not record.exists:
            found.lost.append(f"{path} is not announced")
        elif record.md5 != md5:
            found.lost.append(f"{path}: Alyx has another version than the lab")
    for record in records:
        if record.exists and hashes.of(record.place(scene.store)) != record.md5:
            found.wrong_bytes.append(record.path)


def _judge_rows(scene: Scene, records: Sequence[Record], found: Findings) -> None:
    doubled = [path for path, count in Counter(record.path for record in records).items() if count > 1]
    found.duplicated += [f"{path} has several records in Alyx" for path in doubled]
    found.lost += [
        f"{path} waits for a person: {text}"
        for path, text in asked(
            scene,
            "SELECT datasets.path, items.hold_text FROM items JOIN copies ON copies.id = items.copy "
            "JOIN datasets ON datasets.id = copies.dataset WHERE items.open = 1 AND items.hold IS NOT NULL",
        )
    ]
    found.lost += [
        f"the session waits for a person: {text}"
        for (text,) in asked(scene, "SELECT hold_text FROM sessions WHERE hold IS NOT NULL")
    ]


def _judge_receipts(scene: Scene, found: Findings, *, patched: bool) -> None:
    rows = asked(
        scene,
        "SELECT sessions.path || '/' || datasets.path, receipts.md5 FROM receipts "
        "JOIN copies ON copies.id = receipts.copy JOIN datasets ON datasets.id = copies.dataset "
        "JOIN sessions ON sessions.id = datasets.session "
        f"WHERE receipts.kind = 'arrival' AND copies.repository = '{STORE}'",
    )
    proved = Counter(path for path, _ in rows)
    for path, md5 in scene.files.items():
        if (path, md5) not in rows:
            found.unclean.append(f"no receipt for the newest version of {path}")
        if not patched and proved[path] > 1:
            found.duplicated.append(f"{path} has {proved[path]} receipts")
    ((recorded,),) = asked(scene, "SELECT count(*) FROM items WHERE status = 'recorded'")
    if recorded != len(rows):
        found.unclean.append(f"{len(rows)} receipts for {recorded} arrivals")


def _judge_tasks(scene: Scene, found: Findings) -> None:
    """One task for each frozen document, and one document for each submission key."""
    if scene.globus is None:
        return
    for key, documents in scene.globus.submitted.items():
        if len({str(sorted(document.items())) for document in documents}) > 1:
            found.duplicated.append(f"submission {key} was sent in different words")
    tasks = Counter(
        task["label"] for task in scene.globus.tasks() if task["type"] == "TRANSFER" and task.get("label")
    )
    ((frozen,),) = asked(scene, "SELECT count(*) FROM events WHERE what = 'frozen'")
    if sum(tasks.values()) > frozen:
        found.duplicated.append(f"{sum(tasks.values())} tasks for {frozen} frozen documents")


def _tidied(scene: Scene) -> None:
    """Run tidy as if its age had passed."""
    settings = load(scene.config, {})
    ledger = wiring.ledger(settings)
    try:
        with wiring.transport(settings, STORE) as transport:
            if isinstance(transport, DelegatedTransport):
                tidy_staging(ledger, STORE, transport)
            else:
                tidy(ledger, STORE, transport, now=ledger.moment(), older_than=_FROM_NOW_ON)
    finally:
        ledger.engine.dispose()
    if scene.globus is not None:
        scene.globus.settle()
