"""File names in the cache of converted models, derived from the checkpoint, the wanted type and the converter."""

import hashlib
import re
from pathlib import Path

VERSION = 2
"""Version of the converter; increase it when the same checkpoint converts to other bytes."""

_READ = (
    *("*.json", "*/config.json", "*.safetensors", "*.model", "*.tiktoken", "vocab.txt"),
    *("*.jinja", "additional_chat_templates/*.jinja"),
)
"""Patterns of the files that a conversion reads."""
_TYPE_NAME = re.compile(r"\w{1,20}")


def checkpoint_fingerprint(directory: Path) -> str:
    """Returns a SHA-256, in hexadecimal, that changes whenever a file that conversion reads does.

    Files of the hub's cache are identified by the digest in their name; others by path, size and modification time,
    since hashing gigabytes of weights would delay every load.
    """
    files = sorted(path for pattern in _READ for path in directory.glob(pattern) if path.is_file())
    return _sha256(*map(file_fingerprint, files))


def cached_name(fingerprint: str, type_name: str) -> str:
    """Returns the file name of a converted checkpoint.

    Args:
        fingerprint: Identifies the source and the options of the conversion.
        type_name: A dtype, a quantisation type, or "checkpoint" for the type of the checkpoint's weights; of any case.

    Raises:
        ValueError: `type_name` is not a type's name and could leave the cache's directory.
    """
    if not _TYPE_NAME.fullmatch(type_name):
        raise ValueError(f"{type_name!r} is not the name of a type")
    return f"{_sha256(fingerprint, type_name.lower(), str(VERSION))[:40]}.{type_name.lower()}.gguf"


def file_fingerprint(path: Path) -> str:
    """Returns a text that changes when the file does; see `checkpoint_fingerprint`."""
    target = path.resolve()
    if target.parent.name == "blobs":
        return f"{path.name}:{target.name}"
    status = target.stat()
    return f"{target}:{status.st_size}:{status.st_mtime_ns}"


def _sha256(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
