"""A lab in a box with the program at work in it: config file, ledger, runner, rounds and workers as a lab has them.

    with Stage(folder, Scenery()) as stage:
        ...stage faults, `stage.plan.add(...)`...
        with stage.working():
            stage.settle()
        stage.inspect()

Entering writes the sessions and starts the servers; the program is wired when it is first needed, so that what a
drill or a protection puts `around` the store and Alyx is there from its first connection on.
"""

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from config.sections import Settings
from config.settings import load
from rehearsal.configuring import Scenery, globus_keys, sftp_keys, write_config
from rehearsal.plan import Plan
from rehearsal.program import Program, Wrapping, wire
from rehearsal.watching import Watch
from sandbox.box import STORE, Box
from sandbox.inspection import inspect
from sandbox.line import Line
from sandbox.store import SftpStore
from transfer.errors import CATALOGUE, TransferError
from transfer.ledger import Ledger, actions, endpoints, reports
from transfer.ledger.finding import Target
from transfer.ledger.standing import tally
from workers.crew import Crew

Off = Callable[["Stage"], AbstractContextManager[object]]

LARGE = 3 << 20
"""Bytes of the largest file: long enough to be struck in its middle."""

_LOOK = 0.05  # seconds between two looks
_STILL = 60.0  # seconds without any change after which a drill is given up


class NotOver(Exception):
    """The work did not come to an end; the text is a sentence for people."""


