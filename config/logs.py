"""One stream of log records, our own and other libraries', as text for people or JSON for machines.

An event is a constant in the past tense (`file_sent`), everything else is a field.  Before a record is
written, the values of fields that are named like a secret, the passwords inside addresses, and every secret
that this process has read (see `transfer.secrecy`), become `***`.  Records go to standard error: standard output
belongs to what a command was asked for.
"""

import logging
import re
import sys
from collections.abc import Mapping
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from config.sections import Logs
from transfer.secrecy import masked

_SECRET_NAME = re.compile(r"passw|secret|token|authorization|cookie|api_?key|private_key|credential", re.I)
_IN_ADDRESS = re.compile(r"(?<=://)([^/\s:@]*):[^/\s@]+@")
_IN_HEADER = re.compile(r"\b(Token|Bearer|Basic)\s+[A-Za-z0-9+/=_.\-]{8,}")
_OURS = "alyx-transfer"
_CHATTY = ("httpx2", "httpcore", "celery", "kombu", "amqp", "alembic", "urllib3", "globus_sdk")
# paramiko logs a stack trace and raises besides; what it raises is told as a sentence.
_TOLD_ANYWAY = "paramiko"


class _ToStandardError(logging.StreamHandler[TextIO]):
    """Writes to whatever `sys.stderr` is at that moment, not to what it was when this was made."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr


def configure(logs: Logs, *, stream: TextIO | None = None) -> None:
    """Send every record of this process to `stream` (standard error if None), in the chosen form.

    May be called again; the last call counts.  Chatty libraries speak from WARNING on, unless the level
    is debug.
    """
    out = stream or sys.stderr
    as_json = logs.format == "json" or (logs.format == "auto" and not out.isatty())
    shared = _shared()
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream) if stream else _ToStandardError()
    handler.name = _OURS
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_last(as_json, out)],
        )
    )
    root = logging.getLogger()
    for earlier in [known for known in root.handlers if known.name == _OURS]:
        root.removeHandler(earlier)
    root.addHandler(handler)
    root.setLevel(logs.level.upper())
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.NOTSET if logs.level == "debug" else logging.WARNING)
    logging.getLogger(_TOLD_ANYWAY).setLevel(logging.NOTSET if logs.level == "debug" else logging.CRITICAL)


def mask(_logger: WrappedLogger, _method: str, record: EventDict) -> EventDict:
    """Replace what must not be read in a log by `***`; a structlog processor."""
    return {name: _masked(name, value) for name, value in record.items()}


def _masked(name: object, value: Any) -> Any:
    if isinstance(name, str) and _SECRET_NAME.search(name) and value is not None:
        return "***"
    if isinstance(value, str):
        return _IN_HEADER.sub(r"\1 ***", _IN_ADDRESS.sub(r"\1:***@", value))
    if isinstance(value, Mapping):
        return {key: _masked(key, inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(None, inner) for inner in value]
    return value


def _shared() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]


def mask_line(_logger: WrappedLogger, _method: str, line: Any) -> Any:
    """Replace every known secret in a rendered line by `***`: the objects in it are texts only now."""
    return masked(line) if isinstance(line, str) else line


def _last(as_json: bool, out: TextIO) -> list[Processor]:
    if as_json:
        render: Processor = structlog.processors.JSONRenderer(default=str)
    else:
        plain = structlog.dev.plain_traceback
        render = structlog.dev.ConsoleRenderer(colors=out.isatty(), exception_formatter=plain)
    return [structlog.processors.format_exc_info, mask, render, mask_line]
