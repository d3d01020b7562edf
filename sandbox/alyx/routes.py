"""Every path of the server: its methods, and who may call them."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from sandbox.alyx.actions import Actions
from sandbox.alyx.model import MODELS
from sandbox.alyx.requesting import Answer, Request
from sandbox.alyx.views import Views

_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"

Handler = Callable[[Request], Answer | Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Route:
    """One path: its template for counting, its methods, and whether anybody may call it."""

    template: str
    methods: dict[str, Handler]
    open: bool = False
    throttled: bool = True
    table: str = ""

    @property
    def allow(self) -> str:
        """The Allow header."""
        methods = [name for name in ("GET", "POST", "PUT", "PATCH", "DELETE") if name in self.methods]
        head = ["HEAD"] if "GET" in self.methods else []
        return ", ".join([*methods, *head, "OPTIONS"])


def routes(views: Views, actions: Actions) -> list[tuple[re.Pattern[str], Route]]:
    """Every path the server knows, most used first."""
    found: list[tuple[re.Pattern[str], Route]] = []
    tables = [
        "files",
        "datasets",
        *(name for name in MODELS if name not in ("files", "datasets", "insertions")),
    ]
    for table in tables:
        by_id = MODELS[table].key == "id"
        template = f"/{table}/<id>" if by_id else f"/{table}/<name>"
        detail: dict[str, Handler] = {
            "GET": _bind(views.detail, table),
            "PUT": _bind(views.update, table),
            "PATCH": _bind(views.update, table),
            "DELETE": _bind(views.destroy, table),
        }
        listing: dict[str, Handler] = {"GET": _bind(views.list, table), "POST": _bind(views.create, table)}
        key = _UUID if by_id else "[^/]+"
        found.append((re.compile(f"^/{table}/(?P<key>{key})$"), Route(template, detail, table=table)))
        found.append((re.compile(f"^/{table}$"), Route(f"/{table}", listing)))
    single = [
        (r"/register-file", Route("/register-file", {"POST": actions.register_file}, open=True)),
        (r"/check-protected", Route("/check-protected", {"GET": actions.check_protected}, open=True)),
        (
            r"/sync-file-status",
            Route("/sync-file-status", {"GET": actions.sync_status, "POST": actions.sync}, open=True),
        ),
        (r"/auth-token", Route("/auth-token", {"POST": actions.token}, open=True, throttled=False)),
        (r"/api/schema", Route("/api/schema", {"GET": actions.schema}, open=True)),
        (r"/cache/info/", Route("/cache/info", {"GET": actions.cache_info})),
        (r"/cache/info", Route("/cache/info", {"GET": actions.cache_info})),
        (r"/cache/info/(?P<key>[^/]+)", Route("/cache/info/<tag>", {"GET": actions.cache_info})),
    ]
    return found + [(re.compile(f"^{path}$"), route) for path, route in single]


def _bind(view: Callable[[Request, str], Any], table: str) -> Handler:
    return lambda request: view(request, table)
