"""docker-compose.yml is valid by the published schema, names exact images, and holds no secret.

The schema is that of the Compose Specification (github.com/compose-spec/compose-spec, schema/compose-spec.json,
Apache-2.0), kept in tests/data as it was published.
"""

import json
import os
import re
import shutil
import stat
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.deploy.recipes import COMPOSE, DEPLOY, ROOT, compose, is_ours, services
from tests.servers import need

SCHEMA = json.loads((ROOT / "tests" / "data" / "compose-spec.json").read_text("utf-8"))
FILES = (COMPOSE, DEPLOY / "compose" / "labs.yml")
NAMES = sorted(services())
each_service = pytest.mark.parametrize("name", NAMES)

_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?::(?P<how>[-?])(?P<what>[^}]*))?\}")


def strings(tree: Any) -> Iterator[str]:
    """Every text in a tree, keys left out."""
    match tree:
        case dict():
            for value in tree.values():
                yield from strings(value)
        case list():
            for value in tree:
                yield from strings(value)
        case str():
            yield tree


def example() -> dict[str, str]:
    """What env.example says."""
    text = (DEPLOY / "compose" / "env.example").read_text("utf-8")
    return dict(re.findall(r"^#?([A-Z_]+)=(.*)$", text, re.MULTILINE))


def filled(text: str) -> str:
    """A text with its variables as env.example has them."""
    return _VARIABLE.sub(lambda found: example()[found["name"]], text)


# ---- the schema


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_it_validates_against_the_published_schema(file: Path) -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    found = jsonschema.Draft7Validator(SCHEMA).iter_errors(compose(file))
    assert [f"{error.json_path}: {error.message}" for error in found] == []


@pytest.mark.parametrize(
    "change",
    [
        {"helthcheck": {}},
        {"restart": ["always"]},
        {"ports": [{"publish": 8420}]},
        {"depends_on": {"redis": {"condition": "service_well"}}},
    ],
)
def test_the_schema_notices_what_compose_would_refuse(change: dict[str, Any]) -> None:
    told = compose()
    told["services"]["beat"].update(change)
    assert list(jsonschema.Draft7Validator(SCHEMA).iter_errors(told))


