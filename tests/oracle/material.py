"""llama.cpp's own tests and converter, from the source distribution that the pinned llama-cpp-python is built from."""

import os
import re
import subprocess
import sys
import tarfile
import tomllib
from importlib.metadata import version
from pathlib import Path

from filelock import FileLock

PACKAGE = "llama-cpp-python"
EDITS = Path(__file__).with_name("edits.toml")
_INSIDE = "vendor/llama.cpp/"
_TEMPLATES = r"models/templates/[^/]+\.jinja"
_WANTED = {
    "llama-server": re.compile(rf"tools/server/tests/unit/\w+\.py|{_TEMPLATES}"),
    "llama-convert": re.compile(r"(conversion|gguf-py/gguf)/[\w/]+\.py"),
    "llama-chat": re.compile(rf"tests/test-chat\.cpp|{_TEMPLATES}"),
}
"""Files of llama.cpp that are taken, by the name of the directory of the cache: tests, and the chat templates that they
name by a relative path; the converter of checkpoints."""


def cached_material(name: str = "llama-server") -> Path:
    """Returns the directory with llama.cpp's files as they are published; downloads them the first time."""
    pinned = version(PACKAGE)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "llm-inference-api" / name
    cache.mkdir(parents=True, exist_ok=True)
    directory = cache / pinned
    with FileLock(cache / f"{pinned}.lock"):
        if not directory.exists():
            unfinished = cache / f"{pinned}.unfinished"
            _extract(_source_distribution(cache, pinned), unfinished, _WANTED[name])
            unfinished.rename(directory)
    return directory


def edited_copy(directory: Path) -> Path:
    """Copies the material, freed of one model's words by `edits.toml`; returns the directory in which it runs.

    Raises LookupError for an edit that finds nothing.
    """
    source = cached_material()
    edits = tomllib.loads(EDITS.read_text())["edit"]
    unused = {edit["old"] for edit in edits}
    for path in sorted(source.rglob("*.*")):
        text = path.read_text()
        for edit in edits:
            if path.name in edit["files"] or (path.suffix == ".py" and edit["files"] == ["*"]):
                text, times = re.subn(edit["old"], edit["new"], text, flags=re.MULTILINE)
                if times:
                    unused.discard(edit["old"])
        target = directory / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    if unused:
        raise LookupError(f"edits.toml: found nowhere: {sorted(unused)}")
    return directory / "tools" / "server" / "tests"


def _source_distribution(cache: Path, pinned: str) -> Path:
    archive = cache / f"llama_cpp_python-{pinned}.tar.gz"
    if not archive.exists():
        command = (sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", PACKAGE)
        subprocess.run([*command, "-d", cache, f"{PACKAGE}=={pinned}"], check=True)
    return archive


def _extract(archive: Path, directory: Path, wanted: re.Pattern[str]) -> None:
    with tarfile.open(archive) as files:
        for member in files:
            _, _, name = member.name.partition(_INSIDE)
            if member.isfile() and wanted.fullmatch(name):
                target = directory / name
                target.parent.mkdir(parents=True, exist_ok=True)
                reader = files.extractfile(member)
                assert reader is not None
                target.write_bytes(reader.read())
