"""Static web pages and their response headers."""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

_HTML, _CSS, _SCRIPT = "text/html; charset=utf-8", "text/css; charset=utf-8", "text/javascript; charset=utf-8"
_FRESH = "no-cache"
_KEPT = "public, max-age=86400"
"""For files of Swagger UI, which change with its version only."""
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy: same-origin resources only, no inline scripts or styles."""


@dataclass(frozen=True, slots=True)
class Page:
    """A served file."""

    file: str
    content_type: str
    cache_control: str = _FRESH
    package: str = __name__

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


PAGES = {
    "": Page("chat.html", _HTML),
    "assets/chat.css": Page("chat.css", _CSS),
    "assets/chat.js": Page("chat.js", _SCRIPT),
    "assets/icon.svg": Page("icon.svg", "image/svg+xml"),
    "openapi.json": Page("openapi.json", "application/json", package="llm_inference.v1"),
    "swagger-ui": Page("swagger.html", _HTML),
    "swagger-ui/": Page("swagger.html", _HTML),
    "swagger-ui/start.js": Page("swagger.js", _SCRIPT),
    "swagger-ui/style.css": Page("swagger.css", _CSS),
    "swagger-ui/swagger-ui.css": Page("swagger_ui/swagger-ui.css", _CSS, _KEPT),
    "swagger-ui/swagger-ui-bundle.js": Page("swagger_ui/swagger-ui-bundle.js", _SCRIPT, _KEPT),
}
"""By path below the root."""


@cache
def _read(package: str, file: str) -> bytes:
    return files(package).joinpath(file).read_bytes()
