from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from llm_inference_api.security.tls import CERTIFICATE, CLIENT_CA, KEY, TlsError, TlsFiles
from tests.fakes.certificates import Authority


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """An authority that writes into the test's directory."""
    return Authority(tmp_path)


def problems(certificate: Path, key: Path, client_ca: Path | None = None) -> list[tuple[str, str]]:
    return [(found.variable, found.problem) for found in TlsFiles(certificate, key, client_ca).problems()]


def test_matching_pair_has_no_problem(authority: Authority) -> None:
    """A certificate with its key and the clients' authority can be used."""
    pair = authority.server()
    assert problems(pair.certificate, pair.key, authority.path) == []


def test_missing_files_are_all_named(tmp_path: Path) -> None:
    """A person mends all paths in one go."""
    missing = tmp_path / "missing"
    found = problems(missing, missing, missing)
    assert found == [(name, "cannot be read (No such file or directory)") for name in (CERTIFICATE, KEY, CLIENT_CA)]


def test_garbage_is_no_pem(authority: Authority, tmp_path: Path) -> None:
    """Files that hold something else are told by what they should hold."""
    garbage = tmp_path / "garbage"
    garbage.write_bytes(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    assert problems(garbage, garbage, garbage) == [
        (CERTIFICATE, "holds no certificate in PEM form"),
        (KEY, "holds no private key in PEM form"),
        (CLIENT_CA, "holds no certificate in PEM form"),
    ]


def test_key_of_another_certificate_is_refused(authority: Authority) -> None:
    """Both files are fine, but do not belong together."""
    pair, other = authority.server(), authority.server("other")
    assert problems(pair.certificate, other.key) == [(KEY, f"is not the key of the certificate in {pair.certificate}")]


def test_expired_certificate_is_refused(authority: Authority) -> None:
    """No client would accept it."""
    pair = authority.expired()
    ((variable, problem),) = problems(pair.certificate, pair.key)
    assert variable == CERTIFICATE
    assert "expired at" in problem


def test_encrypted_key_is_refused(authority: Authority) -> None:
    """A service has nobody to ask for a password."""
    pair = authority.server()
    key = load_pem_private_key(pair.key.read_bytes(), None)
    pair.key.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, BestAvailableEncryption(b"password"))
    )
    ((variable, problem),) = problems(pair.certificate, pair.key)
    assert variable == KEY
    assert "encrypted" in problem


def test_key_of_an_unknown_kind_is_refused_with_its_certificate(authority: Authority, tmp_path: Path) -> None:
    """A key that fits no certificate here is told, whatever its kind."""
    pair, key = authority.server(), tmp_path / "ed25519.key"
    other = ed25519.Ed25519PrivateKey.generate()
    key.write_bytes(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    assert [variable for variable, _ in problems(pair.certificate, key)] == [KEY]


def test_certificate_of_an_unknown_kind_is_refused(authority: Authority, tmp_path: Path) -> None:
    """A curve that the library does not know is an answer about the file, not an exception."""
    strange = tmp_path / "secp160r1.crt"
    strange.write_text(SECP160R1)
    (first, *_) = problems(strange, authority.server().key)
    assert first[0] == CERTIFICATE
    assert "an unsupported type" in first[1]


SECP160R1 = """-----BEGIN CERTIFICATE-----
MIIBYjCCASCgAwIBAgIUcPex208g3Mh3fWQ8Y45afz4paTcwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMjIzMjExMFoYDzIxMjYxMDI5
MjMyMTEwWjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwPjAQBgcqhkjOPQIBBgUrgQQA
CAMqAAQ8SAPRhsM00wX6wxg0ucETW2QDkVEmCoN3l1v/DnrcntuM1crLhrv9o2kw
ZzAdBgNVHQ4EFgQUR7gNpQJHhuCKSFRDORZtUSqmF7cwHwYDVR0jBBgwFoAUR7gN
pQJHhuCKSFRDORZtUSqmF7cwDwYDVR0TAQH/BAUwAwEB/zAUBgNVHREEDTALggls
b2NhbGhvc3QwCgYIKoZIzj0EAwIDMAAwLQIUFqfQXOk3N2oA4ICS6zf2m4kjXogC
FQC5prPGqzi7ScJ9aNFuQO9wmuhOTw==
-----END CERTIFICATE-----
"""
"""Of the curve of this name, made with openssl; valid for a hundred years."""


def test_key_that_all_may_read_is_warned_of(authority: Authority) -> None:
    """A key with open permissions can be used, as Kubernetes mounts them so; the log says it."""
    pair = authority.server()
    files = TlsFiles(pair.certificate, pair.key)
    assert list(files.warnings()) == []
    pair.key.chmod(0o644)
    ((variable, path, problem),) = files.warnings()
    assert (variable, path) == (KEY, pair.key)
    assert "every user" in problem


def test_unusable_files_are_not_read(authority: Authority) -> None:
    """What is handed to gRPC and Envoy has been checked."""
    pair = authority.expired()
    with pytest.raises(TlsError, match=r"TLS_SERVER_CERT_PATH: .*expired"):
        TlsFiles(pair.certificate, pair.key).read()
