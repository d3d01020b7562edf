"""DataJoint on a real PostgreSQL: a pipeline's `populate` starts with a session when it is complete, and once."""

import json
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from pipeline.filling import fill
from pipeline.schema import Tables
from tests import servers
from tests.world import DAY, LAB, STORE, SUBJECT, World, md5, world
from transfer.abandonment import abandon
from transfer.ledger.complete import complete_sessions
from transfer.ledger.tables import copies, datasets, sessions
from transfer.runner import Runner
from transfer.status import Condition

pytestmark = pytest.mark.filterwarnings("ignore")  # DataJoint warns of its own older names

ROOT = Path(__file__).parents[2]
TIMES, DEPTHS = "alf/probe00/spikes.times.npy", "alf/probe00/spikes.depths.npy"


@pytest.fixture
def box(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


@pytest.fixture
def joined(postgres_url: str) -> Iterator[Any]:
    """A DataJoint connection to an empty database."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import datajoint as dj

        server, _, name = postgres_url.removeprefix("postgresql://").rpartition("/")
        user, _, place = server.rpartition("@")
        host, _, port = place.partition(":")
        made = dj.Instance(
            host=host,
            port=int(port),
            user=user,
            password="",
            backend="postgresql",
            use_tls=False,
            database__name=name,
        )
    yield made
    made.connection.close()


@pytest.fixture
def tables(joined: Any) -> Tables:
    return Tables(joined.Schema("central"))


def session(box: World, number: int, names: list[str] = [TIMES, DEPTHS]) -> Path:  # noqa: B006
    folder = box.session(number)
    for name in names:
        box.write(folder, name, f"{number} {name}".encode() * 50)
    return folder


def arrive(box: World, runner: Runner, folder: Path) -> None:
    box.see(runner, folder)
    box.settle(runner)


def seen_complete(box: World) -> None:
    """As the scan of a finished folder does."""
    with box._ledgers[0].unguarded() as tx:
        tx.connection.execute(update(sessions).values(complete_at=tx.now))


def filled(box: World, runner: Runner, tables: Tables) -> int:
    seen_complete(box)
    return fill(tables, complete_sessions(runner.ledger, stores={LAB: STORE}))


def written_config(box: World, folder: Path) -> Path:
    config = folder / "config.toml"
    config.write_text(
        f'[alyx]\nurl = "{box.alyx.url}"\nuser = "rig_user"\npassword = "secret"\n'
        f'[ledger]\nurl = "sqlite:///{box.root / "ledger.sqlite"}"\n'
        f'[labs.{LAB}]\nrepository = "x_SR"\nroot = "{box.lab.root}"\nstore = "{STORE}"\nwork = "disk"\n'
        f'[stores.{STORE}]\ntransport = "local"\nroot = "{box.store}"\n'
    )
    config.chmod(0o600)
    return config


def test_populate_starts_with_a_session_when_it_is_complete_and_once(
    box: World, joined: Any, tables: Tables
) -> None:
    """Two sessions, one of them on its way: the pipeline computes the one; then the other; then nothing."""
    import datajoint as dj

    computed: list[int] = []

    class FileCount(dj.Computed):
        definition = """
        -> CentralSession
        ---
        files : int32
        """

        def make(self, key: dict[str, Any]) -> None:
            rows = (tables.dataset & key).to_dicts()
            computed.append(int((tables.session & key).fetch1("session_number")))
            self.insert1({**key, "files": len(rows)})

    analysis = joined.Schema("analysis")(FileCount, context={"CentralSession": tables.session})
    runner = box.runner()
    arrive(box, runner, session(box, 1))
    second = session(box, 2)
    box.see(runner, second)
    runner.advance_session()  # registered, not sent

    assert filled(box, runner, tables) == 1
    analysis.populate()
    assert computed == [1]

    box.settle(runner)
    assert filled(box, runner, tables) == 1
    analysis.populate()
    assert computed == [1, 2]

    assert filled(box, runner, tables) == 0, "a second filling changes nothing"
    analysis.populate()
    assert computed == [1, 2]


def test_a_row_says_where_a_file_stands_and_what_was_proved(box: World, tables: Tables) -> None:
    runner = box.runner()
    folder = session(box, 1)
    arrive(box, runner, folder)
    filled(box, runner, tables)

    (row,) = tables.session.to_dicts()
    assert (row["lab"], row["subject"], row["session_date"], row["session_number"]) == (LAB, SUBJECT, DAY, 1)
    assert (row["version"], row["files"]) == (1, 2)
    (file,) = (tables.dataset & {"path": TIMES}).to_dicts()
    content = (folder / TIMES).read_bytes()
    assert (file["md5"], file["size"], file["store"]) == (md5(content), len(content), STORE)
    assert (box.store / file["store_path"]).read_bytes() == content
    assert file["proof"] == "read back"
    assert file["arrived_at"] == row["completed_at"] == box.clock.now.replace(tzinfo=None)


def test_a_patched_file_makes_the_next_version_and_leaves_the_first(box: World, tables: Tables) -> None:
    """While the new version is on its way nothing is written; the old row and its hashes stay."""
    runner = box.runner()
    folder = session(box, 1)
    arrive(box, runner, folder)
    assert filled(box, runner, tables) == 1
    box.write(folder, TIMES, b"analysed again" * 9)
    box.see(runner, folder)
    runner.advance_session()
    assert filled(box, runner, tables) == 0

    box.settle(runner)
    assert filled(box, runner, tables) == 1
    versions = sorted(int(row["version"]) for row in tables.session.to_dicts())
    assert versions == [1, 2]
    hashes = {int(row["version"]): row["md5"] for row in (tables.dataset & {"path": TIMES}).to_dicts()}
    assert hashes[2] == md5(b"analysed again" * 9) != hashes[1]


def test_the_command_and_the_pages_example_work_with_datajoints_own_settings(
    box: World, postgres_url: str, tmp_path: Path
) -> None:
    """As a person types them, on a real server: the command twice, then the pipeline of docs/datajoint.md."""
    runner = box.runner()
    arrive(box, runner, session(box, 1))
    seen_complete(box)
    address = re.fullmatch(r"postgresql://(\w+)@([\d.]+):(\d+)/(\w+)", postgres_url)
    assert address
    keys = ("DJ_USER", "DJ_HOST", "DJ_PORT", "DJ_DATABASE_NAME")
    named = dict(zip(keys, address.groups(), strict=True))
    environ = {
        **os.environ,
        **named,
        "DJ_BACKEND": "postgresql",
        "DJ_PASS": "hunter2",
        "PYTHONPATH": str(ROOT),
    }

    def run(*command: str) -> str:
        asked = [sys.executable, "-W", "ignore", *command]
        ran = subprocess.run(
            asked, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=100, check=False
        )
        assert ran.returncode == 0, ran.stderr
        assert "hunter2" not in ran.stdout + ran.stderr
        return ran.stdout

    config = written_config(box, tmp_path)
    typed = ["--config", str(config), "datajoint", "--schema", "cortex_central", "--json"]
    typing = ("-c", f"from cli.main import main; main({typed}); main({typed})")
    assert [int(found) for found in re.findall(r'"added": (\d+)', run(*typing))] == [1, 0]

    (example,) = re.findall(
        r"```python\n(.*?)```", (ROOT / "docs" / "datajoint.md").read_text("utf-8"), re.DOTALL
    )
    (tmp_path / "pipeline_of_the_page.py").write_text(
        example + "print(SpikeFiles().to_arrays('files').tolist())\n"
    )
    assert run("pipeline_of_the_page.py").splitlines()[-1] == "[1]"


def test_a_held_session_is_not_complete(box: World, tables: Tables) -> None:
    """Nor is one of which a file vanished on its way."""
    runner = box.runner()
    folder = session(box, 1)
    box.see(runner, folder)
    runner.advance_session()
    (folder / TIMES).unlink()
    box.see(runner, folder)
    box.settle(runner)

    assert "source-vanished" in box.facts().values()
    assert filled(box, runner, tables) == 0


def changed(box: World, path: str, **values: Any) -> None:
    """Change the store's copy of one file behind the ledger's back."""
    with box._ledgers[0].unguarded() as tx:
        of_file = select(datasets.c.id).where(datasets.c.path == path).scalar_subquery()
        tx.connection.execute(
            update(copies).where(copies.c.dataset == of_file, copies.c.repository == STORE).values(**values)
        )


@pytest.mark.parametrize(
    "values",
    [{"condition": Condition.DAMAGED}, {"condition": Condition.MISSING}, {"proved_md5": "0" * 32}],
)
def test_a_copy_that_is_not_right_keeps_its_session_back(
    box: World, tables: Tables, values: dict[str, Any]
) -> None:
    """No version without the file, and none with another version of it, whoever mends the copy and when."""
    runner = box.runner()
    arrive(box, runner, session(box, 1))
    assert filled(box, runner, tables) == 1
    changed(box, TIMES, **values)

    assert filled(box, runner, tables) == 0
    assert [int(row["version"]) for row in tables.session.to_dicts()] == [1]


def test_a_file_that_a_person_gave_up_keeps_nothing_back_and_is_not_listed(
    box: World, tables: Tables
) -> None:
    runner = box.runner()
    folder = session(box, 1)
    box.see(runner, folder)
    runner.advance_session()
    (folder / TIMES).unlink()
    box.see(runner, folder)
    box.settle(runner)
    (held,) = [row.id for row in box.rows("SELECT id FROM items WHERE open = 1")]
    abandon(runner.ledger, runner.catalog, [box.lab], [held], why="the probe was broken")

    assert filled(box, runner, tables) == 1
    assert [row["path"] for row in tables.dataset.to_dicts()] == [DEPTHS]


def test_a_copy_at_another_store_is_not_this_stores(box: World, tables: Tables) -> None:
    """A lab that changed its store has copies at both; its files are those at the one of the config."""
    runner = box.runner()
    arrive(box, runner, session(box, 1))
    with box._ledgers[0].unguarded() as tx:
        row = tx.connection.execute(select(copies).where(copies.c.repository == STORE).limit(1)).one()
        other = {key: value for key, value in row._mapping.items() if key != "id"}
        tx.connection.execute(insert(copies).values({**other, "repository": "the store before"}))

    assert filled(box, runner, tables) == 1
    assert {row["store"] for row in tables.dataset.to_dicts()} == {STORE}


def test_the_command_says_what_it_did_and_what_is_missing(
    box: World,
    postgres_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With DataJoint's own environment variables; without a database it is one sentence."""
    from cli import datajoint as command
    from cli.main import main

    told = []
    monkeypatch.setattr(
        command, "_filled", lambda schema, sessions: told.append((schema, len(sessions))) or 3
    )
    config = written_config(box, tmp_path)
    assert main(["--config", str(config), "datajoint", "--schema", "central", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"schema": "central", "complete": 0, "added": 3}
    assert told == [("central", 0)]

    monkeypatch.undo()
    monkeypatch.setenv("DJ_BACKEND", "postgresql")
    for key, value in {
        "host": "127.0.0.1",
        "port": servers.free_port(),
        "user": "me",
        "password": "hunter2",
    }.items():
        import datajoint as dj

        monkeypatch.setitem(dj.config, f"database.{key}", value)
    monkeypatch.setitem(dj.config, "database.backend", "postgresql")
    assert main(["--config", str(config), "datajoint"]) != 0
    said = capsys.readouterr().err
    assert "E-5030" in said
    assert "hunter2" not in said