class Stage:
    """A context manager for one use."""

    box: Box
    settings: Settings
    sftp: SftpStore
    line: Line
    """Before the store, where it is reached over SFTP."""
    alyx_line: Line
    """Before Alyx, where the scenery asks for one."""

    def __init__(self, folder: Path, scenery: Scenery, *, off: Off | None = None) -> None:
        """`off` switches a protection off when the program is wired: what it wraps goes around the drill's."""
        self.plan = Plan()
        self.around = Wrapping()
        self.once_open: list[Callable[[], None]] = []
        """What is done when the program is wired and has not begun yet."""
        self.alarms: list[Callable[[], str | None]] = []
        """Further signs that it went wrong: where one gives a sentence nobody waits any longer."""
        self.lies_allowed = False
        self.audited = True
        self.shown_key = ""
        """The public key of whoever answers in the store's place."""
        self.leaving = threading.Event()
        """Set when nobody waits for the work any longer: whoever stages a wait ends it."""
        self.seen: list[str] = []
        self.wrong: list[str] = []
        self._folder, self._scenery, self._off = folder, scenery, off
        self._open = ExitStack()
        self._program: Program | None = None

    def __enter__(self) -> Self:
        with ExitStack() as opened:
            kind = self._scenery.store
            box = Box(
                self._folder,
                sessions=1,
                seed=1,
                transport="globus" if kind == "globus" else "local",
                large_bytes=LARGE,
            )
            self.box = opened.enter_context(box)
            self.box.furnish()
            self.settings = load(self._config(opened), {})
            self.watch = opened.enter_context(Watch(self.box))
            self._open = opened.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def _config(self, opened: ExitStack) -> Path:
        alyx = self.box.alyx.url
        if self._scenery.alyx_line:
            host, _, port = alyx.rpartition("//")[2].rpartition(":")
            self.alyx_line = opened.enter_context(Line(host, int(port)))
            alyx = f"http://{host}:{self.alyx_line.port}"
        match self._scenery.store:
            case "sftp":
                home = self.box.root / "home" / "sftp"
                self.sftp = opened.enter_context(SftpStore(self.box.store_root, home=home))
                self.line = opened.enter_context(Line(self.sftp.host, self.sftp.port))
                keys = sftp_keys(self.sftp, self.line, self.known_hosts)
            case "local":
                keys = {"transport": "local", "root": str(self.box.store_root)}
            case "globus":
                keys = globus_keys(self.box, person=self._scenery.person)
        return write_config(self.box, alyx, {**keys, **self._scenery.options})

    @property
    def known_hosts(self) -> Path:
        """What the config calls so."""
        return self.box.root / "known_hosts"

    # ---- the program

    @property
    def ledger(self) -> Ledger:
        """The program's ledger; the program is wired when any part of it is first asked for."""
        return self._wired().ledger

    @property
    def crew(self) -> Crew:
        return self._wired().crew

    def _wired(self) -> Program:
        if self._program is None:
            if self._off is not None:
                self._open.enter_context(self._off(self))
            self._program = wire(self.settings, self.around, self._open)
            for act in self.once_open:
                act()
        return self._program

    def working(self) -> AbstractContextManager[None]:
        """Worker and beat at work while the `with` lasts."""
        return self._wired().working(self.leaving)

    # ---- waiting

    @property
    def files(self) -> int:
        return sum(len(session.registrable) for session in self.box.sessions)

    def settle(self) -> None:
        """Wait until every file has arrived, or nothing goes on without a person, or an alarm was raised."""
        self.until(lambda: False)

    def until(self, ready: Callable[[], bool]) -> None:
        """Wait for `ready`, or until the work is over, whatever came of it.  Raises `NotOver`."""
        seen: object = None
        changed = time.monotonic()
        while not ready() and not self._over():
            now = self._signs()
            if now != seen:
                seen, changed = now, time.monotonic()
            if time.monotonic() - changed > _STILL:
                raise NotOver(f"nothing changed for {_STILL:.0f} s; {self.standing()}")
            time.sleep(_LOOK)

    def _signs(self) -> object:
        rows = tally(self.ledger, STORE)
        return sorted((row.status.value, row.held, row.files) for row in rows), self.plan.struck

    def _over(self) -> bool:
        if self.alarmed():
            return True
        rows = tally(self.ledger, STORE)
        recorded = sum(row.files for row in rows if row.status.value == "recorded")
        held = sum(row.files for row in rows if row.held)
        if recorded + held >= self.files:
            return recorded + held == sum(row.files for row in rows)
        stopped = reports.held(self.ledger, limit=1)
        return bool(stopped.sessions or stopped.endpoints)

    def alarmed(self) -> list[str]:
        """What already shows that it went wrong."""
        lies = [] if self.lies_allowed else list(self.watch.lies.values())
        return lies + [sentence for alarm in self.alarms if (sentence := alarm())]

    def standing(self) -> str:
        rows = tally(self.ledger, STORE)
        return (
            ", ".join(f"{row.files} {'held' if row.held else row.status}" for row in rows) or "no files yet"
        )

    def count(self, status: str) -> int:
        """How many files stand at that fact."""
        return sum(row.files for row in tally(self.ledger, STORE) if row.status.value == status)

    # ---- a person's part

    def holds(self) -> list[tuple[str | None, str]]:
        """What waits for a person: the kind of failure, and thing and reason in words; endpoints first."""
        found = reports.held(self.ledger, limit=20)
        return [
            *(
                (_paused_for(self.ledger, row.name), f"{row.name}: {row.pause_reason}")
                for row in found.endpoints
            ),
            *((row.hold, f"{row.session}: {row.hold_text}") for row in found.sessions),
            *((row.hold, f"{row.session}/{row.relative_path}: {row.hold_text}") for row in found.files),
        ]

    def expect_hold(self, kind: type[TransferError]) -> bool:
        """Wait until somebody is asked to act for that reason; that the work ends otherwise is wrong."""
        self.until(lambda: any(name == kind.name for name, _ in self.holds()))
        found = [words for name, words in self.holds() if name == kind.name]
        if not found:
            self.wrong.append(f"nobody was asked to act, where [{kind.code}] {kind.name} was to be told")
            return False
        self.seen.append(f"held: [{kind.code}] {found[0]}")
        return True

    def resume(self, endpoint: str) -> None:
        """What `alyx-transfer resume` does."""
        actions.release(self.ledger, Target(kind="endpoint", name=endpoint))

    def release_all(self) -> None:
        """What `alyx-transfer release --all` does."""
        actions.release_all(self.ledger)

    def audit(self) -> None:
        """Walk the round that reads stored copies again, which a lab's schedule walks every day."""
        if self.audited:
            self.crew.rounds.prove(STORE)

    # ---- the end

    def inspect(self) -> None:
        """What every drill ends with; nothing may be at work."""
        found = inspect(self.box)
        self.wrong += self.alarmed()
        self.wrong += [f"held: {words}" for _, words in self.holds()]
        self.wrong += found.differences
        if found.leftovers:
            self.wrong.append(f"{found.leftovers} partials were left at the store")
        self.seen.append(f"{found.identical} of {found.files} files stand at the store, byte for byte")


def _paused_for(ledger: Ledger, endpoint: str) -> str | None:
    """The name of the failure an endpoint is paused for, None where a person paused it."""
    code, _ = endpoints.last_failure(ledger, endpoint)
    return CATALOGUE[code].name if code else None
