"""The local hub cache, in huggingface_hub's layout, with verification of its blobs.

Writes are crash-safe: a blob is renamed to its final name once complete and verified, a snapshot's file is a link to a
blob, and the ref from a branch to its commit is written after all wanted files. A marker beside each verified blob
records the blob's size and mtime, so that it is hashed once only.
"""

import hashlib
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import Timeout
from huggingface_hub import constants
from huggingface_hub.utils import WeakFileLock

from llm_inference_api.errors import HubError
from llm_inference_api.models.hub.messages import LocalFiles
from llm_inference_api.models.hub.selection import (
    FILE_NOT_NAMED,
    INDEX_SUFFIX,
    Select,
    select_checkpoint,
    select_gguf,
    select_tokenizer,
)
from llm_inference_api.requests.reference import HubOrigin, parts

DEFAULT_REVISION = "main"
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PREFIX = "models--"
_PARTIAL_SUFFIX = ".incomplete"
_CHECKED_SUFFIX = ".verified"
_SWEPT_AFTER = 3600.0
"""Seconds since the last write after which an unwanted partial file is deleted."""
_CHUNK = 1 << 20

Working = Callable[[], None]
"""Heartbeat: called repeatedly while the process hashes or waits for a lock, when no bytes arrive."""


class Checksum:
    """Compares a file's content with the digest in the hub's etag.

    The etag is the SHA-256 of an LFS file and the git blob SHA-1 of others; mirrors without git send the plain SHA-1.
    An etag of any other form cannot be checked.
    """

    def __init__(self, etag: str, size: int) -> None:
        self._etag = etag
        self._digests = [hashlib.sha256()] if _SHA256.fullmatch(etag) else []
        if _COMMIT.fullmatch(etag):
            header = b"blob %d\0" % size
            self._digests = [hashlib.sha1(start, usedforsecurity=False) for start in (header, b"")]

    def update(self, data: bytes) -> None:
        """Adds the next bytes of the content."""
        for digest in self._digests:
            digest.update(data)

    @property
    def tells(self) -> bool:
        """Whether the etag is a digest of the content."""
        return bool(self._digests)

    @property
    def matches(self) -> bool:
        """Whether the content so far has the etag's digest; True if the etag is not a digest."""
        return not self.tells or any(digest.hexdigest() == self._etag for digest in self._digests)


