"""Explicit-state model of publishing through a mover: every interleaving of a few actors, looked through whole.

One dataset whose lab file is replaced and registered anew by somebody else at any moment; a mover that writes into the
staging folder of each submission whenever it likes, also after we have lost it; workers that die, or are paused
for ever and go on after others took over.  It is the protocol of `steps/delegate.py`, `steps/staged.py` and
`steps/record.py`, one line for each thing that has an effect outside.

Contents are "A" and "B", names are `final`, `aside` and one per submission key.  A *lie* is: Alyx says that the copy
exists, and the final name holds other bytes than those of Alyx's hash.  It is *unwatched* when no worker is at it and
the row counts as recorded, so that only reconcile will find it, and *closed* when reconcile finds nothing either.
*Hidden* is a good copy that Alyx does not announce although all is recorded: reconcile announces it.

`Rules` are the protocol's; a test switches each one off and sees what it is there for.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from looking_through import Found, look_through


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """What the protocol does, and what may happen to it."""

    own_folder: bool = True  # each submission has a staging folder of its own
    checked: bool = True  # the mover compares with the registered hash before a file counts as arrived
    guarded: bool = True  # VERIFIED, PUBLISHED and RECORDED are committed under the lease only
    fence: bool = True  # other staged copies of the dataset are renamed away before the rename
    read_before: bool = True  # Alyx is read before publish and before record
    read_back: bool = True
    replaces: bool = True  # the mover renames onto a name that stands
    withdraws: bool = True  # where it does not: exists=false before the old copy is moved aside
    patch: bool = True
    old_copy: bool = False  # a copy of A is published and recorded when the work begins
    deaths: int = 1
    lapses: int = 1
    submissions: int = 2
    workers: int = 2


@dataclass(frozen=True, slots=True)
class Row:
    """The ledger's row: a fact, the hash it is for, the submission, and who holds the lease under which claim."""

    status: str = "planned"
    hash: str = "A"
    key: int = 0
    holder: int = -1
    claim: int = 0


@dataclass(frozen=True, slots=True)
class Worker:
    at: str = "idle"
    hash: str = ""
    key: int = 0
    claim: int = 0


@dataclass(frozen=True, slots=True)
class State:
    lab: str = "A"
    registered: str = "A"
    exists: bool = False
    patched: int = 0  # 1: the lab's file was replaced, 2: and registered
    files: frozenset[tuple[str, str]] = frozenset()  # name, content
    tasks: tuple[tuple[int, str, str], ...] = ()  # key, hash it was asked for, what it did: asked, arrived
    row: Row = field(default_factory=Row)
    workers: tuple[Worker, ...] = ()
    deaths: int = 0
    lapses: int = 0
    claims: int = 0

    def content(self, name: str) -> str | None:
        return dict(self.files).get(name)

    def put(self, name: str, content: str) -> "State":
        return replace(self, files=frozenset({**dict(self.files), name: content}.items()))

    def rename(self, name: str, onto: str) -> "State":
        files = dict(self.files)
        files[onto] = files.pop(name)
        return replace(self, files=frozenset(files.items()))

    @property
    def lies(self) -> bool:
        return self.exists and self.content("final") != self.registered


Step = tuple[str, State]


def begin(rules: Rules) -> State:
    workers = (Worker(),) * rules.workers
    if not rules.old_copy:
        return State(workers=workers)
    recorded = Row(status="recorded")
    return State(exists=True, files=frozenset({("final", "A")}), row=recorded, workers=workers)


