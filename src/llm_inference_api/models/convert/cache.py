"""Names of converted files in the cache: what they were made from, how, and by which version of this code."""

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

# To be raised when a conversion changes what it writes.
VERSION = 1

_READ = (".json", ".safetensors", ".model", ".tiktoken", ".jinja")
_TYPE_NAME = re.compile(r"\w{1,20}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def checkpoint_digest(directory: Path) -> str:
    """Of the names and contents of the files that conversion may read."""
    paths = sorted(path for path in directory.iterdir() if path.is_file() and path.suffix in _READ)
    return _combined(f"{path.name}:{file_digest(path)}" for path in paths)


def file_digest(path: Path) -> str:
    """SHA-256 of the content; the hub's cache names its large files so, which spares reading them."""
    target = path.resolve()
    if target.parent.name == "blobs" and _SHA256.fullmatch(target.name):
        return target.name
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cached_name(source_digest: str, type_name: str) -> str:
    """`type_name`: a dtype, a quantisation type, or "checkpoint" for the source's own."""
    if not _TYPE_NAME.fullmatch(type_name):
        raise ValueError(f"{type_name!r} is no name of a type")
    return f"{_combined((source_digest, type_name.lower(), str(VERSION)))[:40]}.{type_name.lower()}.gguf"


def _combined(parts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
