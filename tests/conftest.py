"""Fixtures that any test may ask for: a fresh PostgreSQL database, an empty Redis, this machine's sshd."""

import signal
import threading
from collections.abc import Iterator
from itertools import count

import pytest

from tests import servers

_numbers = count(1)

# Whoever starts the tests in the background of a shell hands down that Ctrl-C is ignored; the tests press it.
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """One PostgreSQL for the whole run; its URL without a database name."""
    with servers.postgres() as url:
        yield url


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """An empty database of one's own on a real PostgreSQL."""
    with servers.database(postgres_server, f"test{next(_numbers)}") as url:
        yield url


@pytest.fixture(scope="session")
def redis_server() -> Iterator[str]:
    with servers.redis() as url:
        yield url


@pytest.fixture
def redis_url(redis_server: str) -> str:
    """A real Redis, emptied before the test."""
    servers.flush(redis_server)
    return redis_server


@pytest.fixture(scope="session")
def sshd_path() -> str:
    """The path of this machine's sshd."""
    return servers.need("sshd", install="apt-get install openssh-server")
