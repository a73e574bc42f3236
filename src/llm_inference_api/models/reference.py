"""What `LLM_ALLOWED_MODELS` says of a model: its id and where it comes from."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from llm_inference_api.demo import MODEL_PATH as DEMO_PATH
from llm_inference_api.errors import ModelFailedError

DEMO = "demo"
"""The id and reference of the bundled model."""
_MAX_LENGTH = 200
_SUFFIXES = (".gguf", ".bin")
"""Of model files; `.bin` are those of before GGUF."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A model that requests may name. The id is a key and nothing else: it never becomes part of a path."""

    id: str
    source: str
    """`demo`, or a path below `LLM_MODEL_PATH`."""

    def path(self, model_path: Path) -> Path:
        """Returns the model's file. Raises ModelFailedError where there is none."""
        if self.source == DEMO:
            return DEMO_PATH
        path = (model_path / self.source).resolve()
        if not path.is_relative_to(model_path.resolve()):
            raise ModelFailedError(f"{self.source} leads out of LLM_MODEL_PATH")
        if not path.is_file():
            kind = "is a directory" if path.is_dir() else "does not exist"
            raise ModelFailedError(f"the file {self.source} below LLM_MODEL_PATH {kind}")
        return path


def parse_references(text: str) -> tuple[Reference, ...]:
    """Returns the models of a comma-separated list; entries are `reference` or `alias=reference`.

    Raises ValueError where an entry is not a reference or an id stands twice.
    """
    references = tuple(_parse(entry.strip()) for entry in text.split(",") if entry.strip())
    ids = [reference.id for reference in references]
    twice = sorted({model for model in ids if ids.count(model) > 1})
    if twice:
        raise ValueError(
            f"{', '.join(twice)} stands there more than once; give one of them another name: alias=reference"
        )
    return references


def _parse(entry: str) -> Reference:
    alias, equals, rest = entry.partition("=")
    model, source = (alias.strip(), rest.strip()) if equals else (entry, entry)
    for part in (model, source):
        if not part or len(part) > _MAX_LENGTH or not part.isprintable():
            raise ValueError(f"{entry!r} is not a reference: 1 to {_MAX_LENGTH} printable characters")
    if source != DEMO:
        _check_path(entry, source)
    return Reference(model, source)


def _check_path(entry: str, source: str) -> None:
    path = PurePosixPath(source)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"{entry!r} must be a path below LLM_MODEL_PATH, without '..'")
    if path.suffix not in _SUFFIXES:
        raise ValueError(
            f"{entry!r} is neither {DEMO!r} nor a .gguf or .bin file below LLM_MODEL_PATH; other sources come later"
        )
