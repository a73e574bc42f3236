"""PEM files of the service's certificate, its key and the CA of client certificates; reading and validation."""

import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from llm_inference_api.errors import StartError
from llm_inference_api.files import read_regular

CERTIFICATE, KEY, CLIENT_CA = "TLS_SERVER_CERT_PATH", "TLS_SERVER_KEY_PATH", "TLS_CLIENT_CA_PATH"
_CURVES = ("secp256r1", "secp384r1", "secp521r1")
_SMALLEST_RSA_KEY = 2048
"""Bits; Envoy refuses smaller ones."""

State = tuple[tuple[int, int, int] | None, ...]


class TlsBytes(NamedTuple):
    """Contents of the PEM files."""

    certificate: bytes
    key: bytes
    client_ca: bytes | None


class TlsProblem(NamedTuple):
    """A problem of a file, and the variable that names the file."""

    variable: str
    path: Path
    problem: str

    def __str__(self) -> str:
        return f"{self.variable}: {self.path} {self.problem}"


class TlsError(StartError):
    """The files are invalid; the text has one line per problem."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Paths of the PEM files."""

    certificate: Path
    key: Path
    client_ca: Path | None = None
    """CA that must have signed clients' certificates; None if clients need no certificate."""

    @property
    def paths(self) -> tuple[Path, ...]:
        """Paths of all the files."""
        return (self.certificate, self.key, *((self.client_ca,) if self.client_ca else ()))

    def read(self) -> TlsBytes:
        """Returns the files' contents. Raises TlsError if a file is invalid, or if key and certificate do not match."""
        problems = list(self.problems())
        if problems:
            raise TlsError("\n".join(map(str, problems)))
        client_ca = read_regular(self.client_ca) if self.client_ca else None
        return TlsBytes(read_regular(self.certificate), read_regular(self.key), client_ca)

    def problems(self) -> Iterator[TlsProblem]:
        """Yields the problems that make the files unusable."""
        certificate = _FileCheck(CERTIFICATE, self.certificate)
        key = _FileCheck(KEY, self.key)
        public_keys = (certificate.check_certificate(), key.check_key())
        if None not in public_keys and public_keys[0] != public_keys[1]:
            key.add(f"is not the key of the certificate in {self.certificate}")
        yield from (*certificate.found, *key.found)
        if self.client_ca is not None:
            authority = _FileCheck(CLIENT_CA, self.client_ca)
            authority.check_certificate()
            yield from authority.found

    def warnings(self) -> Iterator[TlsProblem]:
        """Yields a warning for each weakness of valid files."""
        if self.key.stat().st_mode & stat.S_IRWXO:
            yield TlsProblem(KEY, self.key, "can be read by every user of this machine; chmod o-rwx it")
        certificate = x509.load_pem_x509_certificates(read_regular(self.certificate))[0]
        try:
            certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        except x509.ExtensionNotFound:
            yield TlsProblem(CERTIFICATE, self.certificate, "names no host (subjectAltName); clients will refuse it")

    def state(self) -> State:
        """See `file_state`."""
        return file_state(*self.paths)


class _FileCheck:
    """Validates one file and collects its problems."""

    def __init__(self, variable: str, path: Path) -> None:
        self.found: list[TlsProblem] = []
        self._variable = variable
        self._path = path

    def add(self, problem: str) -> None:
        self.found.append(TlsProblem(self._variable, self._path, problem))

    def check_certificate(self) -> object | None:
        """Returns the public key of the file's first certificate; None if the file is invalid."""
        data = self._read()
        try:
            certificate = x509.load_pem_x509_certificates(data)[0] if data is not None else None
        except ValueError:
            certificate = None
            self.add("holds no certificate in PEM form")
        if certificate is None:
            return None
        self._check_time(certificate)
        try:
            public_key = certificate.public_key()
        except (ValueError, UnsupportedAlgorithm) as error:
            self.add(f"holds a certificate whose key is of an unsupported type ({error})")
            return None
        if self._variable == CERTIFICATE:
            self._check_kind(public_key)
        return public_key

    def check_key(self) -> object | None:
        """Returns the public part of the file's key; None if the file is invalid."""
        data = self._read()
        try:
            return load_pem_private_key(data, password=None).public_key() if data is not None else None
        except TypeError:
            self.add("is encrypted, which is not supported; decrypt it")
        except (ValueError, UnsupportedAlgorithm):
            self.add("holds no private key in PEM form")
        return None

    def _read(self) -> bytes | None:
        try:
            return read_regular(self._path)
        except OSError as error:
            self.add(f"cannot be read ({error.strerror})")
            return None

    def _check_time(self, certificate: x509.Certificate) -> None:
        now = datetime.now(UTC)
        if certificate.not_valid_after_utc < now:
            self.add(f"holds a certificate that expired at {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC")
        elif certificate.not_valid_before_utc > now:
            self.add(f"holds a certificate that is valid from {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC")

    def _check_kind(self, key: object) -> None:
        fits = (isinstance(key, RSAPublicKey) and key.key_size >= _SMALLEST_RSA_KEY) or (
            isinstance(key, EllipticCurvePublicKey) and key.curve.name in _CURVES
        )
        if not fits:
            self.add("has an unsupported key; use RSA of 2048 bits or more, or ECDSA on P-256, P-384 or P-521")


def file_state(*paths: Path) -> State:
    """Returns mtime (ns), size and inode of each file, which change when it is written or replaced; None if missing."""
    return tuple(map(_state, paths))


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
