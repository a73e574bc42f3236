"""How one model comes from the hub into the cache: ask, check the space, receive, check the content, publish.

huggingface_hub 2.4 only warns if the disk is too small, and compares no digest; both checks are made here.
"""

import errno
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self, TypeVar

from llm_inference_api.errors import DiskFullError, HubError, ServiceError, UnavailableError
from llm_inference_api.models.hub import cache as hub_cache
from llm_inference_api.models.hub import client as hub_client
from llm_inference_api.models.hub import xet as hub_xet
from llm_inference_api.models.hub.cache import Checksum, RepositoryCache, Working, is_commit, read_into
from llm_inference_api.models.hub.client import RemoteFile
from llm_inference_api.models.hub.messages import LocalFiles
from llm_inference_api.models.hub.selection import FILE_NOT_FOUND, Select, select_gguf, select_tokenizer
from llm_inference_api.requests.reference import HubOrigin, parts

_TRIES = 5
"""Tries without a new byte before the hub is said to be unavailable."""
_FIRST_WAIT = 0.5
_LONGEST_WAIT = 8.0
"""Seconds between two tries; the first doubles with each try up to the second."""
_PATIENCE = 3.0
"""Seconds in which the hub must say what is new about a model that the cache has."""
_SPARE_SPACE = 1.1
"""Bytes that must be free for each byte that is to come."""
_SYNC_EVERY = 64 << 20
"""Bytes after which what has arrived is forced to the disk, so that no single wait for it is taken for a stall."""
_SHOWN_UNITS = (("GB", 1e9), ("MB", 1e6), ("kB", 1e3))

Result = TypeVar("Result")


class DownloadReport(Protocol):
    """Whom a download tells how it gets on."""

    def arrived(self, done: int, total: int) -> None:
        """This much of the model is on the disk."""

    def working(self) -> None:
        """No byte came, but none was due."""

    def warned(self, text: str) -> None:
        """Something that the service's log should have."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The files that a model needs of one repository, all of one commit."""

    cache: RepositoryCache
    revision: str | None
    commit: str
    files: tuple[RemoteFile, ...]

    def pointer(self, file: RemoteFile) -> Path:
        """Returns where the file is found once it is there."""
        return self.cache.snapshot(self.commit) / file.name


def fetch(origin: HubOrigin, report: DownloadReport) -> LocalFiles:
    """Returns the model's files, after downloading what the cache lacks of them.

    Where that fails, for whatever reason, the files that the cache has of the revision's last commit stand in.

    Raises:
        ServiceError: The download failed, and the cache has no complete and undamaged model.
        Exception: As ServiceError, for a reason that was not foreseen.
    """
    if is_commit(origin.revision) and (files := _cached(origin, report)):
        return files
    try:
        hub_client.install()
        look_up = _begun(lambda: _look_up(origin, report))
        wait({look_up}, timeout=_PATIENCE)
        if not look_up.done() and (files := _instead(origin, report, f"the hub did not answer within {_PATIENCE:g} s")):
            return files
        try:
            wanted = look_up.result()
        except UnavailableError as error:
            if files := _instead(origin, report, str(error)):
                return files
            wanted = _patiently(lambda: _look_up(origin, report), error)
        Download(wanted, report).run()
        return _publish(origin, wanted)
    except Exception as error:
        said = str(error) if isinstance(error, ServiceError) else f"the download failed ({hub_xet.reason(error)})"
        if files := _instead(origin, report, said):
            return files
        raise


def _instead(origin: HubOrigin, report: DownloadReport, problem: str) -> LocalFiles | None:
    """Returns the model's files from the cache, after a warning; None if they are not all there."""
    if files := _cached(origin, report):
        report.warned(f"{problem}; the model is served from the cache")
    return files


def _begun(work: "Callable[[], Result]") -> "Future[Result]":
    """Returns what becomes of the work, which a daemon thread does: one that hangs ends with the process."""
    future: Future[Result] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="look-up", daemon=True).start()
    return future


