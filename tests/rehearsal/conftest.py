"""What a rehearsal does to the logging of its process is undone after each test."""

import logging
from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root, servers = logging.getLogger(), [logging.getLogger(name) for name in ("sandbox", "uvicorn")]
    handlers, level, levels = list(root.handlers), root.level, [server.level for server in servers]
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)
    for server, before in zip(servers, levels, strict=True):
        server.setLevel(before)
