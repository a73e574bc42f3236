"""Checks of the models' files and of the cache."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from llm_inference_api.cli.checks.finding import Finding
from llm_inference_api.config.settings import Settings, place_of

_GIB = 1 << 30
_LITTLE = 10 * _GIB
"""Less free space than that holds few models."""


def models(settings: Settings) -> Iterator[Finding]:
    """Yields what is known of the models' files without asking the hub."""
    ids = ", ".join(reference.id for reference in settings.models)
    if not ids:
        yield Finding("problem", "models", "none is named", "set LLM_ALLOWED_MODELS")
        return
    yield Finding("ok", "models", ids)
    directory = settings.model_path
    if not directory.is_dir():
        if place_of("model_path") != "default":
            yield Finding("problem", "files", f"{directory} is no directory", "create it, or set LLM_MODEL_PATH")
    elif not os.access(directory, os.R_OK | os.X_OK):
        yield Finding("problem", "files", f"{directory} cannot be read by this user", "change its owner or its mode")


def cache(settings: Settings) -> Iterator[Finding]:
    """Yields where converted files go, and the space there."""
    directory = settings.cache_path
    there = _existing(directory)
    free = shutil.disk_usage(there).free
    says = f"{directory}, {free / _GIB:.0f} GiB free"
    if not os.access(there, os.W_OK | os.X_OK):
        yield Finding("problem", "cache", f"{directory} cannot be written by this user", "set LLM_CACHE_PATH")
    elif free < _LITTLE:
        yield Finding(
            "advice", "cache", says, "free some space, or set LLM_CACHE_PATH: a model of 8 B takes 5 to 16 GiB"
        )
    else:
        yield Finding("ok", "cache", says)


def _existing(path: Path) -> Path:
    """Returns the path or its first parent that exists."""
    path = path.absolute()
    return next(parent for parent in (path, *path.parents) if parent.exists())