def _cached(origin: HubOrigin, report: DownloadReport) -> LocalFiles | None:
    try:
        return hub_cache.find(origin, report.working)
    except (HubError, OSError):
        return None


def _publish(origin: HubOrigin, wanted: tuple[Wanted, ...]) -> LocalFiles:
    """Makes what is there the newest of its revision: from now on the cache alone is enough."""
    model, *tokenizers = wanted
    tokenizer = tokenizers[0].cache.snapshot(tokenizers[0].commit) if tokenizers else None
    names = [file.name for file in model.files]
    files = hub_cache.local_files(origin, model.cache.snapshot(model.commit), names, tokenizer)
    for each in wanted:
        each.cache.remember(each.revision, each.commit)
    return files


def _look_up(origin: HubOrigin, report: DownloadReport) -> tuple[Wanted, ...]:
    """Asks the hub which files are wanted, and what it knows of them."""
    if origin.file is None:
        model = _select(origin.repo, origin.revision, hub_cache.selection(origin), report)
    else:
        model = _named(origin.repo, origin.file, origin.revision, report)
    if origin.tokenizer_repo is None:
        return (model,)
    return model, _select(origin.tokenizer_repo, None, select_tokenizer, report)


def _select(repo: str, revision: str | None, select: Select, report: DownloadReport) -> Wanted:
    listing = hub_client.listing(repo, revision)
    names = select(repo, listing.names)
    files = tuple(_head(repo, name, listing.commit, report) for name in names)
    return Wanted(RepositoryCache(repo), revision, listing.commit, files)


def _named(repo: str, file: str, revision: str | None, report: DownloadReport) -> Wanted:
    """As `_select`, but without a listing: the names are known, and some mirrors have none."""
    try:
        names = parts(file)
        first = _head(repo, names[0], revision, report)
        files = (first, *(_head(repo, name, first.commit, report) for name in names[1:]))
    except HubError as error:
        raise _explained(repo, file, revision, error) from error
    return Wanted(RepositoryCache(repo), revision, first.commit, files)


def _explained(repo: str, file: str, revision: str | None, error: HubError) -> HubError:
    """Returns the error; for a missing file, if the hub can list them, one that says which files there are."""
    if error.reason != FILE_NOT_FOUND:
        return error
    try:
        select_gguf(file)(repo, hub_client.listing(repo, revision).names)
    except ServiceError as better:
        if isinstance(better, HubError) and better.reason == FILE_NOT_FOUND:
            return better
    return error


def _head(repo: str, name: str, revision: str | None, report: DownloadReport) -> RemoteFile:
    file = hub_client.head(repo, name, revision)
    report.working()
    return file


