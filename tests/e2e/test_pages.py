"""How the pages and what they need are sent."""

import hashlib
import re
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable

import httpx
import pytest

from llm_inference_api.pages import OPENAPI, PAGES, version

# Of the files of npm's swagger-ui-dist 5.35.0, markdown-it 15.0.3, @highlightjs/cdn-assets 11.12.0 and temml 0.13.5.
VENDOR = "assets/vendor"
DIGESTS = {
    f"{VENDOR}/swagger_ui/swagger-ui-bundle.js": "e6a898692f2d768e807c3ba4626068a69a2c5dd960dd6c76f3e4d3a3de180af2",
    f"{VENDOR}/swagger_ui/swagger-ui.css": "5ed08757e53da3e026d6cbecc61fe5d43585c9560b302d534ad56692519a273d",
    f"{VENDOR}/markdown_it/markdown-it.esm.min.mjs": "d5432491790141da046b1197353705db03264f40b5727f3b4b591f5aba193e30",
    f"{VENDOR}/highlight/highlight.min.js": "1ed8fc5256b738b8875b74e4d3f0754f60d6411fb034d618dfbc4e6e6c9999d7",
    f"{VENDOR}/temml/temml.min.js": "1ab19148afe0dbc836b7a74f344071b3f3a70a7a8259ae4049e76894fcdf8d95",
}
OURS = ("assets/common", "assets/chat", "assets/markdown", "assets/status", "assets/swagger")
ROOT = files("llm_inference_api.pages")
ADDRESSES = re.compile(r"\b(?:https?|wss?)://\S+")
KNOWN = ("http://www.w3.org/", "https://prometheus.io/docs/")
"""The namespace of SVG, and a page named in a comment."""


def below(folder: Traversable) -> Iterator[tuple[str, str]]:
    """Yields the names and texts of a folder's files."""
    for entry in folder.iterdir():
        if entry.is_file():
            yield entry.name, entry.read_text()


def ours() -> Iterator[tuple[str, str]]:
    """Yields the names and texts of all files that are written here."""
    yield from (found for found in below(ROOT) if found[0].endswith(".html"))
    for folder in OURS:
        yield from below(ROOT.joinpath(folder))


@pytest.mark.parametrize("path", [*PAGES, "openapi.json"])
def test_page_has_its_type_and_a_strict_policy(http: httpx.Client, path: str) -> None:
    """Browsers are told what it is, how long it holds, and to load nothing from elsewhere."""
    page = PAGES.get(path, OPENAPI)
    answer = http.get(f"/{path}")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == page.content_type
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == page.cache_control
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self'; style-src 'self';" in policy
    assert "unsafe" not in policy
    assert answer.content == page.content()


def test_assets_are_kept_by_browsers_and_documents_are_not(http: httpx.Client) -> None:
    """Documents name the assets by addresses that change with their content, whichever file of them does."""
    document = http.get("/")
    assert document.headers["cache-control"] == "no-cache"
    named = re.findall(r'(?:src|href)="(/assets/[^"]+)"', document.text)
    assert len(named) > 3
    for path in named:
        assert path.startswith(f"/assets/{version()}/")
        answer = http.get(path)
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.content == PAGES["assets/" + path.split("/", 3)[3]].content()


def test_asset_of_another_release_is_this_ones_for_once(http: httpx.Client) -> None:
    """A page that was opened before an upgrade, or came from another replica, still finds its scripts."""
    answer = http.get("/assets/0123456789ab/common/words.js")
    assert answer.content == PAGES["assets/common/words.js"].content()
    assert answer.headers["cache-control"] == "no-cache"


def test_version_is_that_of_all_assets(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is edited changes the addresses of all, as scripts name each other relatively."""
    before = version()
    version.cache_clear()
    monkeypatch.delitem(PAGES, "assets/common/german.js")
    assert version() != before
    version.cache_clear()


def test_large_files_are_compressed(http: httpx.Client) -> None:
    """Swagger UI's script is 1.7 MB, and a third of that on the wire."""
    with http.stream(
        "GET", f"/{VENDOR}/swagger_ui/swagger-ui-bundle.js", headers={"accept-encoding": "gzip"}
    ) as answer:
        assert answer.headers["content-encoding"] == "gzip"
        assert sum(map(len, answer.iter_raw())) < 700_000


@pytest.mark.parametrize(
    "path",
    [
        "/assets/none.js",
        "/assets/%2e%2e/chat.html",
        "/assets/0123456789ab/none.js",
        "/assets/0123456789ab/",
        "/swagger-ui/swagger-ui.css",
        "/index.html",
        "/assets/vendor/temml/LICENSE",
        "/assets/chat",
    ],
)
def test_other_paths_are_not_found(http: httpx.Client, path: str) -> None:
    """There are those files and no others."""
    answer = http.get(path)
    assert answer.status_code == 404
    assert answer.json()["code"] == 5


def test_pages_name_no_other_host() -> None:
    """What is written here asks no other host for anything."""
    for name, text in ours():
        addresses = [address for address in ADDRESSES.findall(text) if not address.startswith(KNOWN)]
        assert addresses == [], name


def test_scripts_name_assets_relatively() -> None:
    """So they stay in the version that the document names."""
    for name, text in ours():
        assert not name.endswith((".js", ".css")) or "/assets/" not in text, name


def test_no_page_parses_markup() -> None:
    """What a model says reaches the page as text nodes only."""
    for name, text in ours():
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\(", text), name


def test_every_word_of_the_pages_has_a_german_one() -> None:
    """Those of the scripts, and the texts of the documents."""
    german_script = ROOT.joinpath("assets/common/german.js").read_text()
    german = set(re.findall(r'^  "((?:[^"\\]|\\.)+)":\s', german_script, re.MULTILINE))
    scripts = "".join(text for name, text in ours() if name.endswith(".js") and name != "german.js")
    words = {found for call in re.findall(r"\bt\(([^()]*)", scripts) for found in re.findall(r'"([^"]*)"', call)}
    named = re.search(r"const WORDS = \{(.*?)\};", scripts, re.DOTALL)
    assert named
    words |= set(re.findall(r'^  [A-Z_]+:\s+"([^"]+)"', named[1], re.MULTILINE))
    pages = "".join(text for name, text in ours() if name in ("chat.html", "status.html"))
    words |= set(re.findall(r'(?:title|placeholder|aria-label)="([A-Z][^"{]*)"', pages))
    words |= {" ".join(text.split()) for text in re.findall(r">([^<>{}]*[a-z]{2}[^<>{}]*)<", pages)}
    missing = {word for word in words if re.search("[a-z]{2}", word)} - german
    assert missing <= {"/swagger-ui", "/metrics", ".", "Ctrl", "Esc", "Enter", "Shift"}


@pytest.mark.parametrize(("name", "digest"), DIGESTS.items())
def test_vendored_files_are_unedited(name: str, digest: str) -> None:
    """They are those of the packages."""
    assert hashlib.sha256(ROOT.joinpath(name).read_bytes()).hexdigest() == digest
