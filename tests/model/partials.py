"""Explicit-state model of publishing through partials: every interleaving of a few actors, looked through whole.

One dataset whose lab file is replaced and registered anew by somebody else at any moment; an Alyx that goes away and
comes back; workers that die, or are paused for ever and go on after others took over.  It is the protocol of
`steps/push.py`, `steps/publish.py` and `steps/record.py`, one line for each thing that has an effect outside.

A file that is open for writing stays open through a rename: names stand for *bodies*, and a paused worker writes into
the body it opened, whatever that is called by now.  A body is named after the claim that made it.

A *lie* is: Alyx says that the copy exists, and the final name holds other bytes than those of Alyx's hash.  It is
*closed* when all our rows are closed and reconcile would find nothing either.

`Rules` are the protocol's; a test switches each one off and sees what it is there for.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from looking_through import Found, look_through


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """What the protocol does, and what may happen to it."""

    own_partial: bool = True  # each claim writes a partial of its own name
    guarded: bool = True  # VERIFIED, PUBLISHED and RECORDED are committed under the lease only
    fence: bool = True  # every other partial of the dataset is removed before the rename
    read_before: bool = True  # Alyx is read before publish and before record
    read_back: bool = True
    withdraws: bool = True  # publish withdraws what is announced while its bytes stand in a partial only
    waits_for_alyx: bool = False  # push does not go on without the look at Alyx
    patch: bool = True
    old_copy: bool = False  # a copy of A is published and recorded when the work begins
    announced: bool = False  # somebody announced A although nothing stands at the store
    outages: int = 0
    deaths: int = 1
    lapses: int = 1
    workers: int = 2
    claims: int = 3


@dataclass(frozen=True, slots=True)
class Row:
    """The ledger's row: a fact, the hash it is for, the claim that made the partial, and who holds the lease."""

    status: str = "planned"
    hash: str = "A"
    partial: int = 0
    holder: int = -1
    claim: int = 0


@dataclass(frozen=True, slots=True)
class Worker:
    """`body` is what it has open; `read` the bytes it has in hand."""

    at: str = "idle"
    hash: str = ""
    partial: int = 0
    claim: int = 0
    body: int = -1
    read: str = ""


@dataclass(frozen=True, slots=True)
class State:
    lab: str = "A"
    registered: str = "A"
    exists: bool = False
    away: bool = False
    outages: int = 0
    patched: int = 0  # 1: the lab's file was replaced, 2: and registered
    names: frozenset[tuple[str, int]] = frozenset()
    bodies: frozenset[tuple[int, str]] = frozenset()
    row: Row = field(default_factory=Row)
    workers: tuple[Worker, ...] = ()
    deaths: int = 0
    lapses: int = 0
    claims: int = 0

    def content(self, name: str) -> str | None:
        body = dict(self.names).get(name)
        return None if body is None else dict(self.bodies)[body]

    def write(self, body: int, content: str) -> "State":
        return replace(self, bodies=frozenset({**dict(self.bodies), body: content}.items()))

    def call(self, name: str, body: int) -> "State":
        return replace(self, names=frozenset({**dict(self.names), name: body}.items()))

    def without(self, *gone: str) -> "State":
        return replace(self, names=frozenset(pair for pair in self.names if pair[0] not in gone))

    def swept(self) -> "State":
        """Without the bodies that have neither a name nor a writer."""
        kept = {body for _, body in self.names} | {worker.body for worker in self.workers}
        return replace(self, bodies=frozenset(pair for pair in self.bodies if pair[0] in kept))

    @property
    def lies(self) -> bool:
        return self.exists and self.content("final") != self.registered


Step = tuple[str, State]
_ASKS_ALYX = frozenset(
    {"look", "withdraw first", "reread", "withdraw", "record", "patch", "read back", "undo"}
)


def search(rules: Rules, *, until: str = "") -> Found:
    """Every state that can be reached, or as many as come before the first that is wrong as `until` says."""
    first = _begin(rules)
    return look_through(
        first, lambda state: _steps(state, rules), lambda state: _wrong(state, rules), until=until
    )


def _begin(rules: Rules) -> State:
    workers = (Worker(),) * rules.workers
    if rules.old_copy:
        recorded = Row(status="recorded")
        return State(exists=True, workers=workers, row=recorded).write(0, "A").call("final", 0)
    return State(exists=rules.announced, workers=workers)


