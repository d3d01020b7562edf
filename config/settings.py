"""Reads the config: the file, the environment on top, every section checked, all problems together.

Promises: `load` either gives settings of which every value was checked, or raises one `ConfigProblems` that
lists everything wrong at once, each with its place and its remedy.  It reads only the file it is given
and the environment it is passed, and looks at the files that the settings call secret; it connects to
nothing (that is `alyx-transfer doctor`).

An environment variable overrides one value of the file: `ALYX_TRANSFER_ALYX__USER` is `user` in
`[alyx]`, `ALYX_TRANSFER_LABS__CORTEXLAB__ROOT` is `root` in `[labs.cortexlab]`.

Not here: what the keys mean (`sections`), how a problem is worded (`problems`).
"""

import re
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path, PurePath
from typing import Any, TypeVar

from pydantic import BaseModel, SecretStr, ValidationError

from config import places
from config.agreement import disagreements
from config.problems import Problem, Wrong, did_you_mean, explained
from config.schedule import Schedule
from config.secrets import check_mode, first_line, remember_secrets
from config.sections import (
    Addressed,
    Alyx,
    Broker,
    Dashboard,
    Journey,
    Lab,
    Ledger,
    Logs,
    Notices,
    Settings,
    Store,
    Web,
    with_password,
)
from transfer.errors import ConfigProblems
from transfer.transports.registry import KINDS, options_model

__all__ = ["PREFIX", "Settings", "load"]

PREFIX = "ALYX_TRANSFER_"
_FILE = PREFIX + "CONFIG"
_SECTIONS: dict[str, type[BaseModel]] = {
    "alyx": Alyx,
    "ledger": Ledger,
    "broker": Broker,
    "journey": Journey,
    "schedule": Schedule,
    "logs": Logs,
    "web": Web,
    "dashboard": Dashboard,
    "notices": Notices,
}
_NAMED = ("labs", "stores")
_WITH_PASSWORD = re.compile(r"://[^/@\s]*:[^/@\s]+@")
_PRIVATE = ("key", "client_secret_file", "token_file")  # the options of transports that name a secret's file

Tree = dict[str, Any]
Place = tuple[str, ...]
Model = TypeVar("Model", bound=BaseModel)


def load(path: Path | None, environ: Mapping[str, str]) -> Settings:
    """Read and check the config at `path`, else at ALYX_TRANSFER_CONFIG, else at the default place.

    Raises `ConfigProblems` with every problem found.
    """
    file = path or (Path(environ[_FILE]) if environ.get(_FILE) else places.config_file())
    reading = _Reading(_read(file), str(file))
    reading.overlay(environ)
    settings = reading.settings(file)
    if settings is None:
        raise ConfigProblems([str(problem) for problem in reading.problems], to=file)
    return settings


def _read(file: Path) -> Tree:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        do = "Run: alyx-transfer init, or name another file with --config"
        problem = Problem(str(file), "", "there is no such config", do)
    except tomllib.TOMLDecodeError as error:
        problem = Problem(str(file), "", f"is not valid TOML: {error}", "Correct that line.")
    except UnicodeDecodeError as error:
        problem = Problem(str(file), "", f"is not UTF-8 text at byte {error.start}", "Save it as UTF-8.")
    except OSError as error:
        said = (error.strerror or type(error).__name__).lower()
        problem = Problem(
            str(file), "", f"cannot be read ({said})", "Give this account the right to read it."
        )
    raise ConfigProblems([str(problem)], to=file)


