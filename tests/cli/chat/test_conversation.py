"""Conversations in files."""

import json
from pathlib import Path
from typing import Any

import pytest

from llm_inference_api.cli.chat.conversation import Conversation, load
from llm_inference_api.cli.chat.parameters import ChatError

TURNS = [("user", "Hi"), ("assistant", "Grüße \ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"))]


def test_saved_conversation_is_loaded_as_it_was(tmp_path: Path) -> None:
    """With model, system prompt and parameters; nobody else may read the file."""
    path = tmp_path / "talk.json"
    saved = Conversation("smollm2", "Be short.", {"temperature": 0.2, "stop": ["x"]}, list(TURNS))
    saved.save(path)
    assert load(path) == saved
    assert path.stat().st_mode & 0o777 == 0o600


def test_only_its_own_file_is_written_over(tmp_path: Path) -> None:
    """The one that it was saved to or loaded from."""
    path, other = tmp_path / "talk.json", tmp_path / "other"
    other.write_text("precious")
    conversation = Conversation("m", turns=list(TURNS))
    conversation.save(path)
    conversation.turns.append(("user", "More"))
    conversation.save(path)
    assert len(load(path).turns) == 3
    with pytest.raises(ChatError, match="exists already; give another name"):
        conversation.save(other)
    assert other.read_text() == "precious"


def test_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    """With the system's reason."""
    with pytest.raises(ChatError, match="cannot be written: No such file or directory"):
        Conversation().save(tmp_path / "missing" / "talk.json")


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ([], "it has no list `messages`"),
        ({"messages": "x"}, "it has no list `messages`"),
        ({"messages": [], "model": 1}, "`model` must be a text"),
        ({"messages": [], "parameters": []}, "`parameters` an object"),
        ({"messages": [{"role": "user"}]}, r"messages\[0\] needs the texts"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "the role 'tool' cannot be continued"),
        ({"messages": [], "parameters": {"temprature": 1}}, "temprature is no parameter"),
    ],
)
def test_other_documents_are_refused(tmp_path: Path, document: Any, problem: str) -> None:
    """With the field that is wrong."""
    path = tmp_path / "talk.json"
    path.write_text(json.dumps(document))
    with pytest.raises(ChatError, match=problem):
        load(path)


@pytest.mark.parametrize("content", [b"no JSON", b"\xff\xfe", b"[" * 100_000])
def test_files_that_are_no_json_are_refused(tmp_path: Path, content: bytes) -> None:
    """Whatever is in them."""
    path = tmp_path / "talk.json"
    path.write_bytes(content)
    with pytest.raises(ChatError, match="cannot be read"):
        load(path)


def test_missing_file_is_said(tmp_path: Path) -> None:
    """With the system's reason."""
    with pytest.raises(ChatError, match="cannot be read: No such file or directory"):
        load(tmp_path / "talk.json")
