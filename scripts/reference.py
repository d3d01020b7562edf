"""Write docs/reference.md: every key of the config and every error, as the code has them.

`python scripts/reference.py` writes it; with `--check` it says whether it is up to date.  What a key or an error
means for a person is told in docs/configuration.md and docs/errors.md, which tests hold to the same lists.
"""

import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from config import settings
from config.guest import Guest
from config.schedule import LabSchedule
from config.sections import Lab
from transfer.errors import CATALOGUE
from transfer.transports.registry import KINDS, options_model

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference.md"

_HEAD = """# Reference

Made from the code by `python scripts/reference.py`; do not edit it here. What a key means is told in
[configuration.md](configuration.md), and what to do about an error in [errors.md](errors.md).

"""


_WORDS = {
    "str": "text",
    "int": "whole number",
    "float": "number",
    "bool": "true or false",
    "Path": "path",
    "PurePosixPath": "path",
    "SecretStr": "secret",
    "ByteSize": "size",
    "UUID": "uuid",
}


def page() -> str:
    """The whole page."""
    return _HEAD + "\n".join([*_config(), *_errors()])


def _config() -> Iterator[str]:
    yield "## Config"
    yield ""
    yield "An environment variable overrides the file; `<NAME>` is the table's name, with `_` for any odd character."
    yield ""
    yield "| table | key | kind | default | environment variable |"
    yield "|---|---|---|---|---|"
    for table, variable, model in _tables():
        for key, field in model.model_fields.items():
            if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
                continue  # a table of its own
            name = f"{settings.PREFIX}{variable}__{key.upper()}"
            yield f"| {table} | `{key}` | {_kind(field)} | {_default(field)} | `{name}` |"
    yield ""


def _tables() -> Iterator[tuple[str, str, type[BaseModel]]]:
    for name, model in settings._SECTIONS.items():
        yield f"`[{name}]`", name.upper(), model
    yield "`[labs.<name>]`", "LABS__<NAME>", Lab
    yield "`[labs.<name>.schedule]`", "LABS__<NAME>__SCHEDULE", LabSchedule
    yield "`[labs.<name>.guest]`", "LABS__<NAME>__GUEST", Guest
    for kind in KINDS:
        yield f"`[stores.<name>]`, {kind}", "STORES__<NAME>", options_model(kind)


def _kind(field: FieldInfo) -> str:
    return _named(field.annotation).replace("|", "or")


def _named(kind: Any) -> str:
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _named(inner[0])
    if origin is Literal:
        return " or ".join(f"`{one}`" for one in inner)
    if origin in (Union, types.UnionType):
        return " or ".join(_named(one) for one in inner if one is not type(None))
    if origin in (list, tuple, frozenset):
        return f"list of {_named(inner[0])}"
    if origin is dict:
        return "table"
    name = getattr(kind, "__name__", str(kind))
    return _WORDS.get(name, name)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "*required*"
    if field.default_factory is not None:
        return "*see configuration.md*"
    return "*none*" if field.default is None else f"`{_shown(field.default)}`"


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _errors() -> Iterator[str]:
    yield "## Errors"
    yield ""
    yield "*Cured by*: who or what helps. *Reaches*: what else fails with it."
    yield ""
    yield "| code | name | cured by | reaches | cause | remedy |"
    yield "|---|---|---|---|---|---|"
    for code, kind in sorted(CATALOGUE.items()):
        anchor = f"{code.lower()}-{kind.name}"
        words = (kind.cure.name, kind.reach.name)
        cure, reach = (word.lower().replace("_", " ") for word in words)
        told = f"{cure} | {reach} | {_cell(kind.cause)} | {_cell(kind.remedy)}"
        yield f"| [{code}](errors.md#{anchor}) | {kind.name} | {told} |"
    yield ""


def _cell(words: str) -> str:
    return re.sub(r"\s+", " ", words).replace("|", "\\|")


def main() -> int:
    if sys.argv[1:] == ["--check"]:
        if PAGE.read_text(encoding="utf-8") == page():
            return 0
        sys.stderr.write("docs/reference.md is not what the code says. Run: python scripts/reference.py\n")
        return 1
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