class RepositoryCache:
    """The cached files of one repository."""

    def __init__(self, repo: str) -> None:
        self.repo = repo
        self._cache = Path(constants.HF_HUB_CACHE)
        self._root = self._cache / f"{_PREFIX}{repo.replace('/', '--')}"

    def commit_of(self, revision: str | None) -> str | None:
        """Returns the commit of the revision as of its last fetch; None if it was never fetched."""
        if is_commit(revision):
            return revision
        try:
            commit = self._ref(revision).read_text().strip()
        except OSError:
            return None
        return commit if is_commit(commit) else None

    def revisions(self) -> dict[str, str]:
        """Returns the commits with files by branch or tag; by themselves where none leads to them."""
        refs = self._root / "refs"
        named = {
            path.relative_to(refs).as_posix(): path.read_text().strip() for path in refs.rglob("*") if path.is_file()
        }
        commits = sorted(path.name for path in (self._root / "snapshots").glob("*"))
        return named | {commit: commit for commit in commits if commit not in named.values()}

    def remember(self, revision: str | None, commit: str) -> None:
        """Writes the ref from the revision to this commit."""
        if not is_commit(revision) and self.commit_of(revision) != commit:
            with suppress(OSError):  # A read-only cache is usable; the hub is asked for the commit again next time.
                self._write(self._ref(revision), commit)

    def snapshot(self, commit: str) -> Path:
        """Returns the directory of the commit's files."""
        return self._root / "snapshots" / commit

    def names(self, commit: str) -> set[str]:
        """Returns the names of the commit's cached files, as POSIX paths below the snapshot."""
        snapshot = self.snapshot(commit)
        return {path.relative_to(snapshot).as_posix() for path in snapshot.rglob("*") if path.is_file()}

    def blob(self, etag: str) -> Path:
        """Returns the path of the complete, verified content with this etag."""
        return self._root / "blobs" / etag

    def partial(self, etag: str) -> Path:
        """Returns the path of the incomplete content with this etag. Only the holder of `lock` may write it."""
        return self._root / "blobs" / (etag + _PARTIAL_SUFFIX)

    @contextmanager
    def lock(self, etag: str, working: Working) -> Iterator[None]:
        """Holds huggingface_hub's inter-process lock for downloads of this content; calls `working` while it waits."""
        path = self._cache / ".locks" / self._root.name / f"{etag}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            while True:
                with suppress(Timeout):
                    stack.enter_context(WeakFileLock(path, timeout=1.0))
                    break
                working()
            yield

    def link(self, name: str, commit: str, etag: str) -> None:
        """Links the blob into the commit's snapshot under the file's name."""
        pointer, blob = self.snapshot(commit) / name, self.blob(etag)
        pointer.parent.mkdir(parents=True, exist_ok=True)
        if constants.HF_HUB_DISABLE_SYMLINKS:
            blob.replace(pointer)
            return
        temporary = self._temporary()
        temporary.symlink_to(os.path.relpath(blob, pointer.parent))
        temporary.replace(pointer)

    def is_sound(self, path: Path, etag: str, working: Working) -> bool:
        """Whether the file's content matches the etag; hashes the file unless its marker is current."""
        with suppress(OSError):
            if self._marker(etag).read_text() == _state(path):
                return True
        checksum = Checksum(etag, path.stat().st_size)
        read_into(checksum, path, working)
        if checksum.matches:
            self.mark_sound(path, etag)
        return checksum.matches

    def mark_sound(self, path: Path, etag: str) -> None:
        """Writes the marker that the file was verified."""
        with suppress(OSError):  # In a read-only cache, files are verified again at the next start.
            self._write(self._marker(etag), _state(path))

    def discard(self, pointer: Path, etag: str) -> None:
        """Deletes a damaged file: link, blob and marker."""
        for path in (pointer, self.blob(etag), self._marker(etag)):
            path.unlink(missing_ok=True)

    def delete(self, names: Collection[str], commit: str, working: Working) -> int:
        """Deletes files of the commit, and their content unless other commits share it. Returns the bytes freed."""
        freed = 0
        for path in [self.snapshot(commit) / name for name in names]:
            etag = path.readlink().name if path.is_symlink() else ""
            if not etag:
                freed += path.stat().st_size
            path.unlink()
            if etag and etag not in self._linked():
                with self.lock(etag, working):
                    freed += self.blob(etag).stat().st_size if self.blob(etag).exists() else 0
                    self.discard(path, etag)
        self._prune(commit)
        return freed

    def _linked(self) -> set[str]:
        """Returns the names of all blobs that files of commits are links to."""
        return {path.readlink().name for path in (self._root / "snapshots").rglob("*") if path.is_symlink()}

    def _prune(self, commit: str) -> None:
        """Removes the commit's empty directories; if nothing is left of it, also the refs to it."""
        snapshot = self.snapshot(commit)
        for directory in sorted((path for path in snapshot.rglob("*") if path.is_dir()), reverse=True):
            with suppress(OSError):  # It is not empty.
                directory.rmdir()
        with suppress(OSError):
            snapshot.rmdir()
        if not snapshot.exists():
            for ref in (path for path in (self._root / "refs").rglob("*") if path.is_file()):
                if ref.read_text().strip() == commit:
                    ref.unlink()

    def free_bytes(self) -> int:
        """Returns the bytes free on the cache's file system."""
        existing = next(path for path in (self._root, *self._root.parents) if path.exists())
        return shutil.disk_usage(existing).free

    def sweep(self, wanted: Collection[str]) -> None:
        """Deletes stale partial files, except those that a download of a wanted etag can resume."""
        keep = {self.partial(etag) for etag in wanted}
        for path in (self._root / "blobs").glob(f"*{_PARTIAL_SUFFIX}"):
            with suppress(OSError):
                if path not in keep and time.time() - path.lstat().st_mtime > _SWEPT_AFTER:
                    path.unlink()

    def _write(self, path: Path, text: str) -> None:
        """Writes the file atomically."""
        temporary = self._temporary()
        for each in (path, temporary):
            each.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text)
        temporary.replace(path)

    def _temporary(self) -> Path:
        """Returns a new path; `sweep` deletes a file left there, as it does partial files."""
        return self.partial(uuid.uuid4().hex)

    def _marker(self, etag: str) -> Path:
        return self._root / "blobs" / (etag + _CHECKED_SUFFIX)

    def _ref(self, revision: str | None) -> Path:
        return self._root / "refs" / (revision or DEFAULT_REVISION)


