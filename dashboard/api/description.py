"""What the OpenAPI document says besides what the operations say of themselves: failures and logins."""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse

from dashboard.access import Seeing
from dashboard.api.problems import MEDIA_TYPE

_PROBLEM = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
_LOGINS = {
    "token": {"type": "http", "scheme": "bearer", "description": "A token that `alyx-transfer token` made."},
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "alyx_transfer",
        "description": "A browser's login.",
    },
}


def describe(app: FastAPI) -> None:
    """Complete the application's document: every failure is a problem, and how a program logs in."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = completed(
                get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
            )
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]
    app.add_api_route("/api/v1/openapi.json", _document, include_in_schema=False)


def _document(request: Request, _: Seeing) -> JSONResponse:
    """The document, for who may look."""
    return JSONResponse(request.app.openapi())


def completed(found: dict[str, Any]) -> dict[str, Any]:
    """The document with one form for every failure."""
    for operations in found["paths"].values():
        for operation in operations.values():
            for status, answer in operation["responses"].items():
                if int(status) >= 400:
                    answer["content"] = _PROBLEM
    found.setdefault("components", {})["securitySchemes"] = _LOGINS
    found["security"] = [{"token": []}, {"session": []}]
    return found
