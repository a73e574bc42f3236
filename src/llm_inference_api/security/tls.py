"""PEM files of the service's certificate, its key and the CA of client certificates. `pem` checks their contents."""

import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from llm_inference_api.errors import StartError
from llm_inference_api.files import read_regular

CERTIFICATE, KEY, CLIENT_CA = "TLS_SERVER_CERT_PATH", "TLS_SERVER_KEY_PATH", "TLS_CLIENT_CA_PATH"

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
        from llm_inference_api.security.pem import PemFile  # noqa: PLC0415 - cryptography is needed with TLS only

        certificate = PemFile(CERTIFICATE, self.certificate)
        key = PemFile(KEY, self.key)
        public_keys = (certificate.check_server_certificate(), key.check_key())
        if None not in public_keys and public_keys[0] != public_keys[1]:
            key.add(f"is not the key of the certificate in {self.certificate}")
        yield from (*certificate.found, *key.found)
        if self.client_ca is not None:
            authority = PemFile(CLIENT_CA, self.client_ca)
            authority.check_certificate()
            yield from authority.found

    def warnings(self) -> Iterator[TlsProblem]:
        """Yields a warning for each weakness of valid files."""
        if self.key.stat().st_mode & stat.S_IRWXO:
            yield TlsProblem(KEY, self.key, "can be read by every user of this machine; chmod o-rwx it")
        from llm_inference_api.security.pem import names_host  # noqa: PLC0415 - as in `problems`

        if not names_host(read_regular(self.certificate)):
            yield TlsProblem(CERTIFICATE, self.certificate, "names no host (subjectAltName); clients will refuse it")

    def state(self) -> State:
        """See `file_state`."""
        return file_state(*self.paths)


def file_state(*paths: Path) -> State:
    """Returns mtime (ns), size and inode of each file, which change when it is written or replaced; None if missing."""
    return tuple(map(_state, paths))


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
