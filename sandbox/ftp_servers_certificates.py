"""Certificates for the sandbox's FTPS servers: an authority of our own, and what it signs, rightly or not.

Each is made on first use and kept in `home`; the servers' files hold key and certificate together.
"""

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

_DAY = timedelta(days=1)


class Authority:
    """An authority; `file` (PEM) is what a client must be given to believe it."""

    def __init__(self, home: Path, name: str = "sandbox authority") -> None:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._home = home
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.file = home / "authority.pem"
        made = self._build(self._name, self._key.public_key(), -1, 30).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        signed = made.add_extension(_may_sign(), critical=True).sign(self._key, hashes.SHA256())
        self.file.write_bytes(signed.public_bytes(Encoding.PEM))

    def certificate(self, host: str = "127.0.0.1", *, from_day: int = -1, until_day: int = 20) -> Path:
        """Key and certificate of a server called `host` (a name or an address), days counted from today."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        made = self._build(name, key.public_key(), from_day, until_day).add_extension(
            x509.SubjectAlternativeName([_general_name(host)]), critical=False
        )
        signed = made.sign(self._key, hashes.SHA256())
        path = self._home / f"server-{host}-{from_day}-{until_day}.pem"
        secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path.write_bytes(secret + signed.public_bytes(Encoding.PEM))
        path.chmod(0o600)
        return path

    def _build(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, from_day: int, until_day: int
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + from_day * _DAY)
            .not_valid_after(now + until_day * _DAY)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
        )


def _may_sign() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
