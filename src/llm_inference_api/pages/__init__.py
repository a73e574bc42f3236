"""Static web pages and their response headers."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
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
_KEPT = "public, max-age=86400"
"""For files of other projects, which change with their version only."""
_VENDORED = ("assets/vendor/", "swagger_ui/")
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

    @property
    def content_type(self) -> str:
        """The file's media type."""
        return _TYPES[_ending(self.file)]

    @property
    def cache_control(self) -> str:
        """For how long browsers may keep it without asking."""
        return _KEPT if self.file.startswith(_VENDORED) else _FRESH

    def content(self) -> bytes:
        """Returns the file's bytes."""
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
    "swagger-ui/swagger-ui.css": Page("swagger_ui/swagger-ui.css"),
    "swagger-ui/swagger-ui-bundle.js": Page("swagger_ui/swagger-ui-bundle.js"),
    **{path: Page(path) for path in sorted(_below(files(__name__).joinpath("assets"), "assets"))},
}
"""By path below the root."""


@cache
def _read(package: str, file: str) -> bytes:
    return files(package).joinpath(file).read_bytes()
