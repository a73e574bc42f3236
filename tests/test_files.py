"""Files that are none, and too few of them."""

import os
import resource
import socket
import tempfile
from pathlib import Path

import pytest

from llm_inference_api.errors import StartError
from llm_inference_api.files import check_open_files, open_regular


def test_regular_file_is_read(tmp_path: Path) -> None:
    """Through a link too."""
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")
    with open_regular(tmp_path / "link") as file:
        assert file.read() == b"content"


def test_fifo_is_refused_without_waiting_for_its_writer(tmp_path: Path) -> None:
    """Also where nobody will ever write."""
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError, match="not a regular file"):
        open_regular(tmp_path / "fifo")


@pytest.mark.parametrize("path", ["/dev/zero", "/"])
def test_devices_and_directories_are_refused(path: str) -> None:
    """A device may have no end."""
    with pytest.raises(OSError, match=r"regular|directory"):
        open_regular(Path(path))


def test_socket_is_refused() -> None:
    """The system itself does not open it."""
    with tempfile.TemporaryDirectory() as directory, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{directory}/socket")
        with pytest.raises(OSError):  # noqa: PT011 - the text is the system's
            open_regular(Path(directory, "socket"))


def test_limit_of_open_files_that_is_too_low_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Libraries would abort the process instead, each at another number."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (16, 4096))
    with pytest.raises(StartError, match=r"limit of open files is 16, and at least 128 .*ulimit -n"):
        check_open_files()


@pytest.mark.parametrize("limit", [128, 1 << 20, resource.RLIM_INFINITY])
def test_usual_limits_of_open_files_suffice(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    """No limit is one of them."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    check_open_files()
