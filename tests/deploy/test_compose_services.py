"""What the containers run, run here: Redis as configured, the demo's lab and store, the health checks, the configs."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx2
import pytest
import yaml
from paramiko import Ed25519Key, SSHClient

from config.settings import load
from tests.deploy.recipes import DEPLOY, ROOT, services
from tests.servers import free_port, need
from transfer.ledger import open_ledger
from transfer.ledger.glance import crew

COMPOSE = DEPLOY / "compose"
PATIENCE = 60.0


def wait_for(there: Callable[[], object], child: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not there():
        assert child.poll() is None, child.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


@contextmanager
def running(*command: str, cwd: Path = ROOT) -> Iterator[subprocess.Popen[str]]:
    """The process; at the end it is asked to stop as containers are, and has to."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=cwd, env=environ, stdout=pipe, stderr=pipe, text=True) as child:
        try:
            yield child
        finally:
            child.send_signal(signal.SIGTERM)
            try:
                child.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                child.kill()
                raise


# ---- Redis


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int, str]]:
    """Redis by the command of its service: the process, its port, its password."""
    need("redis-server", install="apt-get install redis-server")
    password, port = "5ecret" * 8, free_port()
    (tmp_path / "broker-password").write_text(f"{password}\n")
    [script] = services()["redis"]["command"]
    for was, becomes in {
        "$$": "$",
        "/run/secrets": str(tmp_path),
        "port 6379": f"port {port}",
        "dir /data": f"dir {tmp_path}",
    }.items():
        assert was in script
        script = script.replace(was, becomes)
    with running(*services()["redis"]["entrypoint"], script, cwd=tmp_path) as child:
        wait_for(lambda: "NOAUTH" in ask(port), child)
        yield child, port, password


def ask(port: int, password: str | None = None) -> str:
    client = need("redis-cli", install="apt-get install redis-server")
    environ = {"PATH": os.environ["PATH"]} | ({"REDISCLI_AUTH": password} if password else {})
    done = subprocess.run(
        [client, "-p", str(port), "ping"], capture_output=True, text=True, env=environ, timeout=20
    )
    return done.stdout + done.stderr


def test_redis_lets_nobody_in_without_the_password_of_its_file(
    broker: tuple[subprocess.Popen[str], int, str],
) -> None:
    child, port, password = broker
    assert "NOAUTH" in ask(port)
    assert "PONG" in ask(port, password)
    assert "PONG" not in ask(port, "another")
    command = Path(f"/proc/{child.pid}/cmdline").read_bytes().decode()
    assert "redis-server" in command, "the shell gave its place to the server, which so hears SIGTERM"
    assert password not in command


def test_the_health_check_of_redis_needs_the_password_too(
    broker: tuple[subprocess.Popen[str], int, str], tmp_path: Path
) -> None:
    _, port, _ = broker
    [kind, check] = services()["redis"]["healthcheck"]["test"]
    assert kind == "CMD-SHELL"
    check = check.replace("$$", "$").replace("redis-cli ", f"redis-cli -p {port} ")

    def code(secrets: Path) -> int:
        line = check.replace("/run/secrets", str(secrets))
        return subprocess.run(["/bin/sh", "-c", line], capture_output=True, timeout=20).returncode

    assert code(tmp_path) == 0
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "broker-password").write_text("wrong\n")
    assert code(tmp_path / "other") != 0


# ---- configs


def planted(example: Path, folder: Path) -> Path:
    """A config of deploy/ with its secrets in `folder`, where the test has written them."""
    text = example.read_text("utf-8")
    for inside in ("/run/secrets", "/etc/alyx-transfer/stores", "/srv/box"):
        text = text.replace(f'"{inside}/', f'"{folder.as_posix()}{inside}/')
    for name in re.findall(rf'_file = "({re.escape(folder.as_posix())}/[^"]+)"', text):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text("0123456789abcdef" * 4 + "\n")
        Path(name).chmod(0o600)
    file = folder / example.name
    file.write_text(text)
    file.chmod(0o644)
    return file


@pytest.mark.parametrize("name", ["config.example.toml", "demo.toml"])
def test_the_config_loads_and_has_no_secret_in_it(name: str, tmp_path: Path) -> None:
    """Its addresses lead to the services by their names, with the passwords of their files."""
    settings = load(planted(COMPOSE / name, tmp_path), {})

    assert settings.ledger.shown == "postgresql://alyx_transfer:***@postgres:5432/ledger"
    assert settings.broker.shown == "redis://:***@redis:6379/0"
    assert "0123456789abcdef" in settings.ledger.url
    assert settings.dashboard.unguarded("0.0.0.0") is None
    environment = services()["postgres"]["environment"]
    assert (environment["POSTGRES_USER"], environment["POSTGRES_DB"]) == ("alyx_transfer", "ledger")


def test_the_example_for_windows_loads_too(tmp_path: Path) -> None:
    """With paths of this machine in place of those of Windows."""
    page = (DEPLOY / "windows" / "README.md").read_text("utf-8")
    [block] = re.findall(r"^```toml\n(.*?)^```$", page, re.M | re.S)
    block = re.sub(r"'[A-Z]:\\([^']*)'", lambda found: f'"/run/secrets/{found[1]}"'.replace("\\", "/"), block)
    example = tmp_path / "example.toml"
    example.write_text(block)
    (tmp_path / "here").mkdir()

    assert load(planted(example, tmp_path / "here"), {}).ledger.shown.endswith("@10.8.0.1:5432/ledger")


