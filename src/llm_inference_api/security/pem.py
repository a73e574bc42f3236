"""Certificates and keys in PEM form. Imports cryptography: to be imported where TLS is used, and only there."""

from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from llm_inference_api.files import read_regular
from llm_inference_api.security.tls import TlsProblem

_CURVES = ("secp256r1", "secp384r1", "secp521r1")
_SMALLEST_RSA_KEY = 2048
"""Bits; Envoy refuses smaller ones."""


def names_host(data: bytes) -> bool:
    """Returns whether the first certificate names a host, as clients want it (subjectAltName)."""
    certificate = x509.load_pem_x509_certificates(data)[0]
    try:
        certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return False
    return True


def subject_of(pem: str) -> str:
    """Returns the subject of a certificate (RFC 4514), or its serial number if it has none."""
    certificate = x509.load_pem_x509_certificate(pem.encode())
    return certificate.subject.rfc4514_string() or f"certificate {certificate.serial_number:x}"


class PemFile:
    """Validates one file and collects its problems."""

    def __init__(self, variable: str, path: Path) -> None:
        self.found: list[TlsProblem] = []
        self._variable = variable
        self._path = path

    def add(self, problem: str) -> None:
        """Notes a problem."""
        self.found.append(TlsProblem(self._variable, self._path, problem))

    def check_server_certificate(self) -> object | None:
        """Same as `check_certificate`, for a certificate whose key Envoy must be able to use."""
        public_key = self.check_certificate()
        if public_key is not None:
            self._check_kind(public_key)
        return public_key

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
            return certificate.public_key()
        except (ValueError, UnsupportedAlgorithm) as error:
            self.add(f"holds a certificate whose key is of an unsupported type ({error})")
        return None

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