class Download:
    """Brings files into the cache, one after the other."""

    def __init__(self, wanted: tuple[Wanted, ...], report: DownloadReport) -> None:
        self._wanted = wanted
        self._report = report
        self._total = sum(file.size for each in wanted for file in each.files)
        self._done = 0
        self._uses_xet = True

    def run(self) -> None:
        """Returns when all files are there. Raises ServiceError."""
        missing = [(each, file) for each in self._wanted for file in each.files if not self._is_there(each, file)]
        self._done = self._total - sum(file.size for _, file in missing)
        self._report.arrived(self._done, self._total)
        for each in self._wanted:
            each.cache.sweep([file.etag for file in each.files])
        self._check_space(missing)
        for each, file in missing:
            with _disk_errors(file, each.cache.partial(file.etag)):
                self._bring(each, file)

    def _is_there(self, wanted: Wanted, file: RemoteFile) -> bool:
        return self._is_sound(wanted, file, wanted.pointer(file))

    def _is_sound(self, wanted: Wanted, file: RemoteFile, path: Path) -> bool:
        whole = path.is_file() and path.stat().st_size == file.size
        return whole and wanted.cache.is_sound(path, file.etag, self._report.working)

    def _check_space(self, missing: list[tuple[Wanted, RemoteFile]]) -> None:
        for cache in {each.cache for each, _ in missing}:
            needed = sum(_lacking(cache, file) for each, file in missing if each.cache is cache)
            if needed * _SPARE_SPACE > (free := cache.free_bytes()):
                raise _disk_full(
                    f"{cache.repo} needs {_shown(int(needed * _SPARE_SPACE))}, and {_shown(free)} are free"
                )

    def _bring(self, wanted: Wanted, file: RemoteFile) -> None:
        """Under the lock that all programs share: the second of two servers finds what the first one brought."""
        cache, pointer = wanted.cache, wanted.pointer(file)
        with cache.lock(file.etag, lambda: self._report_other(cache, file)):
            if not self._is_there(wanted, file):
                if not self._is_sound(wanted, file, cache.blob(file.etag)):
                    cache.discard(pointer, file.etag)
                    self._receive(cache, file)
                cache.link(file.name, wanted.commit, file.etag)
        self._done += file.size
        self._report.arrived(self._done, self._total)

    def _report_other(self, cache: RepositoryCache, file: RemoteFile) -> None:
        self._report.working()
        self._report.arrived(self._done + _size(cache.partial(file.etag)), self._total)

    def _receive(self, cache: RepositoryCache, file: RemoteFile) -> None:
        path = cache.partial(file.etag)
        path.parent.mkdir(parents=True, exist_ok=True)
        xet_failed = self._may_use_xet(path, file) and not self._receive_by_xet(path, file)
        self._complete(path, file)
        # A thread of hf_xet may have gone on writing after the failure, while the rest came over HTTP.
        if xet_failed and not cache.is_sound(path, file.etag, self._report.working):
            path.unlink()
            self._complete(path, file)
        path.replace(cache.blob(file.etag))
        cache.mark_sound(cache.blob(file.etag), file.etag)

    def _complete(self, path: Path, file: RemoteFile) -> None:
        """Downloads over HTTP what the partial file lacks. Raises HubError if the result is not what was announced."""
        with Partial(path, file, self._report.working) as partial:
            resumed = partial.size > 0
            self._fill(partial, file)
            if resumed and not partial.is_sound:  # What lay there was no part of it.
                partial.restart()
                self._fill(partial, file)
            partial.sync()
            if not partial.is_sound:
                path.unlink()
                raise _mismatch(file)

    def _may_use_xet(self, path: Path, file: RemoteFile) -> bool:
        """Returns whether Xet is offered, there is nothing to resume over HTTP, and the result can be verified."""
        return self._uses_xet and file.xet is not None and not _size(path) and Checksum(file.etag, file.size).tells

    def _receive_by_xet(self, path: Path, file: RemoteFile) -> bool:
        """Downloads the file, or its beginning; the caller verifies it and downloads the rest over HTTP.

        Returns whether hf_xet reported success. The first failure switches Xet off for all later files: where its store
        is unreachable, each try takes a while.
        """
        synced = 0

        def note(size: int) -> None:
            nonlocal synced
            self._report.arrived(self._done + size, self._total)
            if size - synced >= _SYNC_EVERY:
                synced = size
                _sync(path)

        try:
            hub_xet.receive(file, path, note)
        except Exception as error:
            self._uses_xet = False
            self._report.warned(f"{file} cannot be downloaded by Xet ({hub_xet.reason(error)}); using HTTP instead")
            return False
        return True

    def _fill(self, partial: "Partial", file: RemoteFile) -> None:
        """Receives what the part lacks, in as many tries as bring something."""
        patience = Patience()
        while partial.size < file.size:
            before = partial.size
            try:
                self._append(partial, file)
            except UnavailableError as error:
                patience.fail(error, progressed=partial.size > before)

    def _append(self, partial: "Partial", file: RemoteFile) -> None:
        with hub_client.body(file, partial.size) as body:
            if body.start != partial.size:
                partial.restart()
            for chunk in body.chunks:
                partial.append(chunk)
                if partial.size > file.size:
                    return
                self._report.arrived(self._done + partial.size, self._total)
        if partial.size < file.size:
            raise UnavailableError("HUB_UNAVAILABLE", f"the hub sent only a part of {file}; try again")


