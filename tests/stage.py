"""A stage on which workers take turns, one line of outside effect at a time.

Each `Actor` is a thread that runs a real `Runner` against the real sandbox, disk and ledger, and stops
before and after every outside effect: each ledger commit, each file operation, each call to Alyx.  The
director (a test) says who goes on, who dies there, who is left standing until its lease has lapsed, and what
another tool does meanwhile.  Only one thread runs at any time, so a run is the same whenever its choices are.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Any

from sqlalchemy import Connection

from tests.world import World
from transfer.errors import TransferError
from transfer.ledger import Ledger
from transfer.runner import Runner
from transfer.transports.local import LocalTransport

_PATIENCE = 60  # real seconds until a stage that hangs is a failed test
CHUNK = 4  # bytes to a write: the tiniest file has several


class Died(BaseException):
    """The process is gone: nothing of ours runs after this, no `except Exception`, no release."""


class Actor:
    """One worker process on the stage."""

    def __init__(self, world: World, name: str, *, suspended_clock: bool = False) -> None:
        self.world = world
        self.name = name
        self.where = "idle"
        self.passed: list[str] = []
        self._suspended_clock = suspended_clock
        self._slept = 0.0
        self._left_at: float | None = None
        self._mine = threading.Semaphore(0)
        self._theirs = threading.Semaphore(0)
        self._dying = False
        self._ended = False
        self._failure: BaseException | None = None
        self._thread: threading.Thread | None = None
        self.runner = self._make_runner()

    # ---- the director's side

    @property
    def idle(self) -> bool:
        return self._thread is None

    def go(self) -> str:
        """Run to the next stop; answers its name, 'idle' at the end of one piece of work."""
        if self._thread is None:
            self._ended = False
            self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
            self._resume_clock()
            self._thread.start()
        else:
            self._resume_clock()
            self._mine.release()
        if not self._theirs.acquire(timeout=_PATIENCE):
            raise AssertionError(f"{self.name} hangs after {self.where}")
        if self._ended:
            self._thread.join(_PATIENCE)
            self._thread = None
            self.where = "idle"
            if self._failure is not None:
                raise self._failure
        self._left_at = self.world.clock.monotonic()
        return self.where

    def until(self, stop: str, *, limit: int = 2000) -> None:
        """Run to the first stop of that name."""
        for _ in range(limit):
            if self.go() == stop:
                return
            if self.idle:
                break
        raise AssertionError(f"{self.name} never came to {stop!r}; it passed {self.passed[-20:]}")

    def finish(self, *, limit: int = 20_000) -> None:
        """Run to the end of this piece of work."""
        for _ in range(limit):
            if self.go() == "idle":
                return
        raise AssertionError(f"{self.name} does not end")

    def die(self) -> None:
        """End the process where it stands; its handles close, its lease stays until it lapses."""
        if self._thread is None:
            return
        self._dying = True
        self.go()
        assert self.idle
        self._dying = False
        self.passed.append("died")
        self.runner = self._make_runner()

    def _resume_clock(self) -> None:
        if self._suspended_clock and self._left_at is not None:
            self._slept += self.world.clock.monotonic() - self._left_at

    # ---- the worker's side

    def _run(self) -> None:
        self._failure = None
        try:
            self.runner.work()
        except Died:
            pass
        except BaseException as error:
            self._failure = error
        self._ended = True
        self._theirs.release()

    def stop(self, where: str) -> None:
        """Stand here until the director says so."""
        if threading.current_thread() is not self._thread:
            return  # the test itself looks at something
        self.where = where
        self.passed.append(where)
        self._theirs.release()
        if not self._mine.acquire(timeout=_PATIENCE):
            raise Died
        if self._dying:
            raise Died

    def _monotonic(self) -> float:
        return self.world.clock.monotonic() - self._slept

    def _make_runner(self) -> Runner:
        self._slept = 0.0
        self._left_at = None
        return self.world.runner(
            ledger=StagedLedger(self, self.world.new_ledger()),
            catalog=StagedCatalog(self, self.world.new_catalog()),
            open_transport=lambda _store: LocalTransport(
                self.world.store, connections=1, chunk=CHUNK, observe=self._observe
            ),
            sleep=self._sleep,
        )

    def _observe(self, what: str, _path: PurePosixPath) -> None:
        self.stop(what)

    def _sleep(self, seconds: float) -> None:
        self.stop("sleeping")
        self.world.clock.advance(seconds)


class StagedLedger(Ledger):
    """A ledger whose holder stops before and after each commit."""

    def __init__(self, actor: Actor, behind: Ledger) -> None:
        super().__init__(
            behind.engine, actor=f"worker:{actor.name}", clock=actor.world.clock, monotonic=actor._monotonic
        )
        self._staged = actor

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        self._staged.stop("committing")
        with super().writing() as connection:
            yield connection
        self._staged.stop("committed")


class StagedCatalog:
    """A catalogue whose caller stops before and after each call."""

    def __init__(self, actor: Actor, behind: Any) -> None:
        self._staged = actor
        self._behind = behind

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call = getattr(self._behind, name)

        def staged(*args: Any, **kwargs: Any) -> Any:
            self._staged.stop(f"{name}?")
            try:
                answer = call(*args, **kwargs)
            except TransferError:
                self._staged.stop(f"{name}!")
                raise
            self._staged.stop(f"{name}.")
            return answer

        return staged


class OtherTool:
    """Another client of Alyx, which replaces the lab's file and registers it, as ibllib's tools do."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.token = world.alyx.add_user("other_tool", password="secret")

    def replace(self, path: str, content: bytes) -> None:
        """Atomically, as a careful tool does; the time is new."""
        file = self.world.lab.root / path
        beside = file.with_name(file.name + ".new.flag")
        beside.write_bytes(content)
        beside.replace(file)

    def register(self, path: str) -> None:
        """Register what the lab's file holds now."""
        import httpx2

        from tests.world import LAB, LAB_SERVER, md5

        file = self.world.lab.root / path
        content = file.read_bytes()
        session, inside = "/".join(path.split("/")[:3]), "/".join(path.split("/")[3:])
        answer = httpx2.post(
            f"{self.world.alyx.url}/register-file",
            headers={"Authorization": f"Token {self.world.alyx.token_for('other_tool')}"},
            json={
                "created_by": "other_tool",
                "path": session,
                "filenames": [inside],
                "hashes": [md5(content)],
                "filesizes": [len(content)],
                "versions": [None],
                "name": LAB_SERVER,
                "labs": [LAB],
            },
            timeout=30,
        )
        assert answer.status_code == 201, answer.text
