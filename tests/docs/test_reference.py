"""docs/reference.md is what the code says."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_reference_is_made_from_the_code_as_it_is_now() -> None:
    spec = importlib.util.spec_from_file_location("reference", ROOT / "scripts" / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    reference = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reference)

    assert reference.PAGE.read_text(encoding="utf-8") == reference.page(), "run: python scripts/reference.py"
