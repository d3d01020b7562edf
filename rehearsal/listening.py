"""What the program writes into its log while a drill lasts: what the lab would have read there.

Failures that it deals with are counted by their kind.  Errors of its own, which it logs with a stack trace before it
goes on, fail the drill, whatever came of the files.
"""

import logging
from collections import Counter
from types import TracebackType
from typing import Self

from transfer.errors import CATALOGUE


class Listening(logging.Handler):
    """Collects while its `with` lasts."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._told: Counter[str] = Counter()
        self._defects: dict[str, None] = {}

    def __enter__(self) -> Self:
        logging.getLogger().addHandler(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        logging.getLogger().removeHandler(self)

    @property
    def told(self) -> str:
        """The warnings, by their kind, in the order of their first."""
        if not self._told:
            return "no warning in the log"
        return "in the log: " + ", ".join(f"{count} x {what}" for what, count in self._told.items())

    @property
    def defects(self) -> list[str]:
        """A sentence for each error of the program's own."""
        return list(self._defects)

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if record.levelno >= logging.ERROR and error is not None:
            said = str(error).partition("\n")[0]
            self._defects[f"the program failed unexpectedly ({type(error).__name__}: {said})"] = None
        elif isinstance(record.msg, dict):  # an event of the program's; other libraries write texts
            kind = CATALOGUE.get(record.msg.get("code", ""))
            words = f"[{kind.code}] {kind.name}" if kind else str(record.msg.get("event")).replace("_", " ")
            self._told[words] += 1
