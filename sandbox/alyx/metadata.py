"""OPTIONS: what an endpoint says about itself.

Exact for file records, which were seen; for the other resources only the general part.
"""

from sandbox.alyx.model import MODELS, Row
from sandbox.alyx.requesting import Answer, Request
from sandbox.alyx.resources import INPUTS
from sandbox.alyx.views import Views

_KINDS = {"Text": "string", "Url": "url", "Flag": "boolean", "Whole": "integer", "Number": "float"}
_KINDS |= {"Moment": "datetime", "Day": "date", "Uuid": "string"}
_HELP = {
    ("files", "name"): "Long name",
    ("files", "relative_path"): "path name within repository",
    ("files", "exists"): "Whether the file exists in the data repository",
}
_JSON_HELP = "Structured data, formatted in a user-defined way"
_PARSES = ["application/json", "application/x-www-form-urlencoded", "multipart/form-data"]


def describe(template: str, table: str, views: Views, request: Request) -> Answer:
    """The answer to OPTIONS; `table` is empty unless the path names one row, which must exist."""
    body: Row = {"name": _title(template, table), "description": ""}
    body |= {"renders": ["application/json", "text/html"], "parses": _PARSES}
    if table:
        views.find(request, table)
        body["actions"] = {"PUT": _fields(table)}
    return Answer(200, body)


def _title(template: str, table: str) -> str:
    if not table:
        return template.strip("/").replace("-", " ").title()
    return f"{MODELS[table].verbose.title()} Detail"


def _fields(table: str) -> Row:
    link = {"type": "field", "required": False, "read_only": True, "label": "Url"}
    return {"url": link, **{name: _field(table, name) for name in INPUTS[table]}}


def _field(table: str, name: str) -> Row:
    item = INPUTS[table][name]
    shown: Row = {
        "type": _KINDS.get(type(item).__name__, "field"),
        "required": item.required,
        "read_only": False,
        "label": name.replace("_", " ").capitalize(),
    }
    help_text = _JSON_HELP if name == "json" else _HELP.get((table, name))
    if help_text:
        shown["help_text"] = help_text
    longest = getattr(item, "longest", None)
    if longest is not None:
        shown["max_length"] = longest
    return shown
