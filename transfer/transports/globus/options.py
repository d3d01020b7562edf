"""What a config may say about a store that is reached through Globus.

Promises: nothing here reads a file or opens a connection, and no secret is ever part of a text made from it.
"""

from pathlib import Path, PurePosixPath
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Field,
    SecretStr,
    model_validator,
)

_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


def _root(path: PurePosixPath) -> PurePosixPath:
    if not path.is_absolute() or ".." in path.parts:
        raise ValueError("must be an absolute path without '..', as Globus shows it (C:\\Data is /C/Data)")
    return path


def _file(path: object) -> object:
    if isinstance(path, str):
        path = Path(path).expanduser()
    if isinstance(path, Path) and not path.is_absolute():
        raise ValueError("must be an absolute path")
    return path


def _address(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.password:
        raise ValueError("must be a web address without user and password")
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise ValueError("must begin with https://: the client's secret is sent there")
    return url.rstrip("/") + "/"


Root = Annotated[PurePosixPath, AfterValidator(_root)]
PrivateFile = Annotated[Path, BeforeValidator(_file)]
Address = Annotated[str, AfterValidator(_address)]


class GlobusSource(BaseModel):
    """Where Globus sees a lab's data: its collection, and the lab's root in it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    collection: UUID
    root: Root


class GlobusOptions(BaseModel):
    """How to have Globus bring files to a store.

    With `login` "client" we are a confidential client (`client_id` and its secret); with "user" we are the person
    who ran `alyx-transfer globus login`, which keeps a refresh token in `token_file`.  `collection` and `root` are
    the store, `sources` says for each lab repository where Globus sees it.  `data_access` names the mapped
    collections that ask for the data_access consent.  A task is given `task_hours`, is looked at every
    `poll_seconds`, and at most `pending` tasks wait or run at a time, `active` of them run; `batch_files`,
    `batch_bytes` and `large_bytes` say how large a task may be.  `timeout` is for one answer of the service, in
    seconds; `connections` is how many requests may be under way at a time.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    login: Literal["client", "user"] = "client"
    client_id: UUID
    client_secret: SecretStr | None = None
    client_secret_file: PrivateFile | None = None
    token_file: PrivateFile | None = None
    collection: UUID
    root: Root
    sources: dict[str, GlobusSource] = Field(min_length=1)
    data_access: tuple[UUID, ...] = Field(default_factory=tuple)
    encrypt: bool = True
    pending: int = Field(default=100, ge=1, le=100)
    active: int = Field(default=3, ge=1, le=100)
    batch_files: int = Field(default=1000, ge=1, le=100_000)
    batch_bytes: ByteSize = Field(default=ByteSize(100 * 1024**3), ge=1)
    large_bytes: ByteSize = Field(default=ByteSize(10 * 1024**3), ge=1)
    task_hours: float = Field(default=24.0, gt=0, le=24 * 30)
    poll_seconds: float = Field(default=30.0, gt=0)
    connections: int = Field(default=4, ge=1, le=8)
    timeout: float = Field(default=60.0, gt=0)
    service_url: Address | None = None
    auth_url: Address | None = None

    @property
    def address(self) -> str:
        """How the endpoint prints."""
        return f"globus://{self.collection}"

    @property
    def scope(self) -> str:
        """The one scope we ask for, with what the collections of `data_access` want beside it."""
        # Asked for with the very first token: a consent that is added later is silently not asked for.
        collections = " ".join(
            f"*https://auth.globus.org/scopes/{collection}/data_access" for collection in self.data_access
        )
        return "urn:globus:auth:scope:transfer.api.globus.org:all" + (
            f"[{collections}]" if collections else ""
        )

    @model_validator(mode="after")
    def _one_way_in(self) -> Self:
        secrets = [key for key in ("client_secret", "client_secret_file") if getattr(self, key) is not None]
        if self.login == "user" and (secrets or self.token_file is None):
            raise ValueError('login = "user" takes a token_file and no client secret')
        if self.login == "client" and (len(secrets) != 1 or self.token_file is not None):
            raise ValueError(
                'login = "client" takes either client_secret or client_secret_file, and no token_file'
            )
        return self
