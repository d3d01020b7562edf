"""What a request body may contain: one small object per kind of field, with REST-framework messages.

`clean` turns the JSON value into what the row stores, or raises `Wrong` with the sentence the real server
would put under the field's name. Unknown keys of a body are ignored without a word, as there.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sandbox.alyx.store import Store

_TRUE = {"t", "y", "yes", "true", "on", "1"}
_FALSE = {"f", "n", "no", "false", "off", "0"}


class Wrong(Exception):
    """This value is not acceptable; the argument is the server's sentence."""


@dataclass(frozen=True, slots=True)
class Input:
    """A field of a request body."""

    required: bool = False
    null: bool = False
    default: Any = None

    def clean(self, value: Any, store: Store) -> Any:
        """The value to store."""
        del store
        return value


@dataclass(frozen=True, slots=True)
class Text(Input):
    """A string; numbers are taken as their text."""

    longest: int | None = None
    blank: bool = True
    pattern: str = ""
    message: str = ""

    def clean(self, value: Any, _store: Store) -> Any:
        """The trimmed text."""
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise Wrong("Not a valid string.")
        text = str(value).strip()
        if not text:
            if not self.blank:
                raise Wrong("This field may not be blank.")
            return text
        if self.pattern and re.search(self.pattern, text) is None:
            raise Wrong(self.message)
        if self.longest is not None and len(text) > self.longest:
            raise Wrong(f"Ensure this field has no more than {self.longest} characters.")
        return text


@dataclass(frozen=True, slots=True)
class Url(Text):
    """An absolute http or ftp address."""

    def clean(self, value: Any, store: Store) -> Any:
        """The address."""
        text = Text.clean(self, value, store)
        if text and re.fullmatch(r"(?i)(https?|ftps?)://[^\s/?#]+([/?#]\S*)?", text) is None:
            raise Wrong("Enter a valid URL.")
        return text


@dataclass(frozen=True, slots=True)
class Flag(Input):
    """A boolean; the usual words are understood."""

    def clean(self, value: Any, _store: Store) -> Any:
        """True or False."""
        if isinstance(value, bool | int | float) and value in (0, 1):
            return bool(value)
        if isinstance(value, str):
            if value.lower() in _TRUE:
                return True
            if value.lower() in _FALSE:
                return False
            if self.null and value.lower() in ("", "null"):
                return None
        raise Wrong("Must be a valid boolean.")


@dataclass(frozen=True, slots=True)
class Whole(Input):
    """An integer, also as text."""

    least: int = -(2**63)
    most: int = 2**63 - 1

    def clean(self, value: Any, _store: Store) -> Any:
        """The integer."""
        if isinstance(value, str) and len(value) > 1000:
            raise Wrong("String value too large.")
        try:
            number = int(re.sub(r"\.0*\s*$", "", str(value)))
        except (TypeError, ValueError):
            raise Wrong("A valid integer is required.") from None
        if number > self.most:
            raise Wrong(f"Ensure this value is less than or equal to {self.most}.")
        if number < self.least:
            raise Wrong(f"Ensure this value is greater than or equal to {self.least}.")
        return number


@dataclass(frozen=True, slots=True)
class Number(Input):
    """A float, also as text."""

    def clean(self, value: Any, _store: Store) -> Any:
        """The float."""
        try:
            return float(value)
        except (TypeError, ValueError):
            raise Wrong("A valid number is required.") from None


@dataclass(frozen=True, slots=True)
class Uuid(Input):
    """A UUID."""

    def clean(self, value: Any, _store: Store) -> Any:
        """The UUID with dashes, in lower case."""
        try:
            return str(UUID(str(value)))
        except ValueError:
            raise Wrong("Must be a valid UUID.") from None


@dataclass(frozen=True, slots=True)
class Moment(Input):
    """A datetime; a zone is dropped, as the server stores naive local times."""

    def clean(self, value: Any, _store: Store) -> Any:
        """Naive ISO text."""
        try:
            if not isinstance(value, str) or len(value) < 16:
                raise ValueError
            return datetime.fromisoformat(value).replace(tzinfo=None).isoformat()
        except ValueError:
            wanted = "YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z]"
            raise Wrong(f"Datetime has wrong format. Use one of these formats instead: {wanted}.") from None


@dataclass(frozen=True, slots=True)
class Day(Input):
    """A date."""

    def clean(self, value: Any, _store: Store) -> Any:
        """ISO text."""
        try:
            return datetime.strptime(str(value), "%Y-%m-%d").date().isoformat()
        except ValueError:
            raise Wrong("Date has wrong format. Use one of these formats instead: YYYY-MM-DD.") from None


@dataclass(frozen=True, slots=True)
class Anything(Input):
    """Any JSON."""


@dataclass(frozen=True, slots=True)
class Enum(Input):
    """A choice, by its exact name."""

    name: str = ""
    choices: Mapping[str, int] | None = None

    def clean(self, value: Any, _store: Store) -> Any:
        """The choice's integer."""
        choices = self.choices or {}
        if not isinstance(value, str) or value not in choices:
            raise Wrong(f"Invalid {self.name}, choices are: {', '.join(choices)}")
        return choices[value]
