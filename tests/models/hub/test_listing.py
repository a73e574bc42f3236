"""What the local hub cache has."""

from pathlib import Path

import pytest

from llm_inference_api.models.hub import cache as hub_cache
from llm_inference_api.models.hub.cache import RepositoryCache, is_commit
from llm_inference_api.models.hub.listing import downloads
from llm_inference_api.models.hub.messages import Downloaded

MAIN, OTHER = "a" * 40, "b" * 40


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(hub_cache.constants, "HF_HUB_CACHE", str(tmp_path))


def keep(repo: str, commit: str, revision: str | None = None, **sizes: int) -> None:
    """Has the cache hold files of these sizes, as a download leaves them; `__` in a name is its dot."""
    repository = RepositoryCache(repo)
    for number, (name, size) in enumerate(sizes.items()):
        etag = f"{commit[:4]}{number}"
        blob = repository.blob(etag)
        blob.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(b"x" * size)
        repository.link(name.replace("__", "."), commit, etag)
    if not is_commit(revision):
        repository.remember(revision, commit)


def test_cache_that_is_not_there_has_nothing() -> None:
    """Nothing was downloaded yet."""
    assert not list(downloads())


def test_each_gguf_file_is_a_model_and_the_others_are_one() -> None:
    """By the references that `models pull` takes."""
    keep("own-er/na--me", MAIN, q4__gguf=3, q8__gguf=5, config__json=1, model__safetensors=7)
    assert list(downloads()) == [
        Downloaded("own-er/na--me:q4.gguf", 3),
        Downloaded("own-er/na--me:q8.gguf", 5),
        Downloaded("own-er/na--me", 8),
    ]


def test_split_file_is_one_model() -> None:
    """Named by its first part, with the bytes of all."""
    keep("owner/name", MAIN, **{"m-00001-of-00002.gguf": 3, "m-00002-of-00002.gguf": 4})
    assert list(downloads()) == [Downloaded("owner/name:m-00001-of-00002.gguf", 7)]


def test_other_revisions_are_named() -> None:
    """A branch by its name; a commit that no branch leads to by itself."""
    keep("owner/name", MAIN, "feature/x", a__gguf=1)
    keep("owner/name", OTHER, OTHER, a__gguf=2)
    assert set(downloads()) == {
        Downloaded("owner/name:a.gguf#feature/x", 1),
        Downloaded(f"owner/name:a.gguf#{OTHER}", 2),
    }
