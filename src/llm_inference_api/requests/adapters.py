"""LoRA adapters: those of the settings, and those that a request asks for."""

from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from llm_inference_api.errors import InvalidFieldError

SEPARATOR = ":"
"""Between the ids of a model and of its adapter."""
MAX_SCALE = 10.0
_MAX_LENGTH = 200


class AdapterFile(NamedTuple):
    """An adapter of a model, and where it is below `LLM_MODEL_PATH`."""

    model: str
    id: str
    path: PurePosixPath


class Adapter(NamedTuple):
    """An adapter that a request asks for."""

    id: str
    scale: float = 1.0
    """What the adapter adds to the model's weights is multiplied by it."""


Adapters = tuple[Adapter, ...]
NO_ADAPTERS: Adapters = ()


def parse_adapters(text: str) -> tuple[AdapterFile, ...]:
    """Parses a comma-separated list of `model:adapter=path`. Raises ValueError for a malformed or repeated entry."""
    files = tuple(_parse(entry.strip()) for entry in text.split(",") if entry.strip())
    ids = [(file.model, file.id) for file in files]
    if repeated := sorted({f"{model}{SEPARATOR}{name}" for model, name in ids if ids.count((model, name)) > 1}):
        raise ValueError(f"{', '.join(repeated)} is listed more than once")
    return files


def _parse(entry: str) -> AdapterFile:
    ids, equals, source = entry.partition("=")
    model, separator, name = ids.strip().rpartition(SEPARATOR)
    path = PurePosixPath(source.strip())
    if not (equals and separator and model and name and path.name) or len(entry) > _MAX_LENGTH:
        raise ValueError(f"{entry!r} must be model:adapter=path, of at most {_MAX_LENGTH} characters")
    if path.is_absolute() or ".." in path.parts or not entry.isprintable():
        raise ValueError(f"{entry!r}: the path must be below LLM_MODEL_PATH, without '..'")
    return AdapterFile(model, name, path)


def checked_adapters(field: str, adapters: Sequence[Adapter]) -> Adapters:
    """Returns the adapters in the order of their ids; those that a scale of 0 turns off are left out.

    Raises InvalidFieldError if one is listed twice, or has a scale that is out of range.
    """
    for index, (name, scale) in enumerate(adapters):
        if not -MAX_SCALE <= scale <= MAX_SCALE:
            problem = f"must be a number from {-MAX_SCALE:g} to {MAX_SCALE:g}, not {scale:g}"
            raise InvalidFieldError(f"{field}[{index}].scale", problem)
        if name in (other.id for other in adapters[:index]):
            raise InvalidFieldError(f"{field}[{index}].id", f"{name[:_MAX_LENGTH]!r} is listed twice")
    return tuple(sorted(adapter for adapter in adapters if adapter.scale))


def check_known(field: str, adapters: Iterable[Adapter], known: Sequence[str]) -> None:
    """Raises InvalidFieldError for an adapter that the model does not have."""
    for index, (name, _) in enumerate(adapters):
        if name not in known:
            has = f"it has {', '.join(known)}" if known else "it has none"
            raise InvalidFieldError(f"{field}[{index}].id", f"the model has no adapter {name[:_MAX_LENGTH]!r}; {has}")
