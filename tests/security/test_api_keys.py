import logging
import os
from pathlib import Path

import pytest

from llm_inference_api.security.api_keys import KeyRing


def write(path: Path, text: str) -> None:
    """Replaces the file with one of another time of change, however fast the test is."""
    last = path.stat().st_mtime_ns if path.exists() else 0
    path.write_text(text)
    os.utime(path, ns=(last + 1_000_000, last + 1_000_000))


def test_key_is_known_by_its_name() -> None:
    """Several keys, each with whose it is; one person may have two while one of them is being replaced."""
    ring = KeyRing("ann:first-key, bob:second-key,ann:third-key", None)
    assert [ring.name_of(key) for key in ("first-key", "second-key", "third-key")] == ["ann", "bob", "ann"]


@pytest.mark.parametrize("shown", ["", "first", "first-keys", "FIRST-KEY", "ann:first-key", "ann"])
def test_other_texts_are_no_key(shown: str) -> None:
    """Neither parts of a key nor its name open anything."""
    assert KeyRing("ann:first-key", None).name_of(shown) is None


def test_key_without_a_name_has_its_number() -> None:
    """A single key needs no name."""
    assert KeyRing("only-key", None).name_of("only-key") == "key-1"


def test_no_keys_ask_for_none() -> None:
    """Without the settings everybody may call."""
    assert KeyRing(None, None).is_empty
    assert not KeyRing("a:key", None).is_empty


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (",", "LLM_API_KEYS: key 1"),
        ("ann:", "LLM_API_KEYS: key 1"),
        ("ann:good-key,b b:other-key", "LLM_API_KEYS: key 2 must be `name:key`"),
        ("ann:with space", "LLM_API_KEYS: key 1 must be of letters"),
        ("ann:schlüssel", "LLM_API_KEYS: key 1 must be of letters"),
    ],
)
def test_bad_key_is_told_by_its_place(text: str, problem: str) -> None:
    """The message says which one it is, and never shows it."""
    with pytest.raises(ValueError, match=problem) as error:
        KeyRing(text, None)
    assert not any(part in str(error.value) for part in ("with space", "schlüssel", "other-key"))


def test_file_has_one_key_a_line(tmp_path: Path) -> None:
    """Empty lines and comments are passed over."""
    file = tmp_path / "keys"
    file.write_text("# who may call\n\nann:first-key\n bob:second-key \n")
    ring = KeyRing("cat:third-key", file)
    assert [ring.name_of(key) for key in ("first-key", "second-key", "third-key")] == ["ann", "bob", "cat"]


def test_changed_file_is_read_again(tmp_path: Path) -> None:
    """A key that was taken out opens nothing from the next call on."""
    file = tmp_path / "keys"
    write(file, "ann:first-key\n")
    ring = KeyRing(None, file)
    write(file, "bob:second-key\n")
    assert [ring.name_of(key) for key in ("first-key", "second-key")] == [None, "bob"]


@pytest.mark.parametrize("text", ["", "no key here\n"])
def test_unusable_file_changes_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str) -> None:
    """A slip in the file neither opens the service nor shuts everybody out."""
    file = tmp_path / "keys"
    write(file, "ann:first-key\n")
    ring = KeyRing(None, file)
    write(file, text)
    with caplog.at_level(logging.ERROR):
        assert ring.name_of("first-key") == "ann"
    assert "LLM_API_KEYS_FILE" in caplog.text
    assert not ring.is_empty


def test_file_that_is_none_keeps_the_previous_keys(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A FIFO would hold up every caller until somebody writes to it."""
    file = tmp_path / "keys"
    write(file, "ann:first-key")
    ring = KeyRing(None, file)
    file.unlink()
    os.mkfifo(file)
    assert ring.name_of("first-key") == "ann"
    assert "it is not a regular file" in caplog.text


def test_missing_file_stops_the_start(tmp_path: Path) -> None:
    """A service that should ask for keys does not start without them."""
    with pytest.raises(ValueError, match=r"LLM_API_KEYS_FILE: .* cannot be read"):
        KeyRing(None, tmp_path / "missing")
