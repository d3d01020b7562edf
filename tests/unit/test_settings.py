"""The config: what it accepts, and that it names everything that is wrong with it at once."""

import os
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import settings as reading
from config.sections import Alyx, Settings, without_password
from config.settings import load
from transfer.errors import ConfigProblems

GOOD = """
[alyx]
url = "https://alyx.example.org/"
user = "transfer_bot"
password_file = "{folder}/password"

[labs.cortexlab]
repository = "cortexlab_SR"
root = "{folder}/Subjects"
work = "alyx"
store = "flatiron_cortexlab"

[stores.flatiron_cortexlab]
transport = "local"
root = "{folder}/central"
"""

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a config (the good one by default) beside a password file of mode 0600."""
    secret = tmp_path / "password"
    secret.write_text("hunter2\n")
    secret.chmod(0o600)

    def _write(text: str = GOOD, *, mode: int = 0o600) -> Path:
        file = tmp_path / "config.toml"
        file.write_text(text.replace("{folder}", tmp_path.as_posix()))
        file.chmod(mode)
        return file

    return _write


def problems(file: Path | None, environ: Mapping[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigProblems) as raised:
        load(file, environ or {})
    return raised.value.problems


def test_a_good_config_loads_with_every_default(write: Write, tmp_path: Path) -> None:
    settings = load(write(), {})

    assert settings.alyx.url == "https://alyx.example.org"
    assert settings.alyx.requests_per_minute == 500
    assert settings.broker.url == "memory://"
    assert settings.ledger.url.startswith("sqlite:////")
    assert (settings.journey.lease_seconds, settings.journey.batch_files) == (60, 400)
    assert settings.labs["cortexlab"].flag == "raw_session.flag"
    assert settings.stores["flatiron_cortexlab"].transport == "local"
    assert settings.origin == tmp_path / "config.toml"


def test_all_problems_are_reported_together(write: Write) -> None:
    """One run of the program is enough to learn everything that is wrong."""
    text = """
