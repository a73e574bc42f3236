"""How the pages and what they need are sent."""

import hashlib
from importlib.resources import files

import httpx
import pytest

from llm_inference_api.pages import PAGES

# Of the files of npm's swagger-ui-dist 5.35.0.
DIGESTS = {
    "swagger-ui-bundle.js": "e6a898692f2d768e807c3ba4626068a69a2c5dd960dd6c76f3e4d3a3de180af2",
    "swagger-ui.css": "5ed08757e53da3e026d6cbecc61fe5d43585c9560b302d534ad56692519a273d",
}


@pytest.mark.parametrize("path", list(PAGES))
def test_page_has_its_type_and_a_strict_policy(http: httpx.Client, path: str) -> None:
    """Browsers are told what it is, how long it holds, and to load nothing from elsewhere."""
    answer = http.get(f"/{path}")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == PAGES[path].content_type
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == PAGES[path].cache_control
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self'; style-src 'self';" in policy
    assert "unsafe" not in policy
    assert answer.content == PAGES[path].content()


def test_large_files_are_compressed(http: httpx.Client) -> None:
    """Swagger UI's script is 1.7 MB, and a third of that on the wire."""
    with http.stream("GET", "/swagger-ui/swagger-ui-bundle.js", headers={"accept-encoding": "gzip"}) as answer:
        assert answer.headers["content-encoding"] == "gzip"
        assert sum(map(len, answer.iter_raw())) < 700_000


@pytest.mark.parametrize("path", ["/assets/none.js", "/assets/%2e%2e/chat.html", "/swagger-ui/x/y", "/index.html"])
def test_other_paths_are_not_found(http: httpx.Client, path: str) -> None:
    """There are those files and no others."""
    answer = http.get(path)
    assert answer.status_code == 404
    assert answer.json()["code"] == 5


def test_pages_name_no_other_host() -> None:
    """What is written here asks no other host for anything."""
    for name in ("chat.html", "chat.css", "chat.js", "swagger.html", "swagger.js", "swagger.css"):
        text = files("llm_inference_api.pages").joinpath(name).read_text()
        assert "//" not in text.replace("// ", ""), name


@pytest.mark.parametrize(("name", "digest"), DIGESTS.items())
def test_swagger_ui_is_unedited(name: str, digest: str) -> None:
    """The vendored files are those of the package."""
    content = files("llm_inference_api.pages").joinpath("swagger_ui", name).read_bytes()
    assert hashlib.sha256(content).hexdigest() == digest
