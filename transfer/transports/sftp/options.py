"""What a config may say about an SFTP endpoint.

Promises: nothing here reads a file or opens a connection; no secret is ever part of a text made from it; no
host and no user can be taken for an option, a shell's word or another host.
"""

import base64
import binascii
import sys
from pathlib import Path, PurePosixPath
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

SSH_PORT = 22
_NEVER = r"\s\x00-\x1f\x7f'\"`$;&<>|(){}"
_HOST = rf"^[^{_NEVER}\\@/,\-][^{_NEVER}\\@/,]*$"
_USER = rf"^[^{_NEVER}\\\-]([^{_NEVER}]*[^{_NEVER}\\])?$"


class SftpOptions(BaseModel):
    """How to reach a store over SFTP.

    The server is known by `host_key` ("ssh-ed25519 AAAA...", the form of a .pub file) or else by the file
    `known_hosts` (default: the account's own).  We log in with `key`, `agent` or `password`, in this order.
    `carrier` is what speaks SSH: "ssh" the system's own program, which also reads `~/.ssh/config` (`host` may be
    a name from there; `user`, and `port` where it is given, win), "paramiko" a library; "auto" is ssh unless there
    is none or it would need a password.

    Times are in seconds: `timeout` is how long the server may leave a request unanswered, `sync_timeout` a
    request to flush a file, `hash_timeout` a hash command between two signs of life.  Modes are octal, as in
    `0o644`; they are set whatever the server's umask says.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field(pattern=_HOST)
    port: int | None = Field(default=None, ge=1, le=65535)
    user: str = Field(pattern=_USER)
    root: PurePosixPath
    carrier: Literal["auto", "ssh", "paramiko"] = "auto"
    key: Path | None = None
    key_passphrase: SecretStr | None = None
    agent: bool = False
    password: SecretStr | None = None
    known_hosts: Path | None = None
    host_key: str | None = None
    connections: int | None = Field(default=None, ge=1, le=8)
    connect_timeout: float = Field(default=15.0, gt=0)
    timeout: float = Field(default=60.0, gt=0)
    sync_timeout: float = Field(default=600.0, gt=0)
    file_mode: int = Field(default=0o644, ge=0o400, le=0o777)
    folder_mode: int = Field(default=0o755, ge=0o500, le=0o777)
    hash_command: bool = True
    hash_timeout: float = Field(default=3600.0, gt=0)

    @property
    def address(self) -> str:
        """How the endpoint prints: never with user or password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"sftp://{host}" if self.port is None else f"sftp://{host}:{self.port}"

    @property
    def secret(self) -> bool:
        """Whether something secret has to be told to log in, which no command line may carry."""
        return self.password is not None or self.key_passphrase is not None

    @field_validator("root")
    @classmethod
    def _absolute(cls, root: PurePosixPath) -> PurePosixPath:
        if not root.is_absolute() or ".." in root.parts:
            raise ValueError("must be an absolute path without '..', as the server sees it")
        return root

    @field_validator("host_key")
    @classmethod
    def _public_key(cls, text: str | None) -> str | None:
        if text is not None:
            split_public_key(text)
        return text

    @model_validator(mode="after")
    def _some_way_in(self) -> Self:
        if self.carrier != "ssh" and self.key is None and self.password is None and not self.agent:
            raise ValueError("one of key, agent or password is needed to log in")
        return self

    @model_validator(mode="after")
    def _ssh_can(self) -> Self:
        if self.carrier != "ssh":
            return self
        if self.secret:
            raise ValueError('carrier = "ssh" takes no password and no key_passphrase: use "paramiko"')
        if sys.platform == "win32":
            raise ValueError('carrier = "ssh" does not work on Windows: use "paramiko"')
        return self


def split_public_key(text: str) -> tuple[str, bytes]:
    """The type and the bytes of a public key in the form of a .pub file.  Raises ValueError."""
    kind, _, rest = text.strip().partition(" ")
    try:
        blob = base64.b64decode(rest.split(" ")[0], validate=True)
    except binascii.Error as error:
        raise ValueError("must look like 'ssh-ed25519 AAAA...'") from error
    if not blob.startswith(len(kind).to_bytes(4, "big") + kind.encode()):
        raise ValueError("must look like 'ssh-ed25519 AAAA...', with the type that is inside the key")
    return kind, blob