class _Reading:
    """The tree of one reading, where each value came from, and what was wrong with it."""

    def __init__(self, tree: Tree, file: str) -> None:
        self.tree = tree
        self.origins: dict[Place, str] = {(): file}
        self.problems: list[Problem] = []

    def wrong(self, key: str, what: str, do: str, origin: str | None = None) -> None:
        self.problems.append(Problem(origin or self.origins[()], key, what, do))

    # ---- the environment ------------------------------------------------------------------------------

    def overlay(self, environ: Mapping[str, str]) -> None:
        """Put every `ALYX_TRANSFER_<SECTION>__<KEY>` over the file's value."""
        for variable in sorted(environ):
            words = variable.removeprefix(PREFIX)
            if not variable.startswith(PREFIX) or variable == _FILE:
                continue
            if "__" in words:
                self._set(variable, [word for word in words.split("__") if word], environ[variable])
            elif near := get_close_matches(words, _variables(), n=1, cutoff=0.8):
                do = f"Did you mean {PREFIX}{near[0]}? Section and key are joined by two underscores."
                self.wrong("", "unknown variable", do, f"environment {variable}")

    def _set(self, variable: str, words: list[str], value: str) -> None:
        here, place = self.tree, tuple[str, ...]()
        for depth, word in enumerate(words):
            key = _known_as(word, here)
            place = (*place, key)
            if depth == len(words) - 1:
                here[key] = value
                self.origins[place] = f"environment {variable}"
            elif isinstance(here.setdefault(key, {}), dict):
                here = here[key]
            else:
                self.wrong(
                    ".".join(place), "is not a table", "Correct the variable.", f"environment {variable}"
                )
                return

    # ---- checking -------------------------------------------------------------------------------------

    def settings(self, file: Path) -> Settings | None:
        """Check every section and what they say about one another; None when there are problems."""
        for key in self.tree.keys() - {*_SECTIONS, *_NAMED}:
            self.wrong(key, "unknown section", did_you_mean(key, [*_SECTIONS, *_NAMED]))
        sections = {name: self._section(model, (name,)) for name, model in _SECTIONS.items()}
        labs = {name: self._section(Lab, ("labs", name)) for name in self._table(("labs",))}
        stores = {name: self._store(name) for name in self._table(("stores",))}
        known_labs = {name: lab for name, lab in labs.items() if isinstance(lab, Lab)}
        known_stores = {name: store for name, store in stores.items() if store}
        self.problems += [
            Problem(self.origins.get(place, self.origins[()]), ".".join(place), what, do)
            for place, what, do in disagreements(known_labs, known_stores, named=set(stores))
        ]
        self._check_secrets(file, {**sections, **{n: s.options for n, s in known_stores.items()}})
        sections = {name: self._addressed(name, section) for name, section in sections.items()}
        if self.problems:
            return None
        found: dict[str, Any] = {**sections, "labs": known_labs, "stores": known_stores}
        made = Settings.model_construct(origin=file, **found)
        remember_secrets(made)
        return made

    def _addressed(self, name: str, section: BaseModel | None) -> BaseModel | None:
        """The section with the password of its file inside its address; any other as it is."""
        if not isinstance(section, Addressed) or section.password_file is None:
            return section
        try:
            url = with_password(section.url, first_line(section.password_file))
        except Wrong as wrong:
            self.wrong(f"{name}.password_file", wrong.what, wrong.do)
            return None
        return section.model_copy(update={"url": url})

    def _table(self, place: Place) -> Tree:
        here: Any = self.tree
        for word in place:
            here = here.get(word, {})
        if isinstance(here, dict):
            return here
        key = ".".join(place)
        self.wrong(key, "must be a table", f"Write [{key}] on a line of its own, and its keys below.")
        return {}

    def _section(self, model: type[Model], place: Place, raw: Tree | None = None) -> Model | None:
        before = len(self.problems)
        values = self._table(place) if raw is None else raw
        if len(self.problems) > before:
            return None
        try:
            return model.model_validate(values)
        except ValidationError as error:
            self.problems += explained(error, model, at=place, origins=self.origins)
            return None

    def _store(self, name: str) -> Store | None:
        place = ("stores", name)
        before = len(self.problems)
        raw = dict(self._table(place))
        kind = raw.pop("transport", None)
        if len(self.problems) > before or not self._known_transport(kind, place):
            return None
        options = self._section(options_model(str(kind)), place, raw)
        if options is None:
            return None
        root = getattr(options, "root", None)
        if isinstance(root, PurePath) and not root.is_absolute():
            origin = self.origins.get((*place, "root"))
            what = f'must be an absolute path, not "{root}"'
            self.wrong(f"stores.{name}.root", what, "Write the whole path.", origin)
        for option in _PRIVATE:
            file = getattr(options, option, None)
            if isinstance(file, Path) and file.is_file():
                self._check_mode(file, f"stores.{name}.{option}")
        return Store(transport=str(kind), options=options)

    def _known_transport(self, kind: object, place: Place) -> bool:
        key = (*place, "transport")
        if kind is None:
            self.wrong(".".join(key), "is missing", f"Write one of: {', '.join(sorted(KINDS))}.")
        elif not isinstance(kind, str) or kind not in KINDS:
            what = f'is no transport: "{kind}"'
            self.wrong(".".join(key), what, did_you_mean(str(kind), KINDS), self.origins.get(key))
        else:
            return True
        return False

    def _check_mode(self, file: Path, key: str) -> None:
        try:
            check_mode(file)
        except Wrong as wrong:
            self.wrong(key, f"a secret, but {wrong.what}", wrong.do)

    def _check_secrets(self, file: Path, sections: Mapping[str, BaseModel | None]) -> None:
        """A secret written into the file itself makes the file a secret."""
        overridden = set(self.origins)
        secret = [
            f"{name}.{key}"
            for name, section in sections.items()
            if section
            for key in section.model_fields_set
            if _is_secret(getattr(section, key)) and not {(name, key), ("stores", name, key)} & overridden
        ]
        if secret:
            self._check_mode(file, ", ".join(secret))


def _variables() -> list[str]:
    return [f"{name}__{key}".upper() for name, model in _SECTIONS.items() for key in model.model_fields]


def _known_as(word: str, tree: Tree) -> str:
    """The key of `tree` that `word` of a variable's name means: case and punctuation do not count."""
    return next((key for key in tree if _folded(key) == _folded(word)), word.lower())


def _folded(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "_", name.lower())


def _is_secret(value: object) -> bool:
    return isinstance(value, SecretStr) or (isinstance(value, str) and bool(_WITH_PASSWORD.search(value)))
