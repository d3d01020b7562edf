"""Real servers for tests: a PostgreSQL, a Redis, a RabbitMQ to a test run, each in a folder of its own on loopback.

They store nothing worth keeping (no fsync, no persistence), listen on a free port and end with the `with`.
A binary that is not installed skips the test and says how to install it, except where CI=true: there it fails.
"""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

_PLACES = ("/usr/sbin", "/usr/local/sbin", "/usr/local/bin", "/opt/homebrew/bin", "/opt/homebrew/sbin")
_PATIENCE = 30.0  # seconds a server has to answer


def find(binary: str, *places: str) -> str | None:
    """Return the binary's absolute path, looked for in `places` first, then on PATH and where servers live."""
    return shutil.which(binary, path=os.pathsep.join([*places, os.environ.get("PATH", ""), *_PLACES]))


def need(binary: str, *places: str, install: str) -> str:
    """Return the binary's path; missing, the test fails under CI=true and is skipped elsewhere."""
    found = find(binary, *places)
    if found is None:
        message = f'no {binary} here: "{install}"'
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


Restart = Callable[[], None]
"""Ends a server as an administrator does and starts it again, at the same address; answers when it answers."""


@contextmanager
def postgres(**more: str | int) -> Iterator[str]:
    """Run a PostgreSQL; yield its URL without a database name (append one).  `more` are settings of its own."""
    with restartable_postgres(**more) as (url, _):
        yield url


@contextmanager
def restartable_postgres(**more: str | int) -> Iterator[tuple[str, Restart]]:
    """The same, and how to restart it."""
    newest = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    places = [str(path) for path in reversed(newest)]
    initdb = need("initdb", *places, install="apt-get install postgresql")
    server = need("postgres", *places, install="apt-get install postgresql")
    become = _as_postgres()
    with _home("pg", owner="postgres" if become else None) as home:
        making = [initdb, "-D", "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"]
        subprocess.run([*become, *making], cwd=home, check=True, stdout=subprocess.DEVNULL)
        port = free_port()
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": port,
            "unix_socket_directories": "",
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
            "shared_buffers": "16MB",
            "autovacuum": "off",
            **more,
        }
        options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        command = [*become, server, "-D", "data", *options]
        with _running(command, home, lambda: _answers_postgres(port)) as restart:
            yield f"postgresql://postgres@127.0.0.1:{port}", restart


@contextmanager
def database(server: str, name: str, *, template: str = "template1") -> Iterator[str]:
    """Make a database on a server of `postgres`, a copy of `template`; yield its URL and drop it afterwards."""
    import psycopg

    with psycopg.connect(f"{server}/postgres", autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
        try:
            yield f"{server}/{name}"
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@contextmanager
def redis() -> Iterator[str]:
    """Run a Redis that keeps nothing; yield its URL."""
    with restartable_redis() as (url, _):
        yield url


@contextmanager
def restartable_redis() -> Iterator[tuple[str, Restart]]:
    """The same, and how to restart it: whatever waited in it is lost."""
    server = need("redis-server", install="apt-get install redis-server")
    with _home("redis", owner=None) as home:
        port = free_port()
        options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        command = [server, *options, "--dir", str(home)]
        with _running(command, home, lambda: _says(port, b"PING", b"+PONG")) as restart:
            yield f"redis://127.0.0.1:{port}/0", restart


def flush(url: str) -> None:
    """Empty a Redis made by `redis`."""
    assert _says(int(url.rsplit(":", 1)[1].split("/")[0]), b"FLUSHALL", b"+OK")


@contextmanager
def rabbitmq() -> Iterator[str]:
    """Run a RabbitMQ with its own Erlang port mapper, known to nobody else; yield its URL."""
    server = need("rabbitmq-server", "/usr/lib/rabbitmq/bin", install="apt-get install rabbitmq-server")
    mapper = need("epmd", install="apt-get install rabbitmq-server")
    become = _as_account("rabbitmq")
    with _home("rabbitmq", owner="rabbitmq" if become else None) as home:
        port, names, dist = free_port(), free_port(), free_port()
        (home / "plugins").write_text("[].\n")
        (home / "rabbitmq.conf").touch()
        environ = {
            **os.environ,
            "HOME": str(home),  # where Erlang keeps its cookie
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(names),
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
            "RABBITMQ_NODENAME": f"test{port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(port),
            "RABBITMQ_DIST_PORT": str(dist),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_LOG_BASE": str(home / "logs"),
            "RABBITMQ_MNESIA_BASE": str(home / "mnesia"),
            "RABBITMQ_PID_FILE": str(home / "pid"),
            "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "plugins"),
        }
        # Otherwise the server starts one itself, which then stays behind.
        listening = partial(_says, names, b"\x00\x01n", b"")
        with (
            _running(
                [*become, mapper, "-port", str(names), "-address", "127.0.0.1"], home, listening, environ
            ),
            _running([*become, server], home, partial(_greets, port), environ),
        ):
            yield f"amqp://guest:guest@127.0.0.1:{port}//"


def _greets(port: int) -> bool:
    """Whether an AMQP server answers."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as line:
            line.sendall(b"AMQP\x00\x00\x09\x01")
            return bool(line.recv(8))
    except OSError:
        return False


def _as_postgres() -> list[str]:
    """The words in front of a command that make it run as somebody other than root, whom PostgreSQL refuses."""
    return _as_account("postgres")


def _as_account(name: str) -> list[str]:
    """The words in front of a command that make it run as this account; none where we are not root."""
    if os.geteuid() != 0:
        return []
    setpriv = need("setpriv", install="apt-get install util-linux")
    return [setpriv, f"--reuid={name}", f"--regid={name}", "--clear-groups", "--"]


@contextmanager
def _home(name: str, *, owner: str | None) -> Iterator[Path]:
    home = Path(tempfile.mkdtemp(prefix=f"{name}-"))
    try:
        if owner:
            shutil.chown(home, owner, owner)
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def _running(
    command: list[str], home: Path, answers: Callable[[], bool], environ: dict[str, str] | None = None
) -> Iterator[Restart]:
    """Run `command` until the `with` ends; go on when it `answers`."""
    with (home / "log").open("ab") as log:
        children: list[subprocess.Popen[bytes]] = []

        def start() -> None:
            children.append(subprocess.Popen(command, cwd=home, stdout=log, stderr=log, env=environ))
            deadline = time.monotonic() + _PATIENCE
            while not answers():
                if children[-1].poll() is not None or time.monotonic() > deadline:
                    said = (home / "log").read_text(errors="replace")
                    pytest.fail(f"{command[0]} did not start:\n{said}")
                time.sleep(0.05)

        def end() -> None:
            children[-1].send_signal(2)  # PostgreSQL: fast shutdown; Redis and RabbitMQ: stop
            try:
                children[-1].wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                children[-1].kill()
                children[-1].wait()

        def restart() -> None:
            end()
            start()

        try:
            start()
            yield restart
        finally:
            end()


def _answers_postgres(port: int) -> bool:
    import psycopg

    try:
        psycopg.connect(f"postgresql://postgres@127.0.0.1:{port}/postgres", connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def _says(port: int, word: bytes, answer: bytes) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as line:
            line.sendall(word + b"\r\n")
            return line.recv(64).startswith(answer)
    except OSError:
        return False
