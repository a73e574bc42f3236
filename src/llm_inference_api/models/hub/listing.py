"""What is in the local hub cache, by the references that name it."""

from collections.abc import Iterator

from llm_inference_api.models.hub.cache import DEFAULT_REVISION, RepositoryCache, repositories
from llm_inference_api.models.hub.messages import Downloaded
from llm_inference_api.requests.reference import parts


def downloads() -> Iterator[Downloaded]:
    """Yields each GGUF file, a split one once, and of each repository the other files together: its checkpoint."""
    for cache in repositories():
        for revision, commit in cache.revisions().items():
            mark = "" if revision == DEFAULT_REVISION else f"#{revision}"
            yield from _models(cache, commit, mark)


def _models(cache: RepositoryCache, commit: str, mark: str) -> Iterator[Downloaded]:
    names = cache.names(commit)
    ggufs = {name for name in names if name.lower().endswith(".gguf")}
    for name in sorted(ggufs):
        if parts(name)[0] == name:
            yield Downloaded(f"{cache.repo}:{name}{mark}", _size(cache, commit, ggufs & set(parts(name))))
    if others := names - ggufs:
        yield Downloaded(f"{cache.repo}{mark}", _size(cache, commit, others))


def _size(cache: RepositoryCache, commit: str, names: set[str]) -> int:
    return sum((cache.snapshot(commit) / name).stat().st_size for name in names)
