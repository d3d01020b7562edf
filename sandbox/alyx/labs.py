"""SandboxAlyx: the server with a front door for tests and demos, to furnish labs and to look inside."""

import json
import secrets
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from sandbox.alyx import reference
from sandbox.alyx.counting import Requests
from sandbox.alyx.faults import Faults
from sandbox.alyx.hazards import Hazards
from sandbox.alyx.model import MODELS
from sandbox.alyx.seeding import Seed, Seeder
from sandbox.alyx.server import Application, Server
from sandbox.alyx.store import Store
from sandbox.alyx.tables import Tables


class SandboxAlyx:
    """A running Alyx. Use it as a context manager, or call `start` and `stop`."""

    def __init__(
        self,
        seed: Seed | None = None,
        state: Path | None = None,
        throttle: int | None = None,
        port: int = 0,
        password: str | None = None,
    ) -> None:
        """Furnish the tables; nothing listens yet.

        `seed` holds rows as Alyx lists them (None: the usual dataset types and formats). `state` is a SQLite
        file: if it already holds rows they are used and the seed is not. `throttle` is requests per minute
        and user (None: no limit). `port` 0 takes a free one. `password` is for seed users that have none.
        """
        self._store = Store(state)
        self._seeder = Seeder(self._store)
        if self._store.empty():
            self._seeder.load(reference.seed() if seed is None else seed, password)
        self._application = Application(self._store, throttle)
        self._server = Server(self._application, port)
        self.tables = Tables(self._store)
        self.file_records = self.tables.file_records
        self.datasets = self.tables.datasets

    @property
    def url(self) -> str:
        """The address, e.g. http://127.0.0.1:40123, without a slash at the end."""
        return f"http://127.0.0.1:{self._server.port}"

    @property
    def requests(self) -> Requests:
        """What was asked so far."""
        return self._application.requests

    @property
    def faults(self) -> Faults:
        """The script of failures."""
        return self._application.faults

    @property
    def hazards(self) -> Hazards:
        """The gaps between reading and writing."""
        return self._application.hazards

    @property
    def throttle(self) -> int | None:
        """Requests per minute and user; None is no limit. Setting it forgets earlier requests."""
        return self._application.throttle.limit

    @throttle.setter
    def throttle(self, limit: int | None) -> None:
        self._application.throttle.limit = limit
        self._application.throttle.reset()

    def set_time(self, moment: datetime) -> None:
        """Let the server's clock go on from this naive time; rows made from now on carry it."""
        with self._store.lock:
            self._store.ahead = moment - datetime.now()

    def start(self) -> Self:
        """Listen."""
        self._server.start()
        return self

    def stop(self) -> None:
        """Stop listening and write the state."""
        self._server.stop()
        self._store.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # Furnishing -------------------------------------------------------------------

    def add_user(self, username: str, password: str | None = None) -> str:
        """A user who can log in with this password; returns the id."""
        with self._store.lock:
            row = self._seeder.user(username, password)
            self._store.commit()
        return str(row["id"])

    def token_for(self, username: str) -> str:
        """The user's token, made now if there is none yet."""
        with self._store.lock:
            user = self._store.one("users", "username", username)
            if user is None:
                raise KeyError(username)
            secret = self._store.secrets[user["id"]]
            secret["token"] = secret["token"] or secrets.token_hex(20)
            self._store.commit()
            return str(secret["token"])

    def add_lab(self, name: str, repositories: Sequence[str] = ()) -> str:
        """A lab whose registrations make records in these repositories; returns the id."""
        return self._add("labs", name=name, repositories=self._keys("data-repository", repositories))

    def add_repository(
        self,
        name: str,
        globus_path: str = "/",
        personal: bool | None = False,
        data_url: str | None = None,
        hostname: str = "",
        globus_endpoint_id: str | None = None,
    ) -> str:
        """A data repository; `personal` is True for a lab's own server, False for the central store."""
        return self._add(
            "data-repository",
            name=name,
            globus_path=globus_path,
            globus_is_personal=personal,
            data_url=data_url,
            hostname=hostname,
            globus_endpoint_id=globus_endpoint_id,
        )

    def set_data_url(self, repository: str, url: str) -> None:
        """The web address of a repository has changed."""
        with self._store.lock:
            row = self._store.one("data-repository", "name", repository)
            if row is None:
                raise KeyError(repository)
            self._store.save("data-repository", row | {"data_url": url})
            self._store.commit()

    def add_subject(self, nickname: str, lab: str) -> str:
        """A subject of a lab; returns the id."""
        with self._store.lock:
            self._keys("labs", [lab])
            row = self._seeder.subject({"nickname": nickname, "lab": lab})
            self._store.commit()
        return str(row["id"])

    def add_session(
        self, subject: str, date: str, number: int = 1, lab: str | None = None, users: Sequence[str] = ()
    ) -> str:
        """A session of that day (an ISO date, or a whole start time), by default of the subject's lab; its eid."""
        with self._store.lock:
            owner = self._store.one("subjects", "nickname", subject)
            if owner is None:
                raise KeyError(subject)
            lab = lab or self._store.tables["labs"][owner["lab"]]["name"]
            start = date if "T" in date else f"{date}T{9 + number % 12:02d}:00:00"
            shown = {
                "subject": subject,
                "lab": lab,
                "number": number,
                "start_time": start,
                "users": list(users),
            }
            row = self._seeder.session({**shown, "type": "Experiment"})
            self._store.commit()
        return str(row["id"])

    def add_dataset_type(self, name: str, filename_pattern: str = "") -> str:
        """A dataset type; returns the id."""
        return self._add("dataset-types", name=name, filename_pattern=filename_pattern)

    def add_data_format(self, name: str, extension: str) -> str:
        """A data format; the extension starts with a dot; returns the id."""
        return self._add("data-formats", name=name, file_extension=extension)

    def add_tag(self, name: str, protected: bool = False) -> str:
        """A tag; datasets that carry a protected one cannot be registered over or deleted; returns the id."""
        return self._add("tags", name=name, protected=protected)

    def _add(self, table: str, **values: object) -> str:
        with self._store.lock:
            row = self._seeder.make(table, values)
            self._store.commit()
        return str(row["id"])

    def _keys(self, table: str, names: Sequence[str]) -> list[str]:
        found = []
        with self._store.lock:
            for name in names:
                row = self._store.one(table, MODELS[table].key, name)
                if row is None:
                    raise KeyError(name)
                found.append(row["id"])
        return found


def read_seed(path: Path) -> Seed:
    """A seed from a JSON file: the rows themselves, or a recording that contains them under `seed`."""
    found = json.loads(path.read_text("utf-8"))
    seed: Seed = found.get("seed", found)
    return seed
