"""What `LLM_ALLOWED_MODELS` says of a model: its id and where it comes from."""

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from llm_inference_api.demo import MODEL_PATH as DEMO_PATH
from llm_inference_api.errors import ModelFailedError

DEMO = "demo"
"""The id and reference of the bundled model."""
_MAX_LENGTH = 200
_LOCAL_SUFFIXES = (".gguf", ".ggml", ".bin")
_LOCAL_PREFIX = "./"
"""Marks a path below `LLM_MODEL_PATH` that has no such suffix, such as a directory."""

_REPOSITORY = re.compile(r"(?:[A-Za-z0-9_][\w.-]*/)?[A-Za-z0-9_][\w.-]*", re.ASCII)
_REVISION = re.compile(r"[A-Za-z0-9_][\w./+-]*", re.ASCII)
_PART = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.ASCII)
"""The name of one part of a split GGUF file, as llama.cpp writes and reads it."""
_MOST_PARTS = 1000


@dataclass(frozen=True, slots=True)
class DemoOrigin:
    """The bundled model."""


@dataclass(frozen=True, slots=True)
class LocalOrigin:
    """A file or directory below `LLM_MODEL_PATH`."""

    path: PurePosixPath


@dataclass(frozen=True, slots=True)
class HubOrigin:
    """A repository of the hub, or one model in it."""

    repo: str
    file: str | None = None
    """The GGUF file, the first part of a split one; None: the repository's checkpoint in safetensors."""
    revision: str | None = None
    """A branch, tag or commit; None: the default branch."""
    tokenizer_repo: str | None = None
    """Whose chat template and tokenizer take the place of the file's own."""


Origin = DemoOrigin | LocalOrigin | HubOrigin


@dataclass(frozen=True, slots=True)
class Reference:
    """A model that requests may name. The id is a key and nothing else: it never becomes part of a path."""

    id: str
    source: str
    """Where the model comes from, as the settings write it."""

    @property
    def origin(self) -> Origin:
        """Where the model comes from. Raises ValueError where the source is none."""
        return parse_origin(self.source)

    def path(self, model_path: Path) -> Path:
        """Returns the model's file, or its checkpoint's directory. Raises ModelFailedError where there is none."""
        match self.origin:
            case DemoOrigin():
                return DEMO_PATH
            case LocalOrigin(path):
                return _find(path, model_path)
            case HubOrigin():
                raise ModelFailedError(f"{self.source} is not a file below LLM_MODEL_PATH; it comes from the hub")


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


def parse_origin(source: str) -> Origin:
    """Returns what a reference without alias means. Raises ValueError where that is nothing.

    What names a file's suffix or starts with `./` and has no colon is a path below `LLM_MODEL_PATH`; all else is
    `repo[:file.gguf][@tokenizer-repo][#revision]`, and the revision is that of the model's repository.
    """
    if source == DEMO:
        return DemoOrigin()
    if source.startswith(_LOCAL_PREFIX) or (":" not in source and source.endswith(_LOCAL_SUFFIXES)):
        return LocalOrigin(_checked_path(source, "a path below LLM_MODEL_PATH"))
    rest, hash_sign, revision = source.partition("#")
    rest, at_sign, tokenizer_repo = rest.partition("@")
    repo, colon, file = rest.partition(":")
    return HubOrigin(
        repo=_checked_repository(source, repo),
        file=_checked_file(source, file) if colon else None,
        revision=_checked_revision(source, revision) if hash_sign else None,
        tokenizer_repo=_checked_repository(source, tokenizer_repo) if at_sign else None,
    )


def parts(file: str) -> tuple[str, ...]:
    """Returns the names of all parts of a split GGUF file, given any of them; the name alone where it is not split."""
    match = _PART.fullmatch(file)
    if match is None or not 1 <= int(match["count"]) <= _MOST_PARTS:
        return (file,)
    return tuple(
        f"{match['stem']}-{number:05}-of-{match['count']}.gguf" for number in range(1, int(match["count"]) + 1)
    )


def _parse(entry: str) -> Reference:
    alias, equals, rest = entry.partition("=")
    model, source = (alias.strip(), rest.strip()) if equals else (entry, entry)
    for part in (model, source):
        if not part or len(part) > _MAX_LENGTH or not part.isprintable():
            raise ValueError(f"{entry!r} is not a reference: 1 to {_MAX_LENGTH} printable characters")
    parse_origin(source)
    return Reference(model, source)


def _checked_path(source: str, what: str) -> PurePosixPath:
    path = PurePosixPath(source)
    if not path.name or path.is_absolute() or ".." in path.parts or "\\" in source:
        raise ValueError(f"{source!r} must be {what}, without '..'")
    return path


def _checked_repository(source: str, repo: str) -> str:
    """The hub's own rules (huggingface_hub's `validate_repo_id`), without loading it."""
    wrong = len(repo) > 96 or repo.endswith((".git", ".", "-")) or "--" in repo or ".." in repo
    if wrong or not _REPOSITORY.fullmatch(repo):
        raise ValueError(
            f"{source!r}: {repo!r} is neither {DEMO!r}, nor a .gguf file below LLM_MODEL_PATH, nor the name of a "
            "repository (owner/name)"
        )
    return repo


def _checked_file(source: str, file: str) -> str:
    path = _checked_path(file, f"a path inside the repository in {source!r}")
    if path.suffix != ".gguf" or str(path) != file:
        raise ValueError(f"{source!r}: {file!r} is not a .gguf file; name one, or the repository alone")
    return file


def _checked_revision(source: str, revision: str) -> str:
    if ".." in revision or revision.endswith((".lock", "/")) or "//" in revision or not _REVISION.fullmatch(revision):
        raise ValueError(f"{source!r}: {revision!r} is not a branch, tag or commit")
    return revision


def _find(path: PurePosixPath, model_path: Path) -> Path:
    found = [_inside(path.with_name(name), model_path) for name in parts(path.name)]
    return found[0]


def _inside(path: PurePosixPath, model_path: Path) -> Path:
    found = (model_path / path).resolve()
    if not found.is_relative_to(model_path.resolve()):
        raise ModelFailedError(f"{path} leads out of LLM_MODEL_PATH")
    if not found.exists():
        raise ModelFailedError(f"the file {path} below LLM_MODEL_PATH does not exist")
    if found.is_dir() and not (found / "config.json").is_file():
        raise ModelFailedError(f"the directory {path} below LLM_MODEL_PATH has no config.json; it is no checkpoint")
    return found
