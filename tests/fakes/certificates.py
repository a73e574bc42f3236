"""Certificates of an authority that nobody trusts but the tests."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme


@dataclass(frozen=True)
class Pair:
    """The files of a certificate and its key."""

    certificate: Path
    key: Path


class Authority:
    """Signs certificates, and writes them into a directory."""

    def __init__(self, directory: Path, name: str = "ca") -> None:
        self._directory = directory
        self._ca = trustme.CA()
        self.path = directory / f"{name}.pem"
        self._ca.cert_pem.write_to_path(self.path)

    def server(self, name: str = "server", *, expires: datetime | None = None) -> Pair:
        """Writes (again) a certificate for this machine."""
        return self._write(name, self._ca.issue_cert("localhost", "127.0.0.1", not_after=expires))

    def expired(self, name: str = "expired") -> Pair:
        """Writes a certificate that was valid until yesterday."""
        return self.server(name, expires=datetime.now(UTC) - timedelta(days=1))

    def client(self, name: str) -> Pair:
        """Writes a certificate of a caller of this name."""
        return self._write(name, self._ca.issue_cert(f"{name}@example.com", common_name=name))

    def _write(self, name: str, issued: trustme.LeafCert) -> Pair:
        pair = Pair(self._directory / f"{name}.crt", self._directory / f"{name}.key")
        # Replaced as a whole, as tools that renew certificates do.
        for path, blob in ((pair.certificate, issued.cert_chain_pems[0]), (pair.key, issued.private_key_pem)):
            new = path.with_suffix(".new")
            new.write_bytes(blob.bytes())
            new.chmod(0o600)
            new.rename(path)
        return pair
