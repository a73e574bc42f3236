import logging
import os
from pathlib import Path

import pytest

from llm_inference_api.security.certificates import Certificates
from llm_inference_api.security.tls import TlsFiles
from tests.fakes.certificates import Authority


def test_replaced_files_are_taken_over(tmp_path: Path) -> None:
    """A renewed certificate is in use after the next look, and whoever asked for it is told once."""
    authority, told = Authority(tmp_path), []
    pair = authority.server()
    certificates = Certificates(TlsFiles(pair.certificate, pair.key))
    certificates.on_renewal(lambda: told.append(certificates.renewals))
    authority.server()
    for _ in range(2):
        certificates.look()
    assert certificates.current.certificate == pair.certificate.read_bytes()
    assert told == [1]


def test_half_written_files_change_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """While certificate and key do not belong together, those of before are in use; later they are taken over."""
    authority = Authority(tmp_path)
    pair = authority.server()
    certificates = Certificates(TlsFiles(pair.certificate, pair.key))
    before, key = certificates.current, pair.key.read_bytes()
    authority.server()
    new_key = pair.key.read_bytes()
    pair.key.write_bytes(key)
    with caplog.at_level(logging.ERROR):
        certificates.look()
    assert certificates.current == before
    assert "TLS_SERVER_KEY_PATH" in caplog.text
    pair.key.write_bytes(new_key)
    certificates.look()
    assert certificates.current.key == new_key


def test_key_that_is_no_file_changes_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A FIFO would hold up the service until somebody writes to it."""
    pair = Authority(tmp_path).server()
    certificates = Certificates(TlsFiles(pair.certificate, pair.key))
    before = certificates.current
    pair.key.unlink()
    os.mkfifo(pair.key)
    certificates.look()
    assert certificates.current == before
    assert "it is not a regular file" in caplog.text