class Partial:
    """The part of a file that has arrived so far, and its checksum. What an ended download left is gone on from."""

    def __init__(self, path: Path, file: RemoteFile, working: Working) -> None:
        self.size = 0
        self._unsynced = 0
        self._file = file
        self._out = path.open("ab")
        self._checksum = Checksum(file.etag, file.size)
        if self._checksum.tells and 0 < (there := _size(path)) <= file.size:
            read_into(self._checksum, path, working)
            self.size = there
        else:
            self.restart()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._out.close()

    @property
    def is_sound(self) -> bool:
        """Whether this is the whole file as the hub announced it."""
        return self.size == self._file.size and self._checksum.matches

    def append(self, chunk: bytes) -> None:
        """Adds the next bytes; what goes beyond the announced size is counted and not kept."""
        self.size += len(chunk)
        if self.size <= self._file.size:
            self._out.write(chunk)
            self._checksum.update(chunk)
            self._unsynced += len(chunk)
        if self._unsynced >= _SYNC_EVERY:
            self.sync()

    def restart(self) -> None:
        """Forgets what has arrived."""
        self._out.truncate(0)
        self.size = 0
        self._checksum = Checksum(self._file.etag, self._file.size)

    def sync(self) -> None:
        """Returns when a loss of power cannot take back what has arrived."""
        self._out.flush()
        os.fsync(self._out.fileno())
        self._unsynced = 0


class Patience:
    """Waits between tries, longer each time, and gives up after some."""

    def __init__(self, tries: int = 0) -> None:
        self._tries = tries

    def fail(self, error: UnavailableError, *, progressed: bool) -> None:
        """Returns when a new try makes sense; raises the error where none does."""
        self._tries = 1 if progressed else self._tries + 1
        limited = error.reason == "HUB_RATE_LIMITED"
        if self._tries >= _TRIES or (limited and error.retry_after > _LONGEST_WAIT):
            raise error
        time.sleep(error.retry_after if limited else min(_FIRST_WAIT * 2 ** (self._tries - 1), _LONGEST_WAIT))


def _patiently(call: Callable[[], Result], error: UnavailableError) -> Result:
    """Returns what the call returns, which has failed with this error once."""
    patience = Patience()
    while True:
        patience.fail(error, progressed=False)
        try:
            return call()
        except UnavailableError as failure:
            error = failure


@contextmanager
def _disk_errors(file: RemoteFile, partial: Path) -> Iterator[None]:
    """Describes what the file system refuses; a part that filled the disk is deleted, for the sake of all others."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            raise _disk_full(f"the disk was full before {file} had arrived") from error
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            problem = f"{file} cannot be downloaded: the hub's cache cannot be written; check HF_HOME and its owner"
            raise HubError("CACHE_NOT_WRITABLE", problem) from error
        raise HubError("CACHE_FAILED", f"{file} cannot be written to the hub's cache: {error.strerror}") from error


def _mismatch(file: RemoteFile) -> HubError:
    problem = f"the hub sent something else as {file} than it announced, as the digest shows"
    return HubError("HUB_DIGEST_MISMATCH", f"{problem}; try again, and check HF_ENDPOINT and proxies if it stays so")


def _disk_full(problem: str) -> DiskFullError:
    return DiskFullError(
        "DISK_FULL", f"{problem}; free some space on the disk of HF_HOME, or set HF_HOME to another one"
    )


def _lacking(cache: RepositoryCache, file: RemoteFile) -> int:
    """Returns the bytes that are still to come; none where another commit has the same content."""
    there = (_size(cache.blob(file.etag)), _size(cache.partial(file.etag)))
    return 0 if there[0] == file.size else max(file.size - there[1], 0)


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _shown(count: int) -> str:
    unit, factor = next((each for each in _SHOWN_UNITS if count >= each[1]), ("bytes", 1.0))
    return f"{count / factor:.1f} {unit}" if factor > 1 else f"{count} bytes"
