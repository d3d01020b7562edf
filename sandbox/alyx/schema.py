"""GET /api/schema: enough OpenAPI for the ONE client, which asks it which endpoints and filters there are."""

from sandbox.alyx.filters import PARAMETERS, WITH_DJANGO
from sandbox.alyx.model import MODELS, Row
from sandbox.alyx.resources import INPUTS

_REGISTRATION = """
created_by name hostname path filenames labs projects hashes filesizes versions qc server_only default
check_protected exists content_type object_id
"""


def schema() -> Row:
    """The document: paths with their methods, query parameters and body fields; no types, no answers."""
    paths: Row = {"/register-file": {"post": _with_body("register-file")}}
    paths["/check-protected"] = {
        "get": _listing(["path", "filenames", "created_by", "content_type", "object_id"])
    }
    bodies: Row = {"register-file": {"properties": {name: {} for name in _REGISTRATION.split()}}}
    for table, inputs in INPUTS.items():
        names = ["limit", "offset", *PARAMETERS.get(table, ()), *(["django"] if table in WITH_DJANGO else [])]
        key = "{id}" if MODELS[table].key == "id" else "{name}"
        written = _with_body(table)
        paths[f"/{table}"] = {"get": _listing(names), "post": written}
        paths[f"/{table}/{key}"] = {"get": {}, "put": written, "patch": written, "delete": {}}
        bodies[table] = {"properties": {name: {} for name in inputs}}
    info = {"title": "Sandbox Alyx", "version": "3.6.1"}
    return {"openapi": "3.0.3", "info": info, "paths": paths, "components": {"schemas": bodies}}


def _listing(names: list[str]) -> Row:
    return {"parameters": [{"name": name, "in": "query", "schema": {}} for name in names]}


def _with_body(name: str) -> Row:
    reference = {"$ref": f"#/components/schemas/{name}"}
    return {"requestBody": {"content": {"application/json": {"schema": reference}}}}