def repositories() -> Iterator[RepositoryCache]:
    """Yields the repositories of which the cache has something."""
    for root in sorted(Path(constants.HF_HUB_CACHE).glob(f"{_PREFIX}*")):
        yield RepositoryCache(root.name.removeprefix(_PREFIX).replace("--", "/", 1))


def is_offline() -> bool:
    """Whether HF_HUB_OFFLINE forbids network access."""
    return constants.is_offline_mode()


def is_commit(revision: str | None) -> bool:
    """Whether the revision is a full commit hash, which is immutable."""
    return revision is not None and _COMMIT.fullmatch(revision) is not None


def read_into(checksum: Checksum, path: Path, working: Working) -> None:
    """Adds a file's content to the checksum."""
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            checksum.update(chunk)
            working()


def selection(origin: HubOrigin) -> Select:
    """Returns the function that selects the model's files."""
    return select_checkpoint if origin.file is None else select_gguf(origin.file)


def find(origin: HubOrigin, working: Working) -> LocalFiles:
    """Returns the model's files from the cache, without network access.

    Raises:
        HubError: A file is missing or damaged.
    """
    model = RepositoryCache(origin.repo)
    commit, files = _find(model, origin.revision, selection(origin), working)
    tokenizer = None
    if origin.tokenizer_repo:
        tokenizer_cache = RepositoryCache(origin.tokenizer_repo)
        tokenizer = tokenizer_cache.snapshot(_find(tokenizer_cache, None, select_tokenizer, working)[0])
    return local_files(origin, model.snapshot(commit), files, tokenizer)


def delete(origin: HubOrigin, working: Working) -> int:
    """Deletes the model's files of its revision's last commit. Returns the bytes freed.

    Raises:
        OSError: A file cannot be deleted.
    """
    cache = RepositoryCache(origin.repo)
    commit = cache.commit_of(origin.revision)
    names = cache.names(commit) if commit else set[str]()
    if origin.file is not None:
        wanted = names & set(parts(origin.file))
    else:
        wanted = {name for name in names if not name.lower().endswith(".gguf")}
    return cache.delete(wanted, commit, working) if commit else 0


def local_files(origin: HubOrigin, snapshot: Path, names: Collection[str], tokenizer: Path | None) -> LocalFiles:
    """Returns the files of a complete snapshot.

    Raises:
        HubError: An index of safetensors files is damaged, or names a file that is not among `names`.
    """
    files = tuple(snapshot / name for name in names)
    for name in names:
        if name.endswith(INDEX_SUFFIX):
            _check_index(origin.repo, snapshot / name, names)
    return LocalFiles(files[0] if origin.file else snapshot, files, snapshot.name, tokenizer)


def _find(
    cache: RepositoryCache, revision: str | None, select: Select, working: Working
) -> tuple[str, tuple[str, ...]]:
    commit = cache.commit_of(revision)
    names = cache.names(commit) if commit else set[str]()
    try:
        wanted = select(cache.repo, names)
    except HubError as error:
        if error.reason == FILE_NOT_NAMED:
            raise
        raise _not_cached(cache.repo, revision) from error
    assert commit is not None
    for name in wanted:
        path = cache.snapshot(commit) / name
        if path.is_symlink() and not cache.is_sound(path, path.readlink().name, working):
            raise HubError("HUB_CACHE_DAMAGED", f"the cached copy of {cache.repo}/{name} is damaged; {_FILL_CACHE}")
    return commit, wanted


_FILL_CACHE = "start the service once without HF_HUB_OFFLINE, or download the repository with `hf download`"


def _not_cached(repo: str, revision: str | None) -> HubError:
    where = f" at {revision}" if revision else ""
    return HubError(
        "HUB_OFFLINE",
        f"{repo}{where} is not complete in the hub's cache (HF_HOME) and cannot be downloaded offline; {_FILL_CACHE}",
    )


def _check_index(repo: str, index: Path, names: Collection[str]) -> None:
    try:
        named = set(json.loads(index.read_bytes())["weight_map"].values())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise HubError("HUB_CHECKPOINT_BROKEN", f"{repo}/{index.name} is not an index of safetensors files") from error
    if missing := sorted(map(str, named - set(names))):
        raise HubError(
            "HUB_CHECKPOINT_BROKEN", f"{repo}/{index.name} names {missing[0]}, which is not in the repository"
        )


def _state(path: Path) -> str:
    """Returns the file's size and mtime, which change with its content."""
    state = path.stat()
    return f"{state.st_size} {state.st_mtime_ns}"