def _wrong(state: State, rules: Rules) -> Iterator[str]:
    if not state.lies:
        return
    yield "lie"
    if state.patched == 0 and not rules.announced:
        yield "lie while nobody else writes"
    quiet = all(worker.at == "idle" for worker in state.workers)
    if quiet and state.row.status == "recorded" and state.row.hash == state.registered:
        yield "closed lie"
    if quiet and not state.away and state.row.status == "verified" and state.row.holder < 0:
        yield "lie that waits for publish"


def _steps(state: State, rules: Rules) -> Iterator[Step]:
    """Everything that may happen next."""
    for what, after in (*_others(state, rules), *_ledger(state, rules)):
        yield what, after.swept()
    for number, worker in enumerate(state.workers):
        if worker.at == "idle":
            if _may_claim(state, rules):
                yield f"{number} claims", _claimed(state, rules, number)
            continue
        if state.deaths < rules.deaths:
            yield f"{number} dies", _became(replace(state, deaths=state.deaths + 1), number, Worker()).swept()
        for what, after in _Work(state, rules, number, worker).steps():
            yield f"{number} {what}", after.swept()


def _others(state: State, rules: Rules) -> Iterator[Step]:
    if rules.patch and state.patched == 0:
        yield "the lab's file is replaced", replace(state, lab="B", patched=1)
    if state.patched == 1 and not state.away:
        yield "somebody registers it", replace(state, registered="B", exists=False, patched=2)
    if state.away:
        yield "Alyx is back", replace(state, away=False)
    elif state.outages < rules.outages:
        yield "Alyx goes away", replace(state, away=True, outages=state.outages + 1)


def _ledger(state: State, rules: Rules) -> Iterator[Step]:
    """Reconcile, and leases that lapse."""
    row = state.row
    if row.status == "recorded" and row.holder < 0 and not state.away:
        if row.hash != state.registered:
            yield (
                "reconcile finds another hash",
                replace(state, row=Row(hash=state.registered, claim=row.claim)),
            )
        elif not state.exists:
            yield "reconcile finds it not announced", replace(state, row=replace(row, status="published"))
    if row.holder < 0:
        return
    holder = state.workers[row.holder]
    lapsed = replace(state, row=replace(row, holder=-1))
    if holder.at == "idle" or holder.claim != row.claim:
        yield "the lease of the dead lapses", lapsed
    elif state.lapses < rules.lapses:
        yield f"{row.holder} pauses, its lease lapses", replace(lapsed, lapses=state.lapses + 1)


def _may_claim(state: State, rules: Rules) -> bool:
    row = state.row
    if row.status == "recorded" or row.holder >= 0 or state.claims >= rules.claims:
        return False
    return row.status == "planned" or not state.away


def _claimed(state: State, rules: Rules, number: int) -> State:
    claim = state.claims + 1
    row = replace(state.row, holder=number, claim=claim)
    at = {"planned": "look", "verified": "reread", "published": "record"}[row.status]
    partial = (claim if rules.own_partial else 1) if row.status == "planned" else row.partial
    worker = Worker(at=at, hash=row.hash, partial=partial, claim=claim)
    return _became(replace(state, row=row, claims=claim), number, worker)


def _became(state: State, number: int, worker: Worker, **row: Any) -> State:
    workers = (*state.workers[:number], worker, *state.workers[number + 1 :])
    return replace(state, workers=workers, row=replace(state.row, **row))


