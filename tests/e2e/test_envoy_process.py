"""The Envoy that the service starts: nobody else can speak to it, and it is replaced when its port is gone."""

import ctypes
import os
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest

from tests.e2e.service import RunningService, run_service

ONE_MODEL = {"LLM_ALLOWED_MODELS": "tiny.gguf"}
ASK = {"prompt": "hello", "max_tokens": 2}
LISTEN = "0A"
"""TCP_LISTEN in /proc/net/tcp."""
PIDFD_GETFD = 438
"""Number of the system call, the same on every architecture (pidfd_getfd(2))."""


def test_envoy_whose_listener_is_gone_is_replaced(tmp_path: Path, model_directory: Path) -> None:
    """REST answers again, and the log says what was, although the process itself lives on without its port."""
    with run_service(tmp_path, model_directory, **ONE_MODEL) as service:
        shut_listener(envoy_pid(service), service.rest_port)
        deadline = time.monotonic() + 30
        while "refuses connections" not in service.log() or not is_listening(service.rest_port):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert httpx.post(f"{service.url}/api/generate", json=ASK, timeout=30).status_code == 200


def test_deadline_ends_one_call_alone(tmp_path: Path, model_directory: Path) -> None:
    """Also where its end is the first that Envoy reads from the service on the connection that callers share."""
    long = {"prompt": "hello", "max_tokens": 500, "ignore_eos": True}

    def ask(deadline: str) -> int:
        headers = {"grpc-timeout": deadline} if deadline else {}
        return httpx.post(f"{service.url}/api/generate", json=long, headers=headers, timeout=60).status_code

    with run_service(tmp_path, model_directory, wait=False, **ONE_MODEL) as service, ThreadPoolExecutor(8) as pool:
        # Not over REST, which would use the connection.
        deadline = time.monotonic() + 90
        while "serving" not in service.log() or not is_listening(service.rest_port):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert list(pool.map(ask, ["50m", ""] * 4)) == [504, 200] * 4


def test_nobody_else_can_speak_to_envoy(tmp_path: Path, model_directory: Path) -> None:
    """Envoy has no abstract Unix socket and no shared memory, and its files are closed to other users."""
    with run_service(tmp_path, model_directory, **ONE_MODEL) as service:
        pids = [service.process.pid, *service.children()]
        inodes = {inode for pid in pids for inode in sockets_of(pid)}
        lines = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()[1:]]
        names = [fields[7] for fields in lines if len(fields) > 7 and fields[6] in inodes]
        maps = "".join(Path(f"/proc/{pid}/maps").read_text() for pid in pids)
        assert not [name for name in names if name.startswith("@")]
        assert "/dev/shm" not in maps
        (socket_path,) = {Path(name) for name in names}
        assert socket_path.parent.stat().st_mode & 0o077 == 0
        assert all(path.stat().st_mode & 0o007 == 0 for path in socket_path.parent.iterdir())


def envoy_pid(service: RunningService) -> int:
    """Returns the process id of the service's Envoy."""
    (pid,) = (pid for pid in service.children() if b"bootstrap.json" in Path(f"/proc/{pid}/cmdline").read_bytes())
    return pid


def sockets_of(pid: int) -> dict[str, int]:
    """Returns the process's file descriptors that are sockets, by inode."""
    found = {}
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            target = str(link.readlink())
            if target.startswith("socket:["):
                found[target[8:-1]] = int(link.name)
    return found


def shut_listener(pid: int, port: int) -> None:
    """Shuts another process's listening socket down, as one who got hold of it could."""
    tables = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    (inode,) = (fields[9] for fields in tables if fields[1].endswith(f":{port:04X}") and fields[3] == LISTEN)
    libc = ctypes.CDLL(None, use_errno=True)
    process = os.pidfd_open(pid)
    descriptor = libc.syscall(PIDFD_GETFD, process, sockets_of(pid)[inode], 0)
    if descriptor < 0:
        pytest.skip("the kernel does not hand out other processes' descriptors")
    with socket.socket(fileno=descriptor) as listener:
        listener.shutdown(socket.SHUT_RDWR)
    os.close(process)


def is_listening(port: int) -> bool:
    """Returns whether somebody accepts connections there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_killed_service_leaves_no_directory_for_long(tmp_path: Path, model_directory: Path) -> None:
    """The next start removes what a killed one has left, and nothing of one that runs."""
    # Not below tmp_path: the path of the socket in it may have 107 bytes.
    with TemporaryDirectory() as name:
        leave_no_directory(tmp_path, model_directory, Path(name))


def leave_no_directory(tmp_path: Path, model_directory: Path, temporary: Path) -> None:
    variables = {**ONE_MODEL, "TMPDIR": str(temporary)}
    with run_service(tmp_path, model_directory, **variables) as service:
        (left,) = temporary.iterdir()
        service.process.send_signal(signal.SIGKILL)
        service.process.wait(10)
    assert left.is_dir()
    with run_service(tmp_path, model_directory, **variables) as first:
        (own,) = temporary.iterdir()
        assert own != left
        with run_service(tmp_path, model_directory, **variables) as second:
            assert own.is_dir()
            assert len(list(temporary.iterdir())) == 2
            assert second.stop() == 0
        assert first.stop() == 0
    assert list(temporary.iterdir()) == []
