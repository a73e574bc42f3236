"""What models make of texts, through both wires."""

from typing import Any

import grpc
import httpx
import pytest

from llm_inference.v1 import tokens_pb2, tokens_pb2_grpc

CHAT: dict[str, Any] = {"model": "tiny", "messages": [{"role": "user", "content": "hi <|end|>"}]}


def ids(answer: dict[str, Any]) -> list[int]:
    return [token["token_id"] for token in answer["tokens"]]


@pytest.mark.parametrize("text", ["hello", "ü€😀", "a\nb", "<|end|>"])
def test_text_survives_the_way_there_and_back(http: httpx.Client, text: str) -> None:
    """Tokens of a text, put together, are the text."""
    answer = http.post("/api/tokenize", json={"model": "tiny", "text": text}).json()
    back = http.post("/api/detokenize", json={"model": "tiny", "token_ids": ids(answer)}).json()
    assert back == {"text": text}


def test_control_texts_are_tokens_or_text(http: httpx.Client) -> None:
    """The caller says whether `<|end|>` means the token; by default it does, as in prompts."""
    body = {"model": "tiny", "text": "<|end|>"}
    assert len(ids(http.post("/api/tokenize", json=body).json())) == 1
    assert len(ids(http.post("/api/tokenize", json={**body, "parse_special": False}).json())) == len("<|end|>")


def test_rendered_chat_is_what_chat_computes(http: httpx.Client) -> None:
    """The prompt has as many tokens as the chat's usage says, and a message's control text is no token in it."""
    answer = http.post("/api/chat/render", json=CHAT).json()
    assert answer["prompt"] == "<|user|>hi <|end|><|end|><|assistant|>"
    end = ids(http.post("/api/tokenize", json={"model": "tiny", "text": "<|end|>"}).json())[0]
    assert ids(answer).count(end) == 1
    usage = http.post("/api/chat", json={**CHAT, "max_tokens": 1}).json()["usage"]
    assert len(ids(answer)) == usage["prompt_tokens"]


def test_rendered_chat_shows_the_tools(http: httpx.Client) -> None:
    """What the model is told of its tools can be read."""
    answer = http.post("/api/chat/render", json={**CHAT, "tools": [{"name": "weather"}]}).json()
    assert '"name": "weather"' in answer["prompt"]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/api/detokenize", {"token_ids": [100_000]}, 400),
        ("/api/detokenize", {"token_ids": [0] * 100_001}, 400),
        ("/api/tokenize", {"text": "x" * (2**20 + 1)}, 400),
        ("/api/tokenize", {"text": "x" * 100_000}, 400),
        ("/api/tokenize", {"text": "x", "model": "unknown"}, 404),
        ("/api/chat/render", {"messages": []}, 400),
    ],
)
def test_what_makes_no_sense_is_refused(http: httpx.Client, path: str, body: dict[str, Any], status: int) -> None:
    """Ids outside the vocabulary, texts beyond the limits and unknown models are errors, not crashes."""
    assert http.post(path, json={"model": "tiny", **body}).status_code == status


def test_empty_text_has_no_tokens(http: httpx.Client) -> None:
    """Nothing is nothing."""
    assert http.post("/api/tokenize", json={"model": "tiny", "text": ""}).json() == {"tokens": []}
    assert http.post("/api/detokenize", json={"model": "tiny", "token_ids": []}).json() == {"text": ""}


def test_grpc_callers_have_the_same(channel: grpc.Channel) -> None:
    """The stubs call it too."""
    stub = tokens_pb2_grpc.TokenServiceStub(channel)
    answer = stub.Tokenize(tokens_pb2.TokenizeRequest(model="tiny", text="hi"), timeout=20)
    assert [token.token for token in answer.tokens] == ["h", "i"]


ANSWER = '<think>hm</think>It is\n<tool_call>\n{"name": "weather", "arguments": {"city": "Rome"}}\n</tool_call>'


def test_text_is_parsed_as_chat_would_read_it(http: httpx.Client) -> None:
    """Thoughts, content and calls are what the model's form says."""
    request = {**CHAT, "tools": [{"name": "weather"}]}
    message = http.post("/api/chat/parse", json={"request": request, "text": ANSWER}).json()["message"]
    assert (message["reasoning_content"], message["content"]) == ("hm", "It is")
    assert [(call["name"], call["arguments"]) for call in message["tool_calls"]] == [("weather", '{"city": "Rome"}')]


def test_pieces_are_parsed_as_a_stream_would_send_them(http: httpx.Client) -> None:
    """Each piece has what it adds; nothing, while it may be the start of a marker."""
    body = {"request": CHAT, "pieces": ["<th", "ink>a", "b</think>", "c"]}
    answer = http.post("/api/chat/parse", json=body).json()
    said = [[next(iter(delta.values())) for delta in piece.get("deltas", [])] for piece in answer["pieces"]]
    assert said == [[], ["a"], ["b"], ["c"]]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"text": "x"}, "request"),
        ({"request": CHAT}, "text"),
        ({"request": CHAT, "text": "x", "pieces": ["x"]}, "text"),
        ({"request": {**CHAT, "temperature": 9}, "text": "x"}, "request.temperature"),
        ({"request": {**CHAT, "thinking": True}, "text": "x"}, "request.thinking"),
        ({"request": CHAT, "pieces": ["x"] * 100_001}, "pieces"),
    ],
)
def test_parsing_of_what_makes_no_sense_is_refused(http: httpx.Client, body: dict[str, Any], field: str) -> None:
    """The error names the field."""
    refused = http.post("/api/chat/parse", json=body)
    assert refused.status_code == 400
    assert field in refused.text
