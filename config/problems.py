"""Says what is wrong with a config, one line a problem, each with its place and its remedy.

Pure: it turns what pydantic found into sentences for the person who wrote the file.  A value is repeated
in a sentence only where the model does not call it a secret.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, SecretBytes, SecretStr, ValidationError
from pydantic_core import ErrorDetails

_REMEDIES = {
    "int": "Write a whole number.",
    "float": "Write a number.",
    "decimal": "Write a number.",
    "bool": "Write true or false.",
    "string": 'Write a text in "double quotes".',
    "path": 'Write a path in "double quotes".',
    "url": "Write a whole address, for example https://alyx.example.org.",
    "byte": 'Write a number of bytes, or a text such as "4 GiB".',
}
_LOOK_UP = "docs/configuration.md says what is expected."


class Wrong(ValueError):
    """A validator's verdict: `what` is wrong with the value and what to `do` about it."""

    def __init__(self, what: str, do: str) -> None:
        self.what, self.do = what, do
        super().__init__(f"{what}. {do}")


@dataclass(frozen=True, slots=True)
class Problem:
    """`origin` is the file or the environment variable, `key` the dotted place inside the config."""

    origin: str
    key: str
    what: str
    do: str

    def __str__(self) -> str:
        place = f"{self.origin}: {self.key}" if self.key else self.origin
        return f"{place}: {self.what}. {self.do}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A remedy for a misspelt word: the nearest known one, else all of them."""
    words = sorted(known)
    begins = [one for one in words if word.lower().startswith(f"{one}_")]
    if begins:
        return f'Did you mean "{begins[-1]}"?'
    near = get_close_matches(word.lower(), words, n=1, cutoff=0.6)
    if near:
        return f'Did you mean "{near[0]}"?'
    return f"Known here: {', '.join(words)}." if words else _LOOK_UP


def explained(
    error: ValidationError,
    model: type[BaseModel],
    *,
    at: Sequence[str],
    origins: Mapping[tuple[str, ...], str],
) -> Iterator[Problem]:
    """One problem for each of pydantic's; `at` is the section's place, `origins` finds each value's source.

    `origins` maps a key's place to the environment variable that set it; the place `()` is the file.
    """
    for found in error.errors(include_url=False):
        place = (*at, *(str(part) for part in found["loc"]))
        what, do = _sentence(found, model)
        yield Problem(origins.get(place, origins[()]), ".".join(place), what, do)


def _sentence(found: ErrorDetails, model: type[BaseModel]) -> tuple[str, str]:
    kind = found["type"]
    cause = found.get("ctx", {}).get("error")
    model, key = _innermost(model, [str(part) for part in found["loc"]])
    shown = "" if _is_secret(model, key) else f", not {found['input']!r}"
    if isinstance(cause, Wrong):
        return cause.what, cause.do
    match kind:
        case "missing":
            return "is missing", "Add it; docs/configuration.md has an example."
        case "extra_forbidden":
            return "unknown key", did_you_mean(key, model.model_fields)
        case "literal_error":
            choices = [str(choice) for choice in _choices(model, key)]
            return f"must be one of {_listed(choices)}{shown}", did_you_mean(str(found["input"]), choices)
        case "value_error":
            return f"{cause}".rstrip("."), _LOOK_UP
        case _:
            said = found["msg"].removeprefix("Input should be ").rstrip(".")
            return f"must be {said}{shown}", _REMEDIES.get(kind.split("_")[0], _LOOK_UP)


def _innermost(model: type[BaseModel], place: Sequence[str]) -> tuple[type[BaseModel], str]:
    """The table within a table that a place lies in, and the key there."""
    field = model.model_fields.get(place[0]) if len(place) > 1 else None
    inner = field.annotation if field else None
    if isinstance(inner, type) and issubclass(inner, BaseModel):
        return _innermost(inner, place[1:])
    return model, place[0] if place else ""


def _choices(model: type[BaseModel], key: str) -> tuple[Any, ...]:
    field = model.model_fields.get(key)
    return get_args(field.annotation) if field else ()


def _is_secret(model: type[BaseModel], key: str) -> bool:
    """Whether the value of this key (or, without a key, of the whole section) must not be repeated."""
    field = model.model_fields.get(key)
    if field is None:
        return True
    kinds = {field.annotation, *get_args(field.annotation)}
    return bool(kinds & {SecretStr, SecretBytes}) or not field.repr


def _listed(words: Sequence[str]) -> str:
    return ", ".join(f'"{word}"' for word in words)
