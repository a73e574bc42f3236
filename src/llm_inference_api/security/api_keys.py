"""API keys of callers, each with a name; kept as digests."""

import hashlib
import hmac
import logging
import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from llm_inference_api.files import read_regular
from llm_inference_api.security.tls import file_state

VARIABLE, FILE_VARIABLE = "LLM_API_KEYS", "LLM_API_KEYS_FILE"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_KEY = re.compile(r"[A-Za-z0-9._~+/-]+=*")
"""Syntax of a bearer token (RFC 6750, b64token)."""
_SHORTEST_SAFE_KEY = 16

logger = logging.getLogger(__name__)


class _Key(NamedTuple):
    name: str
    digest: bytes
    """SHA-256 of the key; the key itself is not stored."""
    is_short: bool


class KeyRing:
    """The keys of LLM_API_KEYS and of the key file, which is reloaded when it changes."""

    def __init__(self, text: str | None, file: Path | None) -> None:
        """Reads the keys.

        Args:
            text: Value of LLM_API_KEYS; None if unset.
            file: The key file; None for none.

        Raises:
            ValueError: An entry is invalid, or the file cannot be read; one line per problem, without the keys.
        """
        self._fixed = () if text is None else _parse(enumerate(text.split(","), 1), f"{VARIABLE}: key")
        self._file = file
        self._seen = file_state(file) if file else ()
        self._of_file = _read(file) if file else ()

    @property
    def is_empty(self) -> bool:
        """Whether there are no keys: authentication is off."""
        return not self._keys

    def warnings(self) -> Iterator[str]:
        """Yields a warning for each weakness of the valid keys."""
        for key in self._keys:
            if key.is_short:
                yield f"the API key of {key.name} has fewer than {_SHORTEST_SAFE_KEY} characters and may be guessed"
        if self._file is not None and self._file.stat().st_mode & stat.S_IRWXO:
            yield f"{FILE_VARIABLE}: {self._file} can be read by every user of this machine; chmod o-rwx it"

    def name_of(self, shown: str) -> str | None:
        """Returns the name of the key, or None if it is unknown; compares in constant time."""
        self._refresh()
        digest, name = _digest(shown), None
        for key in self._keys:
            if hmac.compare_digest(key.digest, digest):
                name = key.name
        return name

    @property
    def _keys(self) -> tuple[_Key, ...]:
        return (*self._fixed, *self._of_file)

    def _refresh(self) -> None:
        if self._file is None or (seen := file_state(self._file)) == self._seen:
            return
        self._seen = seen
        try:
            self._of_file = _read(self._file)
        except ValueError as error:
            logger.error("API keys not reloaded, the previous ones stay in use: %s", error)  # noqa: TRY400 - no traceback
        else:
            logger.info("API keys reloaded")


def _read(file: Path) -> tuple[_Key, ...]:
    try:
        lines = enumerate(read_regular(file).decode("utf-8").splitlines(), 1)
    except OSError as error:
        raise ValueError(f"{FILE_VARIABLE}: {file} cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{FILE_VARIABLE}: {file} is not UTF-8 text") from error
    entries = ((number, line) for number, line in lines if line.strip() and not line.lstrip().startswith("#"))
    return _parse(entries, f"{FILE_VARIABLE}: line")


def _parse(entries: Iterable[tuple[int, str]], place: str) -> tuple[_Key, ...]:
    keys, problems = [], []
    for number, entry in entries:
        name, colon, key = entry.strip().rpartition(":")
        problem = _problem(name, key, is_named=bool(colon))
        if problem:
            problems.append(f"{place} {number} {problem}")
        keys.append(_Key(name or f"key-{number}", _digest(key), len(key) < _SHORTEST_SAFE_KEY))
    if not keys:
        problems.append(f"{place.partition(':')[0]}: it has no key; unset it to disable authentication")
    if problems:
        raise ValueError("\n".join(problems))
    return tuple(keys)


def _problem(name: str, key: str, *, is_named: bool) -> str | None:
    if is_named and not _NAME.fullmatch(name):
        return "must be `name:key`, the name of letters, digits, '.', '_' and '-'"
    if not _KEY.fullmatch(key):
        return "must be of letters, digits and ._~+/- with = at the end only; `openssl rand -hex 24` makes one"
    return None


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
