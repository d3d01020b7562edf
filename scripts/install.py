"""Install this project and what it needs into the environment that runs this; called by scripts/venv.

Two passes, because pip takes hashes from a list of requirements only and never from constraints: the first asks
pip which packages are needed, the second installs exactly these from constraints.txt, each checked by its hash.
"""

import hashlib
import json
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STAMP = Path(sys.prefix, "alyx-transfer-installed.json")
TEST = "test"


def wanted(extras: set[str]) -> list[str]:
    """The requirements of pyproject.toml for these extras."""
    told = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    optional = told["project"]["optional-dependencies"]
    if unknown := extras - {*optional, TEST}:
        sys.exit(
            f"There is no extra {', '.join(sorted(unknown))}. Name some of: {', '.join([*optional, TEST])}."
        )
    chosen = optional if TEST in extras else {name: optional[name] for name in extras}
    development = told["dependency-groups"]["dev"] if TEST in extras else []
    return [
        *told["project"]["dependencies"],
        *(one for some in chosen.values() for one in some),
        *development,
    ]


def blocks(constraints: str) -> dict[str, list[str]]:
    """Of each package the lines with its pin and hashes; there may be several, for different Pythons."""
    found: dict[str, list[str]] = {}
    for block in re.split(r"\n(?=\S)", constraints.strip()):
        if block and not block.startswith("#"):
            found.setdefault(plain(re.split(r"[=\s\[]", block, maxsplit=1)[0]), []).append(block)
    return found


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pip(*arguments: str) -> str:
    """Run pip quietly.  Ends the program with pip's words when it fails."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(
            f"{done.stderr.strip()}\nThe packages could not be installed (pip said why above). Try again."
        )
    return done.stdout


def install(requirements: list[str], scratch: Path) -> None:
    """Install the requirements and what they need."""
    asked, pins, chosen = scratch / "asked.txt", scratch / "pins.txt", scratch / "chosen.txt"
    asked.write_text("\n".join(requirements), "utf-8")
    file = ROOT / "constraints.txt"
    if not file.exists():
        pip("install", "-r", str(asked))
        return
    known = blocks(file.read_text("utf-8"))
    pins.write_text("\n".join(block.split("\\")[0] for some in known.values() for block in some), "utf-8")
    report = json.loads(pip("install", "--dry-run", "--report", "-", "-c", str(pins), "-r", str(asked)))
    names = [plain(one["metadata"]["name"]) for one in report["install"]]
    if unpinned := [name for name in names if name not in known]:
        sys.exit(
            f"constraints.txt does not name {', '.join(unpinned)}, which this project needs. Make it anew."
        )
    chosen.write_text("\n".join(block for name in names for block in known[name]), "utf-8")
    if names:
        pip("install", "--require-hashes", "--no-deps", "-r", str(chosen))


def main() -> None:
    extras = set(sys.argv[1:])
    said = [
        (ROOT / name).read_bytes() for name in ("pyproject.toml", "constraints.txt") if (ROOT / name).exists()
    ]
    state = hashlib.sha256(b"\0".join([str(ROOT).encode(), *said])).hexdigest()
    before = json.loads(STAMP.read_text("utf-8")) if STAMP.exists() else {}
    if before.get("state") == state and extras <= set(before["extras"]):
        return
    extras |= set(before.get("extras", ()))
    requirements = wanted(extras)
    sys.stderr.write("installing into .venv; this takes a minute, once\n")
    with tempfile.TemporaryDirectory() as scratch:
        install(requirements, Path(scratch))
    pip("install", "--no-deps", "--editable", ".")
    STAMP.write_text(json.dumps({"state": state, "extras": sorted(extras)}), "utf-8")


if __name__ == "__main__":
    main()
