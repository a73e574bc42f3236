"""A hub on this machine that speaks the real one's HTTP protocol, and misbehaves as it is told.

Small files are answered by the hub itself; large ones (LFS) are redirected to a storage host, which is another origin.
Some of these are offered by Xet too, whose store is a third one; `tests/fakes/xet.py` speaks its protocol.
"""

import hashlib
import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self
from urllib.parse import unquote, urlsplit

from tests.fakes import xet

COMMIT = "a" * 40
"""The first commit of every repository."""
_DRIP = 0.05
"""Seconds between two bytes of a slow answer."""


class Seen(NamedTuple):
    """A request that arrived."""

    server: str
    method: str
    path: str
    token: str | None
    range: str | None


@dataclass
class Repository:
    """What the hub holds under one name."""

    files: dict[str, bytes]
    small: frozenset[str] = frozenset()
    """Names of the files that are not in LFS."""
    xet: frozenset[str] = frozenset()
    """Names of the files that Xet offers too."""
    gated: bool = False
    token: str | None = None
    """The token without which the repository is shown to nobody."""


Fault = Callable[["Handler"], bool]
"""What goes wrong with a request; returns whether it was answered with that."""


@dataclass
class FakeHub:
    """The hub and its storage host."""

    repositories: dict[str, Repository] = field(default_factory=dict)
    metadata_fault: Fault | None = None
    """Befalls questions for listings and heads of files."""
    content_fault: Fault | None = None
    """Befalls the storage host's answers."""
    announced_size: int | None = None
    """What the hub says of every LFS file's size, where it lies."""
    xet_fault: Fault | None = None
    """Befalls the answers of Xet's store."""
    xet_route: str | None = None
    """Where the hub says that tokens for Xet are to be had; None for its own."""
    commit: str = COMMIT
    """Of the default branch of every repository."""
    seen: list[Seen] = field(default_factory=list)
    reached: threading.Event = field(default_factory=threading.Event)
    """Set when a fault began to do its work."""
    released: threading.Event = field(default_factory=threading.Event)
    """Set when hanging answers may end."""

    def __post_init__(self) -> None:
        self.hub = Server(self, "hub")
        self.storage = Server(self, "storage")
        self.xet = Server(self, "xet")

    def __enter__(self) -> Self:
        for server in (self.hub, self.storage, self.xet):
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        for server in (self.hub, self.storage, self.xet):
            server.shutdown()
            server.server_close()

    @property
    def endpoint(self) -> str:
        """What HF_ENDPOINT is to be."""
        return f"http://127.0.0.1:{self.hub.server_port}"

    def requests(self, server: str, method: str | None = None) -> list[Seen]:
        """Returns the requests that one of the hosts saw."""
        return [each for each in self.seen if each.server == server and method in (None, each.method)]


