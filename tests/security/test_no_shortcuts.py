"""What the product never does, looked for in its source: no exception is made.

ruff's bandit rules look for the same and more (`select = ["S"]`); this test also sees what an ignored rule or a
`noqa` would let through.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PRODUCT = ("transfer", "workers", "config", "cli", "rehearsal")

MODULES = {"pickle", "marshal", "shelve", "yaml", "dill", "telnetlib", "xml"}
CALLS = {
    "eval",
    "exec",
    "compile",
    "system",
    "popen",
    "mktemp",
    "AutoAddPolicy",
    "WarningPolicy",
    "set_missing_host_key_policy",
}
CALLS |= {"_create_unverified_context", "disable_warnings", "load_system_host_keys", "umask"}
NAMES = {"CERT_NONE", "CERT_OPTIONAL", "PROTOCOL_TLSv1", "PROTOCOL_SSLv23"}
FALSE = {"verify", "check_hostname", "ssl_verify", "verify_ssl"}
WORDS = (
    "StrictHostKeyChecking=no",
    "StrictHostKeyChecking=accept-new",
    "UserKnownHostsFile=/dev/null",
    "sshpass",
    "NOPASSWD",
)


def offences(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and what stands there."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, name.name) for name in names if name.name.split(".")[0] in MODULES)
            case ast.ImportFrom(module=str(module)) if module.split(".")[0] in MODULES:
                yield node.lineno, module
            case ast.Call(func=ast.Attribute(value=ast.Name(id="re"), attr="compile")):
                pass  # a regular expression, no code
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in CALLS:
                yield node.lineno, f"{name}()"
            case ast.Attribute(attr=name) if name in NAMES:
                yield node.lineno, name
            case ast.keyword(arg="shell", value=ast.Constant(value=True)):
                yield node.value.lineno, "shell=True"
            case ast.keyword(arg=str(arg), value=ast.Constant(value=False)) if arg in FALSE:
                yield node.value.lineno, f"{arg}=False"
            case ast.Assign(targets=[ast.Attribute(attr=name)], value=ast.Constant(value=False)) if (
                name in FALSE
            ):
                yield node.lineno, f"{name} = False"
            case ast.Constant(value=str(text)) if any(word in text for word in WORDS):
                yield node.lineno, text


def test_the_product_takes_no_shortcut() -> None:
    """No pickle, no YAML, no shell, no evaluated text, no unchecked certificate or host key."""
    found = [
        f"{file.relative_to(ROOT)}:{line}: {what}"
        for package in PRODUCT
        for file in sorted((ROOT / package).rglob("*.py"))
        for line, what in offences(ast.parse(file.read_text(encoding="utf-8")))
    ]
    assert found == []


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from yaml import load",
        "eval('1')",
        "os.system('ls')",
        "subprocess.run('ls', shell=True)",
        "httpx2.Client(verify=False)",
        "context.check_hostname = False",
        "context.verify_mode = ssl.CERT_NONE",
        "client.set_missing_host_key_policy(AutoAddPolicy())",
        "words = ['-o', 'StrictHostKeyChecking=no']",
        "tempfile.mktemp()",
    ],
)
def test_each_shortcut_would_be_seen(line: str) -> None:
    assert list(offences(ast.parse(line)))
