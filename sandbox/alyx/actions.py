"""The endpoints that are not a table: registration, protection, synchronisation, login and the rest."""

import secrets

from sandbox.alyx import alf, registering, understanding
from sandbox.alyx.errors import Crash, invalid, refused
from sandbox.alyx.hazards import Hazards
from sandbox.alyx.model import Row
from sandbox.alyx.protection import protection
from sandbox.alyx.requesting import Answer, Request
from sandbox.alyx.schema import schema
from sandbox.alyx.serializers import Serializers
from sandbox.alyx.sessions import find_session, find_subject
from sandbox.alyx.store import Store

TABLES_ROOT = "/srv/tables"
"""Where the real server would look for its cache tables; the sandbox has none, as a fresh Alyx."""


class Actions:
    """These endpoints, over one store."""

    def __init__(self, store: Store, hazards: Hazards) -> None:
        self.store = store
        self.hazards = hazards

    # Registration -------------------------------------------------------------------

    async def register_file(self, request: Request) -> Answer:
        """POST /register-file."""
        body = request.data()
        if not isinstance(body, dict):
            raise Crash(f"'{type(body).__name__}' object has no attribute 'get'")
        with self.store.lock:
            plan = understanding.understand(self.store, body, request.user)

        async def gap() -> None:
            await self.hazards.gap(request.method, request.template)

        # Each file is answered as it stood right after it was written.
        shapes = Serializers(self.store, request.base)
        answers = [shapes.registered(row) async for row in registering.register(self.store, plan, gap)]
        return Answer(201, answers)

    def check_protected(self, request: Request) -> Answer:
        """GET /check-protected: always HTTP 200, the verdict is in the body."""
        body = request.params or request.data()
        with self.store.lock:
            user = understanding.creator(self.store, body, request.user)
            path = understanding.tidy_path(body)
            names = [name for name in understanding.listed(body.get("filenames", ())) if name]
            belongs = understanding.owner(self.store, body)
            session = None
            if belongs is None:
                try:
                    nickname, day, number = alf.session_of(path)
                    subject = find_subject(self.store, nickname)
                    session = find_session(self.store, subject, day, number, user)["id"]
                except ValueError as error:
                    raise Crash(str(error)) from None
                places = [alf.place_in_session(path, name) for name in names]
            else:
                places = [alf.place_of_aggregate(path, name) for name in names]
            protected, details = protection(self.store, session, belongs, places)
        if protected:
            text = "One or more datasets is protected"
            return Answer(200, {"status_code": 403, "error": text, "details": details})
        return Answer(200, {"status_code": 200, "details": "None of the datasets are protected"})

    def sync_status(self, request: Request) -> Answer:
        """GET /sync-file-status: paths the nightly synchronisation would look at, newest dataset first."""
        del request
        with self.store.lock:
            tables = self.store.tables
            central = {
                key
                for key, row in tables["data-repository"].items()
                if row["globus_is_personal"] is False and "flatiron" in row["name"].lower()
            }
            waiting = {
                row["dataset"]
                for row in tables["files"].values()
                if not row["exists"] and row["data_repository"] in central
            }
            rows = sorted((tables["datasets"][key] for key in waiting), key=_created, reverse=True)
            shapes = Serializers(self.store, "")
            looked_at = {
                (row["created_datetime"], record["relative_path"]): None
                for row in rows
                for record in shapes.records(row["id"])
                if tables["data-repository"][record["data_repository"]]["globus_is_personal"]
                or "transfer_pending" in (record["json"] or {})
            }
            return Answer(200, [path for _, path in looked_at])

    def sync(self, request: Request) -> Answer:
        """POST /sync-file-status needs Globus, which the sandbox has not."""
        del request
        raise Crash("Globus not authenticated")

    # The rest -------------------------------------------------------------------------

    def token(self, request: Request) -> Answer:
        """POST /auth-token: one token per user, made at the first login."""
        body = request.data()
        if not isinstance(body, dict):
            kind = type(body).__name__
            raise invalid({"non_field_errors": [f"Invalid data. Expected a dictionary, but got {kind}."]})
        wrong = {name: ["This field is required."] for name in ("username", "password") if name not in body}
        wrong |= {
            name: ["This field may not be blank."]
            for name in ("username", "password")
            if body.get(name) == ""
        }
        if wrong:
            raise invalid(wrong)
        with self.store.lock:
            user = self.store.one("users", "username", body["username"])
            secret = self.store.secrets.get(user["id"]) if user is not None else None
            if secret is None or secret["password"] is None or secret["password"] != body["password"]:
                raise invalid({"non_field_errors": ["Unable to log in with provided credentials."]})
            secret["token"] = secret["token"] or secrets.token_hex(20)
            return Answer(200, {"token": secret["token"]})

    def cache_info(self, request: Request) -> Answer:
        """GET /cache/info/: no cache tables were ever built."""
        tag = request.args.get("key")
        if tag is not None:
            raise refused(404, "Not found.")
        raise Crash(f"[Errno 2] No such file or directory: '{TABLES_ROOT}/cache_info.json'")

    def schema(self, request: Request) -> Answer:
        """GET /api/schema."""
        del request
        return Answer(200, schema())

    def root(self, request: Request) -> Answer:
        """GET /: to the admin pages, which the sandbox has not."""
        del request
        return Answer(302, html="", headers={"location": "/admin"})


def _created(row: Row) -> str:
    return str(row["created_datetime"])
