"""What a config may say about an FTP endpoint.

Promises: nothing here reads a file or opens a connection, and no secret is ever part of a text made from it.
Passwords and files travel encrypted unless `tls` holds the one sentence that says otherwise.
"""

import re
from pathlib import Path, PurePosixPath
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

CLEAR_TEXT = "no-i-accept-clear-text"

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class FtpOptions(BaseModel):
    """How to reach a store over FTP.

    `tls` is "explicit" (AUTH TLS on the usual port), "implicit" (TLS from the first byte, port 990) or the
    sentence that gives up encryption.  The server's certificate must be valid for `host` and come from an
    authority this machine knows, or from one in `ca_file` (PEM), which then is the only one believed.
    Modes are octal, as in `0o644`; without them the server's own apply.  Times are in seconds: `timeout` is
    how long the server may be silent in the middle of something, `hash_timeout` how long it may take to hash
    one file.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field(min_length=1)
    port: int | None = Field(default=None, ge=1, le=65535)
    user: str = Field(min_length=1)
    password: SecretStr
    root: PurePosixPath
    tls: Literal["explicit", "implicit", "no-i-accept-clear-text"] = "explicit"
    ca_file: Path | None = None
    connections: int = Field(default=4, ge=1, le=16)
    connect_timeout: float = Field(default=15.0, gt=0)
    timeout: float = Field(default=60.0, gt=0)
    hash_command: bool = True
    hash_timeout: float = Field(default=3600.0, gt=0)
    file_mode: int | None = Field(default=None, ge=0o400, le=0o777)
    folder_mode: int | None = Field(default=None, ge=0o500, le=0o777)

    @property
    def encrypted(self) -> bool:
        return self.tls != CLEAR_TEXT

    @property
    def at(self) -> int:
        """The port, given or usual."""
        return self.port or (990 if self.tls == "implicit" else 21)

    @property
    def address(self) -> str:
        """How the endpoint prints: never with user or password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'ftps' if self.encrypted else 'ftp'}://{host}:{self.at}"

    @field_validator("root")
    @classmethod
    def _absolute(cls, root: PurePosixPath) -> PurePosixPath:
        if not root.is_absolute() or ".." in root.parts or _CONTROL.search(str(root)):
            raise ValueError("must be an absolute path without '..', as the server sees it")
        return root

    @field_validator("host", "user", "password")
    @classmethod
    def _one_line(cls, text: str | SecretStr) -> str | SecretStr:
        plain = text.get_secret_value() if isinstance(text, SecretStr) else text
        # A line break would end the command it is sent in and begin another one.
        if _CONTROL.search(plain):
            raise ValueError("must not contain control characters")
        return text

    @model_validator(mode="after")
    def _no_idle_authority(self) -> Self:
        if self.ca_file is not None and not self.encrypted:
            raise ValueError("ca_file has no meaning without TLS")
        return self