[alyx]
url = "alyx.example.org"
usr = "transfer_bot"
[journey]
batch_files = 0
lease_seconds = 9
[labs.cortexlab]
repository = "cortexlab_SR"
root = "Data/Subjects"
work = "dsk"
store = "flatiron_cortexlb"
[stores.flatiron_cortexlab]
transport = "sfpt"
[journy]
"""
    found = "\n".join(problems(write(text)))

    for place in (
        "alyx.url",
        "alyx.usr",
        "alyx.user: is missing",
        "journey.batch_files",
        "journey.lease_seconds",
        "labs.cortexlab.root",
        "labs.cortexlab.work",
        "stores.flatiron_cortexlab.transport",
        "journy: unknown section",
    ):
        assert place in found


def test_each_problem_names_the_file_the_key_what_is_wrong_and_what_to_do(
    write: Write, tmp_path: Path
) -> None:
    file = write(GOOD.replace('root = "{folder}/Subjects"', 'root = "Data/Subjects"'))

    assert problems(file) == [
        f'{file}: labs.cortexlab.root: must be an absolute path, not "Data/Subjects". Write the whole path.'
    ]


@pytest.mark.parametrize(
    ("old", "new", "meant"),
    [
        ("user =", "usr =", "user"),
        ("[alyx]", "[alix]", "alyx"),
        ('work = "alyx"', 'work = "alix"', "alyx"),
        ('transport = "local"', 'transport = "locl"', "local"),
        ('store = "flatiron_cortexlab"', 'store = "flatiron_cortexlb"', "flatiron_cortexlab"),
        ('root = "{folder}/central"', 'rot = "{folder}/central"', "root"),
    ],
)
def test_a_typo_is_answered_with_what_was_meant(write: Write, old: str, new: str, meant: str) -> None:
    assert f'Did you mean "{meant}"?' in "\n".join(problems(write(GOOD.replace(old, new, 1))))


def test_a_missing_config_points_to_init(tmp_path: Path) -> None:
    found = problems(tmp_path / "none.toml")

    assert found == [
        f"{tmp_path / 'none.toml'}: there is no such config. "
        "Run: alyx-transfer init, or name another file with --config"
    ]


def test_a_syntax_error_names_its_line(write: Write) -> None:
    assert "line 3" in problems(write('[alyx]\nurl = "x"\nuser = \n'))[0]


def test_a_file_that_is_not_utf8_is_refused_in_words(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(b'[alyx]\nurl = "\xff"\n')

    assert "is not UTF-8 text" in problems(file)[0]


# ---- where the config comes from ------------------------------------------------------------------


def test_the_file_given_beats_the_one_of_the_environment(write: Write, tmp_path: Path) -> None:
    file = write()

    assert load(file, {"ALYX_TRANSFER_CONFIG": str(tmp_path / "other.toml")}).origin == file
    assert load(None, {"ALYX_TRANSFER_CONFIG": str(file)}).origin == file


def test_without_any_word_the_default_place_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("config.places.config_file", lambda: tmp_path / "default.toml")

    assert str(tmp_path / "default.toml") in problems(None)[0]


# ---- the environment ------------------------------------------------------------------------------


def test_a_variable_overrides_one_key_and_leaves_its_neighbours(write: Write) -> None:
    settings = load(
        write(),
        {
            "ALYX_TRANSFER_ALYX__USER": "somebody",
            "ALYX_TRANSFER_JOURNEY__BATCH_BYTES": "2 GiB",
            "ALYX_TRANSFER_LABS__CORTEXLAB__INCUMBENT": "true",
            "HOME": "/nowhere",
        },
    )

    assert settings.alyx.user == "somebody"
    assert settings.alyx.url == "https://alyx.example.org"
    assert settings.journey.batch_bytes == 2 * 1024**3
    assert settings.labs["cortexlab"].incumbent
    assert settings.labs["cortexlab"].repository == "cortexlab_SR"


def test_a_variable_finds_names_with_capitals_and_dashes(write: Write) -> None:
    text = GOOD.replace("labs.cortexlab", "labs.Cortex-Lab")

    settings = load(write(text), {"ALYX_TRANSFER_LABS__CORTEX_LAB__REPOSITORY": "other_SR"})

    assert settings.labs["Cortex-Lab"].repository == "other_SR"


def test_a_problem_of_a_variable_names_the_variable(write: Write) -> None:
    found = problems(write(), {"ALYX_TRANSFER_JOURNEY__TRIES": "many"})

    assert found == [
        "environment ALYX_TRANSFER_JOURNEY__TRIES: journey.tries: "
        "must be a valid integer, unable to parse string as an integer, not 'many'. Write a whole number."
    ]


def test_a_variable_with_one_underscore_is_answered_with_two(write: Write) -> None:
    found = problems(write(), {"ALYX_TRANSFER_LEDGER_URL": "sqlite:////x"})

    assert "Did you mean ALYX_TRANSFER_LEDGER__URL?" in found[0]


WORDS = st.sampled_from(
    ["ALYX", "LABS", "STORES", "CORTEXLAB", "LOGS", "JOURNEY", "TRIES", "USER", "ROOT", "TRANSPORT", "X"]
)
VARIABLES = st.lists(WORDS, min_size=1, max_size=4).map("__".join) | st.text(alphabet="ALYX_0", min_size=1)


@given(st.dictionaries(VARIABLES, st.text() | st.sampled_from(["3", "true", "sftp", "/a"]), max_size=5))
def test_no_environment_makes_loading_fail_otherwise_than_in_words(extra: dict[str, str]) -> None:
    """Whatever the variables say, the answer is settings or a list of problems."""
    environ = {"ALYX_TRANSFER_ALYX__PASSWORD": "x"}
    environ |= {f"ALYX_TRANSFER_{name}": value for name, value in extra.items()}
    tree = tomllib.loads(GOOD.replace('password_file = "{folder}/password"', "").replace("{folder}", "/f"))
    one = reading._Reading(tree, "here")

    one.overlay(environ)
    settings = one.settings(Path(__file__))

    assert (settings is None) == bool(one.problems)


KEYS = [
    "alyx",
    "labs",
    "stores",
    "journey",
    "url",
    "user",
    "root",
    "transport",
    "store",
    "work",
    "x",
    "tries",
]
VALUES = st.recursive(
    st.none().map(lambda _: "local") | st.booleans() | st.integers() | st.floats() | st.text() | st.dates(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=8,
)


TABLES = st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=4)
NAMED = st.dictionaries(st.sampled_from(["a", "b"]), TABLES | VALUES, max_size=2)


@given(
    st.fixed_dictionaries({}, optional={"alyx": TABLES, "labs": NAMED, "stores": NAMED, "x": VALUES}) | TABLES
)
def test_no_file_makes_loading_fail_otherwise_than_in_words(tree: dict[str, object]) -> None:
    """Whatever TOML may hold, the answer is settings or a list of problems."""
    one = reading._Reading(tree, "here")

    settings = one.settings(Path(__file__))

    assert (settings is None) == bool(one.problems)
    assert all(str(problem).startswith("here: ") for problem in one.problems)


# ---- secrets --------------------------------------------------------------------------------------


def test_a_secret_is_never_shown(write: Write) -> None:
    text = GOOD.replace('password_file = "{folder}/password"', 'password = "hunter2"') + (
        '\n[ledger]\nurl = "postgresql://me:hunter2@db/ledger"\n[broker]\nurl = "redis://:hunter2@broker/0"\n'
    )
    settings = load(write(text), {})

    assert "hunter2" not in repr(settings)
    assert "hunter2" not in str(settings)
    assert settings.ledger.shown == "postgresql://me:***@db/ledger"
    assert settings.broker.shown == "redis://:***@broker/0"


def test_a_secret_is_not_repeated_in_a_problem(write: Write) -> None:
    text = GOOD.replace('password_file = "{folder}/password"', 'password = ["hunter2"]')
    text = text.replace("https://alyx", "ftp://me:hunter2@alyx")
    text += '\n[ledger]\nurl = "mysql://me:hunter2@db/ledger"\n[broker]\nurl = ["redis://:hunter2@h"]\n'

    assert "hunter2" not in "\n".join(problems(write(text)))


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
@pytest.mark.parametrize("mode", [0o604, 0o640, 0o644, 0o660])
def test_a_password_file_that_others_can_read_is_a_problem(write: Write, tmp_path: Path, mode: int) -> None:
    file = write()
    (tmp_path / "password").chmod(mode)

    (found,) = problems(file)
    assert f"(mode 0{mode:o}). Run: chmod 600 {tmp_path / 'password'}" in found


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
def test_a_private_key_that_others_can_read_is_a_problem(write: Write, tmp_path: Path) -> None:
    key = tmp_path / "id_ed25519"
    key.write_text("key")
    key.chmod(0o644)
    sftp = f'transport = "sftp"\nhost = "h"\nuser = "u"\nkey = "{key}"'
    file = write(GOOD.replace('transport = "local"', sftp))

    (found,) = problems(file)
    assert "stores.flatiron_cortexlab.key: a secret" in found
    assert f"chmod 600 {key}" in found

    key.chmod(0o600)
    assert load(file, {})


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
@pytest.mark.parametrize(
    "secret",
    ['[ledger]\nurl = "postgresql://me:hunter2@db/x"', '[broker]\nurl = "redis://:hunter2@broker/0"'],
)
def test_a_secret_in_the_config_makes_the_config_a_secret(write: Write, secret: str) -> None:
    (found,) = problems(write(GOOD + secret, mode=0o644))
    assert "chmod 600" in found

    assert load(write(GOOD + secret, mode=0o600), {})


def test_a_secret_from_the_environment_does_not_need_a_private_config(write: Write) -> None:
    text = GOOD.replace('password_file = "{folder}/password"\n', "")

    assert load(write(text, mode=0o644), {"ALYX_TRANSFER_ALYX__PASSWORD": "hunter2"})


def test_a_missing_password_file_is_a_problem(write: Write, tmp_path: Path) -> None:
    file = write()
    (tmp_path / "password").unlink()

    assert "no such file" in problems(file)[0]


def test_no_credential_and_two_credentials_are_problems(write: Write) -> None:
    none = GOOD.replace('password_file = "{folder}/password"\n', "")

    assert "no password and no token" in problems(write(none))[0]
    assert "both set" in problems(write(), {"ALYX_TRANSFER_ALYX__PASSWORD": "x"})[0]


@given(st.text(min_size=1, alphabet=st.characters(categories=["L", "N"])))
def test_an_address_never_shows_its_password(password: str) -> None:
    assert f":{password}@" not in without_password(f"redis://user:{password}@host/0")


# ---- what the sections say of one another ---------------------------------------------------------

SECOND = """
[labs.second]
repository = "{repository}"
root = "{root}"
work = "{work}"
store = "flatiron_cortexlab"
"""


def second(repository: str = "second_SR", root: str = "{folder}/Second", work: str = "alyx") -> str:
    return GOOD + SECOND.replace("{repository}", repository).replace("{root}", root).replace("{work}", work)


def test_two_labs_may_not_share_a_repository(write: Write) -> None:
    assert load(write(second()), {}).labs.keys() == {"cortexlab", "second"}
    assert "already the repository of labs.cortexlab" in problems(write(second(repository="cortexlab_SR")))[0]


def test_two_labs_may_not_register_the_same_folder(write: Write) -> None:
    (found,) = problems(write(second(root="{folder}/Subjects", work="disk")))
    assert "already the root of labs.cortexlab" in found

    assert load(write(second(root="{folder}/Subjects")), {})


def test_a_lab_may_not_name_a_store_as_its_own_repository(write: Write) -> None:
    found = problems(write(GOOD.replace('"cortexlab_SR"', '"flatiron_cortexlab"')))
    assert "is a store of this config" in found[0]


@pytest.mark.parametrize("store", ["{folder}/Subjects/central", "{folder}/Subjects", "{folder}"])
def test_a_store_and_a_labs_folder_may_not_lie_inside_one_another(write: Write, store: str) -> None:
    found = problems(write(GOOD.replace("{folder}/central", store)))
    assert "lie inside one another" in found[0]


def test_a_stores_root_must_be_absolute(write: Write) -> None:
    (found,) = problems(write(GOOD.replace("{folder}/central", "central")))
    assert 'stores.flatiron_cortexlab.root: must be an absolute path, not "central"' in found


@pytest.mark.parametrize("key", ["labs", "stores", "alyx"])
def test_a_section_that_is_no_table_is_a_problem(write: Write, key: str) -> None:
    assert any(f"{key}: must be a table" in line for line in problems(write(f"{key} = 3\n")))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('[ledger]\nurl = "sqlite:///ledger.sqlite"', "from the root"),
        ('[ledger]\nurl = "mysql://x/y"', "sqlite:/// or postgresql://"),
        ('[broker]\nurl = "redis"', "must be a broker's address"),
        ("[journey]\nfirst_wait_seconds = 8000", "above longest_wait_seconds"),
        ('[logs]\nlevel = "loud"', "must be one of"),
    ],
)
def test_values_that_cannot_work_are_refused(write: Write, line: str, said: str) -> None:
    (found,) = problems(write(GOOD + line))
    assert said in found


def test_the_journey_gives_the_librarys_limits_and_patience(write: Write) -> None:
    journey = load(write(GOOD + "[journey]\ntries = 3\nbatch_files = 7\nfirst_wait_seconds = 1"), {}).journey

    assert (journey.limits.files, journey.patience.tries) == (7, 3)
    assert journey.patience.first_wait.total_seconds() == 1


def test_settings_cannot_be_changed(write: Write) -> None:
    settings: Settings = load(write(), {})
    alyx: Alyx = settings.alyx
    with pytest.raises(ValueError, match="frozen"):
        alyx.user = "other"  # type: ignore[misc]