@pytest.mark.parametrize("profile", ["demo", "production"])
def test_docker_compose_takes_it(profile: str, tmp_path: Path) -> None:
    """By the real client, where there is one; it needs no daemon for this."""
    client = shutil.which("docker")
    has_compose = (
        client and not subprocess.run([client, "compose", "version"], capture_output=True).returncode
    )
    if not client or not has_compose:
        pytest.skip('no "docker compose" here: apt-get install docker-compose-plugin')
    asked = [client, "compose", "--env-file", str(DEPLOY / "compose" / "env.example")]
    files = [word for file in FILES for word in ("-f", str(file))]
    environ = {**os.environ, "HOME": str(tmp_path), "ALYX_TRANSFER_LABS_ADDRESS": "10.8.0.1"}
    done = subprocess.run(
        [*asked, *files, "--project-directory", str(ROOT), "--profile", profile, "config", "-q"],
        capture_output=True,
        text=True,
        env=environ,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


# ---- images and accounts


@each_service
def test_every_image_is_named_by_an_exact_version(name: str) -> None:
    """Three numbers, or two where the project counts so; never a tag that moves by design."""
    image = services()[name]["image"]
    repository, _, tag = image.partition(":")
    numbers = 2 if repository == "postgres" else 3
    assert re.match(rf"\d+(\.\d+){{{numbers - 1}}}(-|@|$)", tag), image
    assert "latest" not in tag


@each_service
def test_nothing_of_ours_runs_as_root(name: str) -> None:
    service = services()[name]
    if name == "postgres":
        return  # it begins as root, to read its secret, and goes on as its own account
    assert service["user"] == "10001:10001"


@each_service
def test_every_container_has_no_more_rights_than_it_needs(name: str) -> None:
    service = services()[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True
    assert not {"privileged", "pid", "ipc", "devices"} & service.keys()
    assert "cap_add" not in service or name == "postgres"


@each_service
def test_every_container_is_watched_restarted_and_keeps_its_logs_small(name: str) -> None:
    service = services()[name]
    assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
    assert {"interval", "timeout", "retries", "start_period"} <= service["healthcheck"].keys()
    assert service["restart"] == "unless-stopped"
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}


def test_our_image_carries_the_programs_version() -> None:
    told = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    ours = [service["image"] for service in services().values() if is_ours(service)]
    assert {image.partition(":")[2] for image in ours} == {told}


# ---- the shape


def of(profile: str) -> set[str]:
    return {name for name, service in services().items() if profile in service["profiles"]}


def test_each_profile_has_what_a_fleet_needs() -> None:
    assert of("production") == {"postgres", "redis", "central", "beat", "dashboard"}
    shared = {"postgres", "redis"}
    assert of("demo") == shared | {f"demo-{name}" for name in ("lab", "store", "worker", "beat", "dashboard")}
    assert of("demo") | of("production") == set(NAMES)


def test_only_the_dashboard_is_reached_from_outside() -> None:
    """And of the demo the one network that its dashboard is in; both at this machine's own address by default."""
    published = {name: service["ports"] for name, service in services().items() if "ports" in service}
    assert published.keys() == {"dashboard", "demo-lab"}
    assert example()["ALYX_TRANSFER_DASHBOARD_ADDRESS"] == "127.0.0.1"
    for ports in published.values():
        assert [filled(port) for port in ports] == ["127.0.0.1:8420:8420"]
    assert compose()["networks"]["inside"] == {"internal": True}
    assert services()["postgres"]["networks"] == services()["redis"]["networks"] == ["inside"]


def test_a_labs_machines_are_let_in_at_a_named_address_only() -> None:
    opened = compose(DEPLOY / "compose" / "labs.yml")["services"]
    assert opened.keys() == {"postgres", "redis"}
    for service in opened.values():
        assert all(port.startswith("${ALYX_TRANSFER_LABS_ADDRESS:?") for port in service["ports"])


def test_no_two_workers_share_a_hosts_name() -> None:
    """Who shares a network shares its host name: two processes could then be taken for one."""
    homes = [
        service.get("network_mode", name)
        for name, service in services().items()
        if is_ours(service) and service.get("command", [""])[0] == "worker"
    ]
    assert len(homes) == len(set(homes))


@each_service
def test_what_a_service_waits_for_and_joins_is_in_its_profiles(name: str) -> None:
    service = services()[name]
    near = set(service.get("depends_on", {}))
    if mode := service.get("network_mode"):
        near.add(mode.removeprefix("service:"))
    for other in near:
        assert set(service["profiles"]) <= set(services()[other]["profiles"]), other
    for wanted in service.get("depends_on", {}).values():
        assert wanted["condition"] == "service_healthy"


# ---- files and secrets


def test_every_file_that_is_mounted_is_there() -> None:
    """Those of the repository as they are, the operator's config as the example it is copied from."""
    told = compose()
    files = [filled(one["file"]).removeprefix("./") for one in told["configs"].values()]
    assert [file for file in files if not any(twin.is_file() for twin in twins(ROOT / file))] == []


def twins(file: Path) -> tuple[Path, Path]:
    """A file, and the example that it is copied from."""
    return file, file.with_name(f"{file.stem}.example{file.suffix}")


def test_every_mount_and_secret_is_declared() -> None:
    told = compose()
    for name, service in services().items():
        wanted = set(service.get("secrets", []))
        assert wanted <= told["secrets"].keys(), name
        assert {one["source"] for one in service.get("configs", [])} <= told["configs"].keys()
        volumes = [one for one in service.get("volumes", []) if isinstance(one, str)]
        assert {one.partition(":")[0] for one in volumes} <= told["volumes"].keys()


def test_every_secret_is_a_file_of_the_folder_that_make_secrets_made() -> None:
    folder = example()["ALYX_TRANSFER_SECRETS"]
    for name, secret in compose()["secrets"].items():
        assert secret.keys() == {"file"}, name
        assert Path(filled(secret["file"])).parent == Path(folder)
        assert "${ALYX_TRANSFER_SECRETS:?" in secret["file"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_no_password_is_written_down(file: Path) -> None:
    """Whatever is called a password or secret is a file's name or read from a file; no address holds one."""
    text = file.read_text("utf-8")
    assert not re.search(r"://[^/\s]*:[^/\s]*@", text)
    for key, value in re.findall(
        r"^\s*-?\s*([A-Z_]*(?:PASSWORD|SECRET|TOKEN)[A-Z_]*)\s*[:=]\s*(.+)$", text, re.M
    ):
        assert key.endswith("_FILE"), f"{key} holds a secret itself"
        assert value.startswith("/run/secrets/")
    for word in strings(compose(file)):
        for found in re.finditer(r"(requirepass|REDISCLI_AUTH=)\s*(.+)", word):
            assert "/run/secrets/broker-password" in found[2]


def test_every_variable_is_explained_or_has_a_harmless_default() -> None:
    for file in FILES:
        for found in _VARIABLE.finditer(file.read_text("utf-8")):
            if found["name"] == "COMPOSE_PROJECT_NAME":  # Compose's own
                continue
            assert found["name"] in example(), f"env.example does not tell of {found['name']}"
            assert found["what"], f"{found['name']} has neither a default nor a word on what is missing"


def test_the_secrets_stay_out_of_the_repository_and_of_the_image() -> None:
    ignored = (ROOT / ".gitignore").read_text("utf-8").splitlines()
    assert {"/.env", "/deploy/compose/secrets/", "/deploy/compose/config.toml"} <= set(ignored)
    let_in = [
        line for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line.startswith("!")
    ]
    assert (ROOT / ".dockerignore").read_text("utf-8").splitlines()[1] == "*"
    assert not [
        line for line in let_in if "secret" in line or line in ("!deploy", "!deploy/compose", "!.env")
    ]


# ---- make-secrets


def make(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    script = DEPLOY / "compose" / "make-secrets"
    return subprocess.run([str(script), str(folder), *more], capture_output=True, text=True, timeout=60)


@pytest.mark.skipif(os.name != "posix", reason="a shell script")
def test_make_secrets_makes_private_files_of_the_containers_account_once(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    if os.geteuid() != 0:
        assert make(folder).returncode == 1
        assert "sudo" in make(folder).stderr
        return
    need("openssl", install="apt-get install openssl")
    assert make(folder, "transfer.example.org").returncode == 0
    (folder / "alyx-password").write_text("given by a person\n")
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}

    assert make(folder).returncode == 0

    assert before == {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    wanted = {Path(filled(one["file"])).name for one in compose()["secrets"].values()}
    assert {path.name for path in before} == wanted
    for path in folder.rglob("*"):
        facts = path.stat()
        assert (facts.st_uid, facts.st_gid) == (10001, 10001)
        assert stat.S_IMODE(facts.st_mode) & 0o077 == 0
    assert (
        len({before[folder / name] for name in ("ledger-password", "broker-password", "dashboard-secret")})
        == 3
    )