class Server(ThreadingHTTPServer):
    """One of the three hosts."""

    daemon_threads = True

    def __init__(self, fake: FakeHub, name: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.fake = fake
        self.name = name

    def handle_error(self, *address: Any) -> None:
        """Says nothing of callers that went away, which is what many tests make them do."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(*address)


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self._handle()

    def do_HEAD(self) -> None:
        self._handle()

    def log_message(self, *_: object) -> None:
        """Says nothing."""

    @property
    def fake(self) -> FakeHub:
        return self.server.fake

    def answer(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        """Sends a whole answer."""
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, status: int, code: str = "", **headers: str) -> None:
        """Sends an error as the hub does."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answer(status, {**({"X-Error-Code": code} if code else {}), **named}, b'{"error": "no"}')

    def _handle(self) -> None:
        token = self.headers.get("Authorization")
        path = unquote(urlsplit(self.path).path)
        self.fake.seen.append(Seen(self.server.name, self.command, path, token, self.headers.get("Range")))
        try:
            if self.server.name == "storage" and not path.startswith("/content/"):
                self.refuse(404)
            elif self.server.name == "storage":
                self._send_content(path.rpartition("/")[2])
            elif self.server.name == "xet":
                self._send_from_xet(path)
            elif "/xet-read-token/" in path:
                self._send_xet_token(path.removeprefix("/api/models/"))
            elif path.startswith("/api/models/"):
                self._list(path.removeprefix("/api/models/"))
            else:
                self._resolve(path.lstrip("/"))
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _list(self, path: str) -> None:
        name, _, revision = path.partition("/revision/")
        if (repository := self._admitted(name, revision)) is not None:
            siblings = [{"rfilename": file} for file in repository.files]
            body = json.dumps({"id": name, "sha": self.fake.commit, "siblings": siblings}).encode()
            self.answer(200, {"Content-Type": "application/json"}, body)

    def _resolve(self, path: str) -> None:
        name, _, rest = path.partition("/resolve/")
        revision, _, file = rest.partition("/")
        if (repository := self._admitted(name, revision)) is None:
            return
        if file not in repository.files:
            self.refuse(404, "EntryNotFound", X_Repo_Commit=self.fake.commit)
        elif file in repository.small:
            body = repository.files[file]
            self.answer(200, {"X-Repo-Commit": self.fake.commit, "ETag": f'"{git_digest(body)}"'}, body)
        else:
            route = self.fake.xet_route or f"{self.fake.endpoint}/api/models/{name}/xet-read-token/{self.fake.commit}"
            offered = {"X-Xet-Hash": digest_of(repository.files[file]), "X-Xet-Refresh-Route": route}
            self._redirect(repository.files[file], offered if file in repository.xet else {})

    def _redirect(self, content: bytes, offered: dict[str, str]) -> None:
        digest = digest_of(content)
        size = len(content) if self.fake.announced_size is None else self.fake.announced_size
        linked = {"X-Linked-Etag": f'"{digest}"', "X-Linked-Size": str(size)}
        location = f"http://127.0.0.1:{self.fake.storage.server_port}/content/{digest}"
        self.answer(302, {"X-Repo-Commit": self.fake.commit, "Location": location, **linked, **offered})

    def _admitted(self, name: str, revision: str) -> Repository | None:
        """Returns the repository, or answers why the caller does not get it."""
        if self.fake.metadata_fault is not None and self.fake.metadata_fault(self):
            return None
        repository = self.fake.repositories.get(name)
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if repository is None:
            self.refuse(404, "RepoNotFound")
        elif repository.gated and token != repository.token:
            self.refuse(403, "GatedRepo")
        elif repository.token is not None and token != repository.token:
            self.refuse(401, "RepoNotFound")
        elif revision not in ("main", self.fake.commit):
            self.refuse(404, "RevisionNotFound")
        else:
            return repository
        return None

    def _send_xet_token(self, path: str) -> None:
        name, _, revision = path.partition("/xet-read-token/")
        if revision == "elsewhere":
            redirect_to_storage(self)
        elif self._admitted(name, revision) is not None:
            self.answer(200, xet.token_headers(f"http://127.0.0.1:{self.fake.xet.server_port}"), b"{}")

    def _send_from_xet(self, path: str) -> None:
        if self.fake.xet_fault is None or not self.fake.xet_fault(self):
            self.answer(*self.from_xet(path))

    def from_xet(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """Returns what Xet's store answers."""
        content = self.content_of(path.split("/")[3] if "/reconstructions/" in path else path.split("/")[2])
        return xet.answer(path, self.headers.get("Range", ""), content, self.server.server_port)

    def _send_content(self, digest: str) -> None:
        if self.fake.content_fault is not None and self.fake.content_fault(self):
            return
        start, content = self.wanted(digest)
        if self.headers.get("Range"):
            span = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self.answer(206, {"Content-Range": span}, content[start:])
        else:
            self.answer(200, {"Accept-Ranges": "bytes"}, content)

    def wanted(self, digest: str) -> tuple[int, bytes]:
        """Returns where the answer is to start, and the whole content."""
        asked = self.headers.get("Range", "bytes=0-")
        return int(asked.removeprefix("bytes=").rstrip("-")), self.content_of(digest)

    def content_of(self, digest: str) -> bytes:
        """Returns the content of a file in LFS."""
        contents = (file for each in self.fake.repositories.values() for file in each.files.values())
        return next(each for each in contents if digest_of(each) == digest)


@lru_cache
def digest_of(content: bytes) -> str:
    """Returns what LFS calls the content; the fake's Xet calls it the same."""
    return hashlib.sha256(content).hexdigest()


def git_digest(content: bytes) -> str:
    """Returns what git calls the content, which is the etag of files outside LFS."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def status(code: int, error_code: str = "", **headers: str) -> Fault:
    """Answers with an error."""

    def fault(handler: Handler) -> bool:
        handler.refuse(code, error_code, **headers)
        return True

    return fault


def redirect_to_storage(handler: Handler) -> bool:
    """Sends the caller to the other host."""
    location = f"http://127.0.0.1:{handler.fake.storage.server_port}{handler.path}"
    handler.answer(307, {"Location": location})
    return True


def log_in(handler: Handler) -> bool:
    """Answers as a network does that wants people to log in first."""
    handler.answer(200, {}, b"<html>Log in</html>")
    return True


def first(times: int, fault: Fault) -> Fault:
    """Does wrong a few times, and right from there on."""
    left = iter(range(times))
    return lambda handler: next(left, None) is not None and fault(handler)


def hang(handler: Handler) -> bool:
    """Says nothing until the test ends."""
    handler.fake.reached.set()
    handler.fake.released.wait()
    handler.close_connection = True
    return True


def cut(after: int) -> Fault:
    """Breaks the connection after some bytes."""

    def fault(handler: Handler) -> bool:
        _begin(handler, lambda content: content[:after])
        handler.close_connection = True
        return True

    return fault


def drip(after: int) -> Fault:
    """Sends some bytes at once, and from there on a single one now and then."""

    def fault(handler: Handler) -> bool:
        start, content = _begin(handler, lambda content: content[:after])
        handler.fake.reached.set()
        _drip(handler, content[start + after :])
        return True

    return fault


def corrupt(handler: Handler) -> bool:
    """Sends as many bytes as announced, one of them another."""
    content = handler.wanted(handler.path.rpartition("/")[2])[1]
    broken = bytearray(content)
    broken[len(broken) // 2] ^= 1
    handler.answer(200, {}, bytes(broken))
    return True


def corrupt_xorb(number: int) -> Fault:
    """Sends as many bytes of this xorb as announced, one of them another."""

    def fault(handler: Handler) -> bool:
        if not handler.path.startswith("/xorb/") or int(handler.path.rpartition("/")[2]) != number:
            return False
        code, headers, body = handler.from_xet(handler.path)
        handler.answer(code, headers, body[:-1] + bytes([body[-1] ^ 1]))
        return True

    return fault


def drip_from_xorb(number: int) -> Fault:
    """Sends the xorbs before this one at once, and of the others a single byte now and then."""

    def fault(handler: Handler) -> bool:
        if not handler.path.startswith("/xorb/") or int(handler.path.rpartition("/")[2]) < number:
            return False
        code, headers, body = handler.from_xet(handler.path)
        handler.send_response(code)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        _drip(handler, body)
        return True

    return fault


def ignore_range(handler: Handler) -> bool:
    """Sends the whole content, whatever part was asked for."""
    handler.answer(200, {}, handler.wanted(handler.path.rpartition("/")[2])[1])
    return True


def _drip(handler: Handler, content: bytes) -> None:
    for byte in content:
        if handler.fake.released.wait(_DRIP):
            break
        handler.wfile.write(bytes([byte]))
    handler.close_connection = True


def _begin(handler: Handler, part: Callable[[bytes], bytes]) -> tuple[int, bytes]:
    start, content = handler.wanted(handler.path.rpartition("/")[2])
    handler.send_response(206 if start else 200)
    handler.send_header("Content-Length", str(len(content) - start))
    if start:
        handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
    handler.end_headers()
    handler.wfile.write(part(content[start:]))
    handler.wfile.flush()
    return start, content


@contextmanager
def running_hub(repositories: dict[str, Repository]) -> Iterator[FakeHub]:
    """Runs a hub with these repositories."""
    with FakeHub(repositories) as fake:
        yield fake
