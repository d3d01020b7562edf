"""The sandbox Globus as its users see it: started by `with`, switched and observed by methods."""

import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from sandbox.alyx.counting import Requests
from sandbox.globus.application import Application
from sandbox.globus.collection import Collection, Kind
from sandbox.globus.faults import Faults
from sandbox.globus.login import Login
from sandbox.globus.requesting import Request
from sandbox.globus.serving import Serving
from sandbox.globus.state import Limits, State
from sandbox.globus.task import Task
from sandbox.globus.tokens import Tokens
from sandbox.globus.working import Workers

Document = dict[str, Any]


class SandboxGlobus:
    """A context manager for one use; nothing of it outlives the `with`, but the files that were moved.

    `client_id` and `client_secret` are an application that acts by itself; `native_client_id` is one through
    which `person` logs in.
    """

    def __init__(self, *, port: int = 0, limits: Limits | None = None, token_seconds: int = 172_800) -> None:
        self._state = State(limits or Limits())
        self._tokens = Tokens(self._state.clock, token_seconds)
        self.client_id, self.client_secret = self._confidential()
        self.native_client_id = self._tokens.new_client(secret=False)[0]
        self.person = str(uuid.uuid4())
        self._login = Login(self._tokens, self.person)
        self._application = Application(self._state, self._tokens, self._login)
        self._serving = Serving(self._application, port)
        self._workers = Workers(self._state)
        self.url = self._login.url = f"http://127.0.0.1:{self._serving.port}"

    def __enter__(self) -> Self:
        self._serving.start()
        self._workers.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._workers.stop()
        self._serving.stop()

    @property
    def environment(self) -> dict[str, str]:
        """What makes every client of the SDK, and the command line, come here."""
        names = ("TRANSFER", "AUTH", "GROUPS", "SEARCH", "TIMER", "FLOWS", "COMPUTE")
        return {f"GLOBUS_SDK_SERVICE_URL_{name}": self.url for name in names}

    @property
    def cli_environment(self) -> dict[str, str]:
        """What the `globus` command needs besides, so that nobody has to log in."""
        client = {"GLOBUS_CLI_CLIENT_ID": self.client_id, "GLOBUS_CLI_CLIENT_SECRET": self.client_secret}
        return {**self.environment, **client}

    def _confidential(self) -> tuple[str, str]:
        key, secret = self._tokens.new_client(secret=True)
        return key, str(secret)

    # ---- what there is

    def add_collection(
        self,
        name: str,
        root: Path,
        kind: Kind = "mapped",
        *,
        needs_consent: bool | None = None,
        rename_replaces: bool = False,
        key: str | None = None,
    ) -> str:
        """Offer the folder `root` as a collection; its id.  Only mapped ones ask for a consent by themselves."""
        identity = key or str(uuid.uuid4())
        consent = kind == "mapped" if needs_consent is None else needs_consent
        place = Collection(
            identity, name, root, kind, self.client_id, consent, rename_replaces=rename_replaces
        )
        with self._state.changed:
            self._state.collections[identity] = place
            if kind == "mapped":
                self._tokens.consenting.add(identity)
        return identity

    def add_client(self) -> tuple[str, str]:
        """Another application that acts by itself: id and secret."""
        return self._confidential()

    def collection(self, key: str) -> Collection:
        """A collection, whose switches (`paused`, `connected`, `quota`, `denied`, ...) may be set."""
        return self._state.collections[key]

    @property
    def faults(self) -> Faults:
        """The script of what goes wrong."""
        return self._state.faults

    @property
    def limits(self) -> Limits:
        return self._state.limits

    @property
    def requests(self) -> Requests:
        """What was asked, by method and path template."""
        return self._application.requests

    # ---- switches

    def pause(self, collection: str, message: str = "maintenance") -> None:
        """A pause rule: its tasks stand still, its operations are refused."""
        with self._state.changed:
            self._state.collections[collection].paused = message
            self._state.tidy()

    def resume(self, collection: str) -> None:
        """Take the pause rule back."""
        with self._state.changed:
            self._state.collections[collection].paused = None
            self._state.tidy()
            self._state.changed.notify_all()

    def disconnect(self, collection: str) -> None:
        """The computer of a personal collection goes off."""
        self._state.collections[collection].connected = False

    def connect(self, collection: str) -> None:
        """It comes back."""
        self._state.collections[collection].connected = True

    def withdraw_consent(self, collection: str) -> None:
        """Nobody consents to this collection's data any more."""
        self._tokens.withdraw(collection)

    def expire_tokens(self) -> None:
        """All access tokens are refused from now on; new ones may be had."""
        self._tokens.expire_all()

    def revoke_refresh_tokens(self) -> None:
        """All logins of people end."""
        self._tokens.revoke_refresh_tokens()

    def advance(self, seconds: float) -> None:
        """Move the service's clock: deadlines and tokens run out."""
        with self._state.changed:
            self._state.clock.advance(seconds)
            self._state.tidy()
            self._state.changed.notify_all()

    def hold(self, *, after_files: int = 0) -> None:
        """Let that many more files be moved, then stand still until `release`."""
        with self._state.changed:
            self._state.files_allowed = after_files

    def release(self) -> None:
        """Go on."""
        with self._state.changed:
            self._state.files_allowed = None
            self._state.changed.notify_all()

    def suspend(self, task: str) -> None:
        """A task's credentials run out: INACTIVE."""
        with self._state.changed:
            found = self._state.tasks[task]
            found.suspended, found.status = True, "INACTIVE"
            found.note("NO_CREDENTIALS", "credentials expired", self._state.clock.now(), is_error=True)

    def unsuspend(self, task: str) -> None:
        """They are renewed."""
        with self._state.changed:
            found = self._state.tasks[task]
            found.suspended, found.status = False, "ACTIVE"
            self._state.changed.notify_all()

    def lose_task(self, task: str) -> None:
        """The service forgets the task: 404 from now on.  What it does goes on, its submission id too is gone."""
        with self._state.changed:
            self._state.lost.add(task)
            forgotten = [key for key, known in self._state.by_submission.items() if known.id == task]
            for key in forgotten:
                del self._state.by_submission[key]

    def approve(self, authorize_url: str) -> str:
        """A person opens the address, agrees, and reads the code."""
        query = urlsplit(authorize_url).query
        return str(self._login.authorize(Request("GET", "", query, {}, b"")).body["code"])

    # ---- observation

    @property
    def submitted(self) -> Mapping[str, list[Document]]:
        """Every document as it was sent, refused ones too, by submission id in the order of arrival."""
        with self._state.changed:
            return {key: list(documents) for key, documents in self._state.submitted.items()}

    def submits(self, submission_id: str) -> int:
        """How often this submission id was sent."""
        with self._state.changed:
            return self._state.submits[submission_id]

    def tasks(self) -> list[Document]:
        """All task documents, oldest first, lost ones too."""
        with self._state.changed:
            self._state.tidy()
            return [self._state.document_of(task) for task in self._state.tasks.values()]

    def task(self, key: str) -> Document:
        """One task's document."""
        with self._state.changed:
            self._state.tidy()
            return self._state.document_of(self._state.tasks[key])

    @property
    def active(self) -> int:
        """Tasks that are being worked on."""
        return sum(task.running for task in self._state.tasks.values())

    @property
    def pending(self) -> int:
        """Tasks that have not ended."""
        return sum(not task.ended for task in self._state.tasks.values())

    def wait(self, task: str, seconds: float = 20.0) -> Document:
        """Wait for a task's end; its document."""
        found = self._state.tasks[task]
        self.wait_until(lambda: found.ended, seconds)
        return self.task(task)

    def wait_for_faults(self, task: str, number: int = 1, seconds: float = 20.0) -> Document:
        """Wait until a task has met that many errors; its document."""
        found = self._state.tasks[task]
        self.wait_until(lambda: found.faults >= number, seconds)
        return self.task(task)

    def settle(self, seconds: float = 20.0) -> None:
        """Wait until every task has ended."""
        self.wait_until(lambda: self.pending == 0, seconds)

    def wait_until(self, ready: Callable[[], bool], seconds: float = 20.0) -> None:
        """Wait for anything; raises TimeoutError with the open tasks."""
        if not self._state.wait_for(ready, seconds):
            waiting = [_summary(task) for task in self._state.tasks.values() if not task.ended]
            raise TimeoutError(f"not within {seconds} s; open tasks: {waiting}")


def _summary(task: Task) -> str:
    last = task.events[-1].code if task.events else "nothing"
    return f"{task.id} {task.status}, {task.faults} faults, last event {last}"