def steps(state: State, rules: Rules) -> Iterator[Step]:
    """Everything that may happen next."""
    yield from _others(state, rules)
    yield from _mover(state, rules)
    row = state.row
    if row.status == "recorded" and row.holder < 0 and row.hash != state.registered:
        yield "reconcile finds another hash", replace(state, row=Row(hash=state.registered, claim=row.claim))
    if row.holder >= 0:
        alive = state.workers[row.holder].at != "idle" and state.workers[row.holder].claim == row.claim
        if not alive:
            yield "the lease of the dead lapses", replace(state, row=replace(row, holder=-1))
        elif state.lapses < rules.lapses:
            yield (
                f"{row.holder} pauses, its lease lapses",
                replace(state, row=replace(row, holder=-1), lapses=state.lapses + 1),
            )
    for number, worker in enumerate(state.workers):
        if worker.at == "idle":
            if row.status != "recorded" and row.holder < 0 and state.claims < rules.workers + 2:
                yield f"{number} claims", _claimed(state, number)
            continue
        if state.deaths < rules.deaths:
            yield f"{number} dies", _became(replace(state, deaths=state.deaths + 1), number, Worker())
        for what, after in _work(state, rules, number, worker):
            yield f"{number} {what}", after


def _others(state: State, rules: Rules) -> Iterator[Step]:
    if rules.patch and state.patched == 0:
        yield "the lab's file is replaced", replace(state, lab="B", patched=1)
    if state.patched == 1:
        yield "somebody registers it", replace(state, registered="B", exists=False, patched=2)


def _mover(state: State, rules: Rules) -> Iterator[Step]:
    """It copies what the lab holds when it gets there, piece after piece, and checks it last."""
    for place, (key, wanted, did) in enumerate(state.tasks):
        if did != "asked":
            continue
        name = _staged(key, rules)
        yield f"mover writes a part of {name}", state.put(name, "part")
        whole = state.put(name, state.lab)
        if state.lab == wanted or not rules.checked:
            tasks = (*state.tasks[:place], (key, wanted, "arrived"), *state.tasks[place + 1 :])
            yield f"mover brings {name}", replace(whole, tasks=tasks)
        else:
            yield f"mover brings other bytes to {name}", whole


def _claimed(state: State, number: int) -> State:
    claim = state.claims + 1
    row = replace(state.row, holder=number, claim=claim)
    at = {"planned": "planned", "sent": "sent", "verified": "reread", "published": "record"}[row.status]
    worker = Worker(at=at, hash=row.hash, key=row.key, claim=claim)
    return _became(replace(state, row=row, claims=claim), number, worker)


def _became(state: State, number: int, worker: Worker, **row: Any) -> State:
    workers = (*state.workers[:number], worker, *state.workers[number + 1 :])
    return (
        replace(state, workers=workers, row=replace(state.row, **row))
        if row
        else replace(state, workers=workers)
    )


def _work(state: State, rules: Rules, number: int, worker: Worker) -> Iterator[Step]:
    mine = state.row.holder == number and state.row.claim == worker.claim
    commits = mine or not rules.guarded

    def goes(at: str, after: State = state, **row: Any) -> State:
        return _became(after, number, replace(worker, at=at), **row)

    def gives_back(after: State = state, **row: Any) -> State:
        """The claim ends; what it leaves behind is written only by who still holds it."""
        known = {**row, "holder": -1} if mine else {}
        return _became(after, number, Worker(), **known)

    def begins_again(after: State = state) -> State:
        return gives_back(after, status="planned", hash=state.registered, key=0)

    match worker.at:
        case "planned":
            yield from _ask(state, rules, number, worker, mine=mine)
        case "sent":
            if state.content(_staged(worker.key, rules)) is None:
                yield "finds nothing staged", begins_again()
            elif commits:
                yield "commits VERIFIED", goes("reread", status="verified")
            else:
                yield "lost the race", gives_back()
        case "reread":
            if rules.read_before and state.registered != worker.hash:
                after = replace(state, exists=False) if state.exists else state
                yield "finds another hash, withdraws", begins_again(after)
            else:
                yield "reads Alyx: still ours", goes("fence")
        case "fence":
            yield "fences", goes("rename", _fenced(state, rules, worker))
        case "rename" | "rename again":
            yield from _rename(state, rules, worker, goes, begins_again)
        case "make way":
            if state.registered != worker.hash:
                yield "finds another hash, withdraws", begins_again(replace(state, exists=False))
            else:
                yield (
                    "withdraws the old copy",
                    goes("aside", replace(state, exists=state.exists and not rules.withdraws)),
                )
        case "aside":
            moved = state.rename("final", "aside") if state.content("final") else state
            yield "moves the old copy aside", goes("rename again", moved)
        case "published":
            if commits:
                yield "commits PUBLISHED", goes("record", status="published")
            else:
                yield "lost the race", gives_back()
        case "record":
            if rules.read_before and state.registered != worker.hash:
                yield "finds another hash, withdraws", begins_again(replace(state, exists=False))
            else:
                yield "reads Alyx: still ours", goes("patch")
        case "patch":
            yield "PATCHes exists=true", goes("read back", replace(state, exists=True))
        case "read back":
            if rules.read_back and state.registered != worker.hash:
                yield "reads another hash, PATCHes exists=false", begins_again(replace(state, exists=False))
            elif commits:
                yield "commits RECORDED", gives_back(status="recorded")
            else:
                yield "lost the race", gives_back()