@dataclass(frozen=True)
class _Work:
    """What one worker may do next."""

    state: State
    rules: Rules
    number: int
    worker: Worker

    @property
    def mine(self) -> bool:
        return self.state.row.holder == self.number and self.state.row.claim == self.worker.claim

    @property
    def partial(self) -> str:
        return f"partial {self.worker.partial}"

    @property
    def announced_elsewise(self) -> bool:
        """Whether Alyx has another hash than the one we move."""
        return self.state.registered != self.worker.hash

    def goes(
        self, at: str, after: State | None = None, *, row: dict[str, Any] | None = None, **worker: Any
    ) -> State:
        return _became(after or self.state, self.number, replace(self.worker, at=at, **worker), **(row or {}))

    def gives_back(self, after: State | None = None, **row: Any) -> State:
        """The claim ends; what it leaves behind is written only by who still holds it."""
        return _became(
            after or self.state, self.number, Worker(), **({**row, "holder": -1} if self.mine else {})
        )

    def begins_again(self, after: State | None = None) -> State:
        return self.gives_back(after, status="planned", hash=self.state.registered)

    def commits(self, fact: str, at: str) -> Step:
        if not self.mine and self.rules.guarded:
            return "lost the race", self.gives_back()
        return f"commits {fact}", self.goes(at, row={"status": fact})

    def withdrawn(self) -> State:
        return replace(self.state, exists=False)

    def steps(self) -> Iterator[Step]:
        if self.state.away and self.worker.at in _ASKS_ALYX:
            yield "gives back: Alyx is away", self.gives_back()
            if self.worker.at == "look" and not self.rules.waits_for_alyx:
                yield "goes on without the look", self.goes("intend")
        elif self.worker.at in (
            "look",
            "withdraw first",
            "intend",
            "open",
            "read",
            "write",
            "verify",
            "verified",
        ):
            yield from self._push()
        elif self.worker.at in ("reread", "withdraw", "fence", "rename", "renamed"):
            yield from self._publish()
        else:
            yield from self._record()

    def _push(self) -> Iterator[Step]:
        match self.worker.at:
            case "look" if self.announced_elsewise:
                yield "finds another hash", self.begins_again()
            case "look":
                lies = self.state.exists and self.state.content("final") != self.worker.hash
                yield "looks", self.goes("withdraw first" if lies else "intend")
            case "withdraw first":
                yield "PATCHes exists=false", self.goes("intend", self.withdrawn())
            case "intend" if self.mine:
                yield "commits the partial's name", self.goes("open", row={"partial": self.worker.partial})
            case "intend":
                yield "lost the race", self.gives_back()
            case "open":
                body = dict(self.state.names).get(self.partial, self.worker.claim)
                opened = self.state.write(body, "part").call(self.partial, body)
                yield "opens its partial", self.goes("read", opened, body=body)
            case "read":
                yield "reads the lab's file", self.goes("write", read=self.state.lab)
            case "write":
                yield (
                    "writes",
                    self.goes("verify", self.state.write(self.worker.body, self.worker.read), read=""),
                )
            case "verify" if self.state.content(self.partial) == self.worker.hash:
                yield "verifies", self.goes("verified", body=-1)
            case "verify":
                yield "finds other bytes stored", self.begins_again()
            case _:
                yield self.commits("verified", "reread")

    def _publish(self) -> Iterator[Step]:
        state, worker = self.state, self.worker
        match worker.at:
            case "reread" if self.rules.read_before and self.announced_elsewise:
                yield "finds another hash, withdraws", self.begins_again(self.withdrawn())
            case "reread":
                in_partial = state.exists and self.rules.withdraws and state.content(self.partial) is not None
                yield "reads Alyx: still ours", self.goes("withdraw" if in_partial else "fence")
            case "withdraw":
                yield "PATCHes exists=false", self.goes("fence", self.withdrawn())
            case "fence":
                others = [name for name, _ in state.names if name not in ("final", self.partial)]
                yield "fences", self.goes("rename", state.without(*others) if self.rules.fence else state)
            case "rename" if state.content(self.partial) is not None:
                moved = state.call("final", dict(state.names)[self.partial]).without(self.partial)
                yield "RENAMES", self.goes("renamed", moved)
            case "rename" if state.content("final") == worker.hash:
                yield "finds its bytes under the final name", self.goes("renamed")
            case "rename":
                yield "finds its partial gone", self.begins_again()
            case _:
                yield self.commits("published", "record")

    def _record(self) -> Iterator[Step]:
        match self.worker.at:
            case "record" if self.rules.read_before and self.announced_elsewise:
                yield "finds another hash, withdraws", self.begins_again(self.withdrawn())
            case "record":
                yield "reads Alyx: still ours", self.goes("patch")
            case "patch":
                at = "read back" if self.rules.read_back else "done"
                yield "PATCHes exists=true", self.goes(at, replace(self.state, exists=True))
            case "read back" if self.announced_elsewise:
                yield "reads another hash", self.goes("undo")
            case "read back":
                yield "reads back", self.goes("done")
            case "undo":
                yield "PATCHes exists=false", self.begins_again(self.withdrawn())
            case _ if self.mine or not self.rules.guarded:
                yield "commits recorded", self.gives_back(status="recorded")
            case _:
                yield "lost the race", self.gives_back()
