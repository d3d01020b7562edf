"""Whether the dashboard's certificate and key can be used, said of the one that cannot."""

import ssl
from pathlib import Path


def unusable(certificate: Path, key: Path) -> str | None:
    """What is wrong with these two files of PEM; None where a server can speak TLS with them."""
    for name, file in (("certificate_file", certificate), ("key_file", key)):
        try:
            file.open("rb").close()
        except OSError as error:
            return f"dashboard.{name}: {file} cannot be read ({error.strerror or type(error).__name__})."
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=_asked)
    except (OSError, _Encrypted) as error:  # an ssl.SSLError is an OSError
        why = {"KEY_VALUES_MISMATCH": "the key is of another certificate"}.get(
            getattr(error, "reason", ""), "they must be unencrypted PEM files"
        )
        return f"dashboard.certificate_file, key_file: {certificate} and {key} cannot be used: {why}."
    return None


class _Encrypted(Exception):
    """OpenSSL asks for the key's passphrase; a service has nobody to ask."""


def _asked() -> str:
    raise _Encrypted
