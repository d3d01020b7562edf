"""The sections of the config and their keys, each with its default and its check.

A validator raises `Wrong`: what is wrong and what to do.  docs/configuration.md lists every key, and a test
keeps it so.  Reading the file and the environment is in `settings`; nothing here connects to anything.
"""

from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal, Self
from urllib.parse import quote, urlsplit, urlunsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Field,
    SecretStr,
    SerializeAsAny,
    model_validator,
)

from config import places
from config.guest import Guest, known_zone
from config.problems import Wrong
from config.schedule import LabSchedule, Schedule
from config.secrets import check_private
from transfer.notices import read_hours, read_time
from transfer.planning import Limits
from transfer.retries import Patience
from transfer.timetable import Misread


def _web_address(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        shown = without_password(url)
        raise Wrong(f'must be a web address, not "{shown}"', "Write https:// and the host's name.")
    if parts.username or parts.password:
        raise Wrong("must not contain a user or password", "Use user and password_file of this section.")
    return url.rstrip("/")


def _absolute(path: Path) -> Path:
    if not path.is_absolute():
        raise Wrong(f'must be an absolute path, not "{path}"', "Write the whole path.")
    return path


def _from_home(path: object) -> object:
    return Path(path).expanduser() if isinstance(path, str) and path.startswith("~") else path


def _private(path: Path) -> Path:
    check_private(path)
    return path


def _one_name(name: str) -> str:
    if name in {"", ".", ".."} or {"/", "\\"} & set(name):
        raise Wrong(f'must be the bare name of a file, not "{name}"', 'Write for example "raw_session.flag".')
    return name


def _database(url: str) -> str:
    parts = urlsplit(url)
    known = parts.scheme.split("+")[0]
    if known not in {"sqlite", "postgresql"}:
        raise Wrong(
            "must begin with sqlite:/// or postgresql://", 'Write for example "sqlite:////srv/ledger.sqlite".'
        )
    file = parts.path.removeprefix("/")
    if known == "sqlite" and not (Path(file).is_absolute() or PurePosixPath(file).is_absolute()):
        raise Wrong(
            "must name its file from the root", "Write four slashes: sqlite:////srv/transfer/ledger.sqlite"
        )
    return url


def _broker(url: str) -> str:
    if "://" not in url:
        raise Wrong("must be a broker's address", 'Write for example "memory://" or "redis://localhost/0".')
    return url


def _time_of_day(words: str) -> str:
    try:
        read_time(words)
    except Misread as misread:
        raise Wrong(misread.what, misread.do) from misread
    return words


def _hours(words: str) -> str:
    try:
        read_hours(words)
    except Misread as misread:
        raise Wrong(misread.what, misread.do) from misread
    return words


Absolute = Annotated[Path, BeforeValidator(_from_home), AfterValidator(_absolute)]
Private = Annotated[Path, BeforeValidator(_from_home), AfterValidator(_absolute), AfterValidator(_private)]
Name = Annotated[str, Field(min_length=1)]


class Section(BaseModel):
    """One table of the file.  Unknown keys are refused: they are misspelt ones."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Alyx(Section):
    """Where Alyx is and who we are there."""

    url: Annotated[str, AfterValidator(_web_address)]
    user: Name
    password: SecretStr | None = None
    password_file: Private | None = None
    token_file: Private | None = None
    requests_per_minute: Annotated[int, Field(ge=1, le=100_000)] = 500

    @model_validator(mode="after")
    def _one_credential(self) -> Self:
        given = [key for key in ("password", "password_file", "token_file") if getattr(self, key) is not None]
        if not given:
            raise Wrong(
                "no password and no token",
                "Set password_file or token_file, or the environment variable ALYX_TRANSFER_ALYX__PASSWORD.",
            )
        if len(given) > 1:
            raise Wrong(f"{' and '.join(given)} are both set", "Keep one of them.")
        return self


class Addressed(Section):
    """A server's address.  `settings` puts the password of `password_file` into it before anybody reads it."""

    url: str
    password_file: Private | None = None

    @model_validator(mode="after")
    def _one_password(self) -> Self:
        if self.password_file is None:
            return self
        parts = urlsplit(self.url)
        if not parts.hostname:
            raise Wrong("password_file is set, and url names no server", "Remove it, or name the server.")
        if parts.password is not None:
            raise Wrong("url has a password, and password_file is set", "Keep one of them.")
        return self

    @property
    def shown(self) -> str:
        """The URL without its password, for people."""
        return without_password(self.url)


class Ledger(Addressed):
    """The database that is the queue and the record."""

    url: Annotated[str, AfterValidator(_database), Field(repr=False)] = Field(
        default_factory=lambda: f"sqlite:///{places.ledger_file()}"
    )
    min_free: Annotated[ByteSize, Field(ge=0)] = ByteSize(200 * 1000**2)


class Broker(Addressed):
    """Who carries the doorbell's ring to the workers."""

    url: Annotated[str, AfterValidator(_broker), Field(repr=False)] = "memory://"


class Web(Section):
    """How the stores' web servers are read, at the data_url that Alyx has; `server` alone is shown the login."""

    server: Annotated[str, AfterValidator(_web_address)] | None = None
    user: Name | None = None
    password: SecretStr | None = None
    password_file: Private | None = None
    ca_file: Absolute | None = None
    connections: Annotated[int, Field(ge=1, le=32)] = 4
    timeout_seconds: Annotated[float, Field(gt=0, le=3600)] = 60.0

    @model_validator(mode="after")
    def _whole_login(self) -> Self:
        if self.password is not None and self.password_file is not None:
            raise Wrong("password and password_file are both set", "Keep one of them.")
        secret = self.password is not None or self.password_file is not None
        if (self.user is not None) != secret or (secret and self.server is None):
            raise Wrong(
                "a login needs server, user and password_file (or password)",
                "Set all three, or none where the data server asks for no login.",
            )
        return self


class Journey(Section):
    """How the work is cut up, leased and repeated."""

    lease_seconds: Annotated[int, Field(ge=10, le=3600)] = 60
    batch_files: Annotated[int, Field(ge=1)] = 400
    batch_bytes: Annotated[ByteSize, Field(ge=1)] = ByteSize(4 * 1024**3)
    large_bytes: Annotated[ByteSize, Field(ge=1)] = ByteSize(1024**3)
    tries: Annotated[int, Field(ge=1, le=100)] = 8
    first_wait_seconds: Annotated[int, Field(ge=1)] = 30
    longest_wait_seconds: Annotated[int, Field(ge=1)] = 7200

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.first_wait_seconds > self.longest_wait_seconds:
            raise Wrong(
                "first_wait_seconds is above longest_wait_seconds", "Lower the first or raise the last."
            )
        return self

    @property
    def limits(self) -> Limits:
        return Limits(files=self.batch_files, bytes=int(self.batch_bytes), large_bytes=int(self.large_bytes))

    @property
    def patience(self) -> Patience:
        first, longest = (
            timedelta(seconds=self.first_wait_seconds),
            timedelta(seconds=self.longest_wait_seconds),
        )
        return Patience(tries=self.tries, first_wait=first, longest_wait=longest)


class Logs(Section):
    """What is written to standard error.  `auto` is text on a terminal and JSON elsewhere."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "text", "json"] = "auto"


class Dashboard(Section):
    """Where the dashboard is served, and who may do what there.  Roles name Alyx accounts."""

    host: Name = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 8420
    login: Literal["alyx", "none"] = "alyx"
    names: list[Name] = Field(default_factory=list)
    https: bool = False
    certificate_file: Absolute | None = None
    key_file: Private | None = None
    secret_file: Private | None = None
    session_hours: Annotated[float, Field(gt=0, le=24 * 31)] = 12
    idle_hours: Annotated[float, Field(gt=0, le=24 * 31)] = 4
    everybody: Literal["viewer", "operator", "nothing"] = "viewer"
    viewers: list[Name] = Field(default_factory=list)
    operators: list[Name] = Field(default_factory=list)
    admins: list[Name] = Field(default_factory=list)

    @model_validator(mode="after")
    def _guarded(self) -> Self:
        unguarded = self.unguarded(self.host)
        if unguarded is not None:
            raise unguarded
        if (self.certificate_file is None) != (self.key_file is None):
            raise Wrong("certificate_file and key_file belong together", "Set both, or none.")
        return self

    @property
    def is_encrypted(self) -> bool:
        """Whether browsers speak TLS: with us, or with a proxy before us."""
        return self.https or self.certificate_file is not None

    @property
    def has_proxy(self) -> bool:
        """Whether a proxy speaks TLS for us."""
        return self.https and self.certificate_file is None

    def unguarded(self, host: str) -> Wrong | None:
        """What is missing before more than this machine may reach us at `host`; None where it may be served."""
        if is_loopback(host):
            return None
        if self.login == "none":
            return Wrong(
                f'login = "none" would let everybody who reaches {host} in',
                'Set login = "alyx", or host = "127.0.0.1".',
            )
        if not self.is_encrypted:
            return Wrong(
                f"passwords would travel to {host} in clear",
                "Set certificate_file and key_file, or https = true behind a proxy that speaks TLS.",
            )
        return None


class Notices(Section):
    """Who is told what needs a person, and when.  The addresses stand in a file of their own: they hold passwords."""

    targets_file: Private | None = None
    at_once_minutes: Annotated[float, Field(ge=1, le=24 * 60)] = 10
    at: Annotated[str, AfterValidator(_time_of_day)] = "08:00"
    quiet: Annotated[str, AfterValidator(_hours)] | None = None
    timezone: Annotated[str, AfterValidator(known_zone)] = "UTC"
    old_hours: Annotated[float, Field(gt=0)] = 24
    link: Annotated[str, AfterValidator(_web_address)] | None = None


class Lab(Section):
    """One lab's data folder and how its work is found.  The table's name is the lab's name in Alyx."""

    repository: Name
    root: Absolute
    store: Name
    work: Literal["alyx", "disk"]
    incumbent: bool = False
    complete: Literal["flag", "quiet"] = "flag"
    flag: Annotated[str, AfterValidator(_one_name)] = "raw_session.flag"
    quiet_minutes: Annotated[float, Field(ge=0)] = 10
    guest: Guest = Field(default_factory=Guest)
    schedule: LabSchedule = Field(default_factory=LabSchedule)


class Store(Section):
    """A central store.  The table's name is the repository's name in Alyx; `options` are its transport's."""

    transport: str
    options: SerializeAsAny[BaseModel]


class Settings(Section):
    """The whole config, checked.  `origin` is the file it came from."""

    origin: Path
    alyx: Alyx
    ledger: Ledger
    broker: Broker
    journey: Journey
    schedule: Schedule
    logs: Logs
    web: Web
    dashboard: Dashboard
    notices: Notices
    labs: dict[str, Lab]
    stores: dict[str, Store]


def is_loopback(host: str) -> bool:
    """Whether an address or name is this machine's own, and nobody else's."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def without_password(url: str) -> str:
    """The URL with `***` in place of a password."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    place = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{parts.username or ''}:***@{place}"))


def with_password(url: str, password: str) -> str:
    """The URL with this password; its user stays, and there may be none."""
    parts = urlsplit(url)
    user, _, place = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user}:{quote(password, safe='')}@{place}"))
