"""The profile `demo` without containers: its commands, its config and its health checks, with real servers beside them.

What is otherwise: ports and folders are this machine's, and PostgreSQL and Redis are those of the tests.
"""

import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from sandbox.ftp_servers_certificates import Authority
from tests.deploy.recipes import DEPLOY, ROOT, services
from tests.integration.lab import Program
from tests.servers import free_port
from transfer.ledger import Ledger, open_ledger, reports

COMPOSE = DEPLOY / "compose"
PATIENCE = 60.0


@pytest.fixture
def started() -> Iterator[ExitStack]:
    with ExitStack() as everything:
        yield everything


def until(happened: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(0.1)


def script(name: str, *arguments: Path) -> subprocess.Popen[bytes]:
    """A script of the demo with other folders than the container's."""
    shown = ", ".join(f"Path({str(one)!r})" for one in arguments)
    start = (
        f"import runpy; from pathlib import Path; runpy.run_path({str(COMPOSE / name)!r})['main']({shown})"
    )
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-c", start], cwd=ROOT, env=environ)


def config(box: Path, *, ledger: str, broker: str, port: int) -> Path:
    """The demo's own config with this machine's ports and folders."""
    text = (COMPOSE / "demo.toml").read_text("utf-8")
    certificate = Authority(box / "authority").certificate("localhost")
    secret = box / "dashboard-secret"
    secret.write_text("0123456789abcdef" * 4)
    secret.chmod(0o600)
    alyx, store = ((box / place).read_text() for place in ("home/alyx-port", "keys/port"))
    for was, becomes in {
        r'"/srv/box/': f'"{box.as_posix()}/',
        r"127\.0\.0\.1:8000": f"127.0.0.1:{alyx}",
        r"port = 2222": f"port = {store}",
        r'url = "postgresql:.*"': f'url = "{ledger}"',
        r'url = "redis:.*"': f'url = "{broker}"',
        r'password_file = "/run/.*"\n': "",
        r'"/run/secrets/dashboard-(certificate|key)"': f'"{certificate.as_posix()}"',
        r'"/run/secrets/dashboard-secret"': f'"{secret.as_posix()}"',
        r"\[dashboard\]": f"[dashboard]\nport = {port}",
    }.items():
        text, times = re.subn(was, becomes, text)
        assert times, f"the demo's config has no {was}"
    file = box / "config.toml"
    file.write_text(text)
    file.chmod(0o600)
    return file


def health(name: str, file: Path) -> subprocess.CompletedProcess[str]:
    """The health check of a service, as its container runs it."""
    kind, _, path, *words = services()[name]["healthcheck"]["test"]
    assert (kind, path) == ("CMD", "/opt/alyx-transfer/deploy/compose/health.py")
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "ALYX_TRANSFER_CONFIG": str(file)}
    return subprocess.run(
        [sys.executable, str(COMPOSE / "health.py"), *words],
        capture_output=True,
        text=True,
        env=environ,
        timeout=60,
    )


def test_the_demo_moves_its_sessions_and_every_container_is_healthy(
    tmp_path: Path, postgres_url: str, redis_url: str, started: ExitStack
) -> None:
    box, ready, port = tmp_path / "box", tmp_path / "ready", free_port()
    for name, arguments, sign in (
        ("demo_lab.py", (box, ready), ready),
        ("demo_store.py", (box / "store", box / "keys"), box / "keys" / "known_hosts"),
    ):
        child = script(name, *arguments)
        started.callback(child.wait)
        started.callback(child.terminate)
        until(sign.exists, f"{name} is ready")
    file = config(box, ledger=postgres_url, broker=redis_url, port=port)
    for name in ("demo-worker", "demo-beat", "demo-dashboard"):
        words = (
            " ".join(services()[name]["command"]).replace("8420", str(port)).replace("0.0.0.0", "127.0.0.1")
        )
        program = Program(file, *shlex.split(words))
        started.callback(program.close)

    ledger = open_ledger(postgres_url, room=0)
    started.callback(ledger.engine.dispose)
    until(lambda: len(arrived(ledger)) >= 2, "sessions arrive")
    until(lambda: health("demo-dashboard", file).returncode == 0, "the dashboard answers")

    for name in ("demo-worker", "demo-beat"):
        checked = health(name, file)
        assert (checked.returncode, checked.stderr) == (0, "")


def arrived(ledger: Ledger) -> list[reports.SessionRow]:
    """The sessions of which nothing waits."""
    return [row for row in reports.sessions(ledger) if row.recorded and not row.waiting]