def _ask(state: State, rules: Rules, number: int, worker: Worker, *, mine: bool) -> Iterator[Step]:
    """Commit key and document, submit, look: one task for one key."""
    if not mine:
        yield "lost the race", _became(state, number, Worker())
        return
    task = next((task for task in state.tasks if task[0] == worker.key), None)
    asked = len(state.tasks)
    if task is None and worker.key == 0 and asked < rules.submissions:
        key = asked + 1
        yield "commits a key", _became(state, number, replace(worker, key=key), key=key)
    elif task is None and worker.key:
        tasks = (*state.tasks, (worker.key, worker.hash, "asked"))
        yield "submits", replace(state, tasks=tasks)
    elif task is not None and task[2] == "arrived":
        yield "commits SENT", _became(state, number, replace(worker, at="sent"), status="sent")
    elif task is not None:
        yield "looks later", _became(state, number, Worker(), holder=-1)
        lost = _became(state, number, Worker(), holder=-1, key=0, hash=state.registered)
        yield "hears that there is no such task", lost


def _fenced(state: State, rules: Rules, worker: Worker) -> State:
    if not rules.fence:
        return state
    mine = _staged(worker.key, rules)
    kept = {(name, content) for name, content in state.files if name in ("final", "aside", mine)}
    return replace(state, files=frozenset(kept))


def _rename(state: State, rules: Rules, worker: Worker, goes: object, begins_again: object) -> Iterator[Step]:
    assert callable(goes)
    assert callable(begins_again)
    staged, final = state.content(_staged(worker.key, rules)), state.content("final")
    if staged is None:
        if final == worker.hash:
            yield "finds its bytes under the final name", goes("published")
        else:
            yield "finds its staged copy gone", begins_again()
    elif final is not None and not rules.replaces:
        if worker.at == "rename":
            yield "cannot rename: something stands there", goes("make way")
        else:
            yield "cannot rename again", begins_again()
    else:
        yield "RENAMES", goes("published", state.rename(_staged(worker.key, rules), "final"))


def _staged(key: int, rules: Rules) -> str:
    return f"staged {key}" if rules.own_folder else "staged"


def search(rules: Rules, *, until: str = "") -> Found:
    """Every state that can be reached, or as many as come before the first that is wrong as `until` says."""
    return look_through(begin(rules), lambda state: steps(state, rules), _wrong, until=until)


def _wrong(state: State) -> Iterator[str]:
    quiet = all(worker.at == "idle" for worker in state.workers)
    if state.row.status == "recorded" and quiet and state.row.hash == state.registered and not state.exists:
        yield "hidden"
    if not state.lies:
        return
    yield "lie"
    if state.patched == 0:
        yield "lie while nobody else writes"
    if state.row.status == "recorded" and quiet:
        yield "unwatched lie"
    if state.row.status == "recorded" and state.row.hash == state.registered:
        yield "closed lie"
    if state.content("final") is None:
        yield "announced and missing"
