"""Static web pages and their response headers."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
"""Media types by the ending of a file's name; files with other endings are not served."""
_FRESH = "no-cache"
_KEPT = "public, max-age=31536000, immutable"
_ASSETS = "assets/"
_VERSIONED = re.compile("assets/[0-9a-f]{12}/(.+)")
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy: same-origin resources only, no inline scripts or styles."""


@dataclass(frozen=True, slots=True)
class Page:
    """A served file."""

    file: str
    package: str = __name__
    is_kept: bool = False
    """Whether its address changes with its content, so that browsers need not ask for it again."""

    @property
    def content_type(self) -> str:
        """The file's media type."""
        return _TYPES[_ending(self.file)]

    @property
    def cache_control(self) -> str:
        """For how long browsers may keep it without asking."""
        return _KEPT if self.is_kept else _FRESH

    def content(self) -> bytes:
        """Returns the file's bytes; documents name the assets by the addresses that change with these."""
        return _read(self.package, self.file)

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """Response headers of the file, without the content type."""
        return (
            ("cache-control", self.cache_control),
            ("content-security-policy", _POLICY),
            ("referrer-policy", "no-referrer"),
            ("x-content-type-options", "nosniff"),
        )


def _ending(file: str) -> str:
    return f".{file.rpartition('.')[2]}"


def _below(folder: Traversable, path: str) -> Iterator[str]:
    """Yields the paths of a folder's files that can be served."""
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _below(entry, f"{path}/{entry.name}")
        elif _ending(entry.name) in _TYPES:
            yield f"{path}/{entry.name}"


OPENAPI = Page("openapi.json", package="llm_inference.v1")
"""The API's description."""
PAGES = {
    "": Page("chat.html"),
    "status": Page("status.html"),
    "swagger-ui": Page("swagger.html"),
    "swagger-ui/": Page("swagger.html"),
    **{path: Page(path) for path in sorted(_below(files(__name__).joinpath("assets"), "assets"))},
}
"""By path below the root."""


def find(path: str) -> Page | None:
    """Returns the page at a path below the root; None where there is none.

    `assets/<version>/…` are the assets at addresses that change with them: Envoy's transcoder cannot answer "304 Not
    Modified", so browsers keep them for good instead. Scripts name each other relatively, and so stay in their version.
    That of another release, whose page is still open or comes from another replica, gets this one's files for once.
    """
    versioned = _VERSIONED.fullmatch(path)
    if versioned is None:
        return PAGES.get(path)
    page = PAGES.get(_ASSETS + versioned[1])
    return page and replace(page, is_kept=path.startswith(f"{_ASSETS}{version()}/"))


@cache
def version() -> str:
    """Returns the digest of all assets."""
    digest = sha256()
    for path, page in PAGES.items():
        if path.startswith(_ASSETS):
            digest.update(f"{path}\0{len(page.content())}\0".encode() + page.content())
    return digest.hexdigest()[:12]


@cache
def _read(package: str, file: str) -> bytes:
    content = files(package).joinpath(file).read_bytes()
    if not file.endswith(".html"):
        return content
    return content.replace(b'"/assets/', f'"/assets/{version()}/'.encode())
