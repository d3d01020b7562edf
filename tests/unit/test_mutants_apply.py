"""Every mutant of `tests/mutants.py` still fits the product, and names tests that exist."""

import ast
from pathlib import Path

import pytest

from tests.mutants import read
from tests.mutation.mutations import MUTATIONS, DoesNotApply, Mutation, Patch

ROOT = Path(__file__).parents[2]
each_mutation = pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda one: one.name)


@each_mutation
def test_every_patch_applies_exactly_once_and_is_python(mutation: Mutation) -> None:
    for patch in mutation.patches:
        mutated = patch.applied(ROOT)
        ast.parse(mutated)
        assert mutated != (ROOT / patch.file).read_text(encoding="utf-8")


@each_mutation
def test_every_test_it_names_exists(mutation: Mutation) -> None:
    assert mutation.tests
    for test in mutation.tests:
        file, _, name = test.partition("::")
        functions = {
            node.name
            for node in ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8")))
            if isinstance(node, ast.FunctionDef)
        }
        assert name.partition("[")[0] in functions, test


def test_names_are_used_once() -> None:
    names = [mutation.name for mutation in MUTATIONS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("content", ["nothing of it", "twice twice"])
def test_a_text_that_is_not_there_exactly_once_is_told(tmp_path: Path, content: str) -> None:
    (tmp_path / "file.py").write_text(content)
    with pytest.raises(DoesNotApply, match=r"file\.py"):
        Patch(file="file.py", old="twice", new="once").applied(tmp_path)


def test_a_test_that_could_not_begin_is_not_red(tmp_path: Path) -> None:
    """A patch that breaks an import would else count as caught."""
    report = tmp_path / "report.xml"
    report.write_text(
        "<testsuites><testsuite>"
        '<testcase name="good"/><testcase name="bad"><failure>no</failure></testcase>'
        '<testcase name="broken"><error>import</error></testcase>'
        '<testcase name="skipped"><skipped/></testcase>'
        "</testsuite></testsuites>"
    )
    seen = read(report)
    assert (seen.passed, seen.red, seen.not_run) == (["good"], ["bad"], ["broken", "skipped"])
