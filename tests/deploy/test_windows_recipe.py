"""The Windows recipe, as far as a machine without Windows can see: the task's description and the scripts' words."""

import re
import tomllib
from xml.etree import ElementTree

import pytest

from tests.deploy.recipes import DEPLOY

FOLDER = DEPLOY / "windows"
DESCRIPTION = FOLDER / "alyx-transfer-worker.xml"
SPACE = "{http://schemas.microsoft.com/windows/2004/02/mit/task}"
TASK = ElementTree.parse(DESCRIPTION).getroot()


def said(path: str) -> str:
    found = TASK.find("/".join(SPACE + part for part in path.split("/")))
    assert found is not None, f"the description has no {path}"
    return found.text or ""


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("Settings/MultipleInstancesPolicy", "IgnoreNew"),
        ("Settings/ExecutionTimeLimit", "PT0S"),
        ("Settings/DisallowStartIfOnBatteries", "false"),
        ("Settings/StopIfGoingOnBatteries", "false"),
        ("Triggers/BootTrigger/Enabled", "true"),
        ("Triggers/TimeTrigger/Repetition/Interval", "PT5M"),
        ("Principals/Principal/RunLevel", "LeastPrivilege"),
    ],
)
def test_the_task_runs_for_ever_comes_back_and_is_never_two(path: str, value: str) -> None:
    assert said(path) == value


def test_every_word_between_at_signs_is_filled_in() -> None:
    """Names in the description, in the table of the script that fills them in: the same."""
    words = set(re.findall(r"@[A-Z]+@", DESCRIPTION.read_text("utf-8")))
    script = (FOLDER / "install-service.ps1").read_text("utf-8")
    assert words == set(re.findall(r'"(@[A-Z]+@)"', script))


def test_the_task_calls_a_script_that_is_there_with_parameters_that_it_has() -> None:
    arguments = said("Actions/Exec/Arguments")
    found = re.search(r'-File "@HOME@\\deploy\\windows\\([\w-]+\.ps1)"(.*)', arguments)
    assert found
    script = (FOLDER / found[1]).read_text("utf-8")
    named = set(re.findall(r"\[string\] \$(\w+)", script))
    assert set(re.findall(r" -(\w+) ", found[2])) == named


def test_the_readme_registers_the_task_with_parameters_that_the_script_has() -> None:
    script = (FOLDER / "install-service.ps1").read_text("utf-8")
    named = set(re.findall(r"\[(?:string|switch)\] \$(\w+)", script))
    used = re.findall(r"install-service\.ps1 ([^`\n]+)", (FOLDER / "README.md").read_text("utf-8"))
    assert used
    for words in used:
        assert set(re.findall(r"-([A-Z]\w+)", words)) <= named


def test_no_password_is_a_parameter() -> None:
    """It would stand in the history and in the list of processes."""
    for script in FOLDER.glob("*.ps1"):
        parameters = re.search(r"param\((.*?)\n\)", script.read_text("utf-8"), re.DOTALL)
        assert parameters
        assert "assword" not in parameters[1]


def test_the_config_that_the_page_shows_has_paths_as_windows_has_them() -> None:
    [block] = re.findall(r"^```toml\n(.*?)^```$", (FOLDER / "README.md").read_text("utf-8"), re.M | re.S)
    told = tomllib.loads(block)
    assert told["labs"]["cortexlab"]["root"] == r"D:\Data\Subjects"
    assert told["stores"]["flatiron_cortexlab"]["root"].startswith("/")