# ---- the demo


def calling(script: str, *arguments: Path) -> list[str]:
    """`main` of a script of the demo with other folders than the container's."""
    shown = ", ".join(f"Path({str(one)!r})" for one in arguments)
    start = (
        f"import runpy; from pathlib import Path; runpy.run_path({str(COMPOSE / script)!r})['main']({shown})"
    )
    return [sys.executable, "-c", start]


def test_the_demos_lab_and_store_stand_and_stop(tmp_path: Path) -> None:
    """Alyx knows its people, sessions lie on the lab's disk, and the store lets the holder of its key in."""
    box, ready = tmp_path / "box", tmp_path / "ready"
    with running(*calling("demo_lab.py", box, ready)) as lab:
        wait_for(ready.exists, lab)
        port = int((box / "home" / "alyx-port").read_text())
        who = {"username": "demo", "password": (box / "home" / "alyx-password").read_text()}
        assert httpx2.post(f"http://127.0.0.1:{port}/auth-token", json=who).status_code == 200
        assert len(list((box / "lab" / "demolab" / "Subjects").glob("*/*/*"))) == 6
        with (
            running(*calling("demo_store.py", box / "store", box / "keys")) as store,
            closing(SSHClient()) as ssh,
        ):
            wait_for((box / "keys" / "known_hosts").exists, store)
            ssh.load_host_keys(str(box / "keys" / "known_hosts"))
            key = Ed25519Key.from_private_key_file(str(box / "keys" / "client_key"))
            at = int((box / "keys" / "port").read_text())
            ssh.connect("127.0.0.1", at, "alyx-transfer", pkey=key, look_for_keys=False, allow_agent=False)
            assert ssh.open_sftp().listdir((box / "store").as_posix()) == []
    assert (lab.returncode, store.returncode) == (0, 0)


def test_the_demo_refuses_to_share_productions_ledger(tmp_path: Path) -> None:
    """And every command that starts or removes it gives it a project of its own."""
    project = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))["name"]
    done = subprocess.run(
        calling("demo_lab.py", tmp_path / "box", tmp_path / "ready"),
        env={**os.environ, "PYTHONPATH": str(ROOT), "COMPOSE_PROJECT_NAME": project},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("The demo would share the ledger")
    assert not (tmp_path / "box").exists()
    for page in [ROOT / "docker-compose.yml", ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for line in page.read_text("utf-8").splitlines():
            assert (
                "docker compose" not in line or "--profile demo" not in line or f"-p {project}-demo" in line
            )


# ---- health


def health(kind: str, config: Path) -> tuple[int, str]:
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "ALYX_TRANSFER_CONFIG": str(config)}
    done = subprocess.run(
        [sys.executable, str(COMPOSE / "health.py"), kind],
        capture_output=True,
        text=True,
        env=environ,
        cwd=config.parent,
        timeout=60,
    )
    return done.returncode, done.stderr


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A config with a ledger of its own, nobody at its broker's address, and nobody at its dashboard's."""
    file = tmp_path / "config.toml"
    file.write_text(
        '[alyx]\nurl = "http://127.0.0.1:1"\nuser = "x"\npassword = "x"\n'
        f'[ledger]\nurl = "sqlite:///{tmp_path}/ledger.sqlite"\nmin_free = 0\n'
        f'[broker]\nurl = "redis://127.0.0.1:{free_port()}/0"\n'
        f"[dashboard]\nport = {free_port()}\n"
    )
    file.chmod(0o600)
    return file


def test_a_worker_is_healthy_while_it_says_that_it_lives(config: Path) -> None:
    ledger = open_ledger(f"sqlite:///{config.parent}/ledger.sqlite", room=0)
    with closing(ledger.engine.raw_connection()):
        assert health("worker", config) == (1, "no worker of this host says that it lives\n")
        crew.here(ledger, version="1", hands=4)
        assert health("worker", config) == (0, "")
        crew.gone(ledger)
        assert health("worker", config)[0] == 1
    ledger.engine.dispose()


@pytest.mark.parametrize("kind", ["beat", "dashboard"])
def test_who_cannot_reach_what_it_needs_is_not_healthy(kind: str, config: Path) -> None:
    code, said = health(kind, config)
    assert code == 1
    assert said
    assert "Traceback" not in said


def test_a_beat_that_reaches_its_broker_is_healthy(
    broker: tuple[subprocess.Popen[str], int, str], config: Path
) -> None:
    _, port, password = broker
    config.write_text(re.sub(r"redis://\S+/0", f"redis://:{password}@127.0.0.1:{port}/0", config.read_text()))
    assert health("beat", config) == (0, "")


def test_the_labs_config_on_the_deploying_page_loads(tmp_path: Path) -> None:
    [block] = re.findall(
        r"^```toml\n(.*?)^```$", (ROOT / "docs" / "deploying.md").read_text("utf-8"), re.M | re.S
    )
    example = tmp_path / "example.toml"
    example.write_text(block.replace("/etc/alyx-transfer/secrets/", "/run/secrets/"))
    (tmp_path / "here").mkdir()

    settings = load(planted(example, tmp_path / "here"), {})

    assert list(settings.labs) == ["cortexlab"]
    assert settings.ledger.shown == "postgresql://alyx_transfer:***@10.8.0.1:5432/ledger"
