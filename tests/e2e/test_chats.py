"""What models with templates of many kinds are told and what of their answers is said, on all wires."""

import json
from base64 import b64decode
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.e2e.service import RunningService, run_service
from tests.e2e.sse import read
from tests.fakes.gguf import write_tiny_model

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TEMPLATES = {
    "chatml": CHATML,
    "thinking": CHATML.replace("assistant\n{% endif %}", "assistant\n<think>\n{% endif %}"),
    "strict": (
        "{% for m in messages %}{% if m.role == 'system' or (m.role == 'user') != loop.index is odd %}"
        "{{ raise_exception('roles must alternate user/assistant/user') }}{% endif %}[{{ m.role }}]{{ m.content }}"
        "{% endfor %}"
    ),
    "parts": (
        "{% for m in messages %}[{{ m.role }}]{% for line in m['content'] %}{% if line['type'] == 'text' %}"
        "{{ line['text'] }}{% endif %}{% endfor %}{% endfor %}"
    ),
    "around": CHATML,
}
USER = {"role": "user", "content": "Hi"}
GREEDY = {"temperature": 0, "max_tokens": 24, "frequency_penalty": 2}


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of a service with a model for each template."""
    directory = tmp_path_factory.mktemp("chats")
    for name, template in TEMPLATES.items():
        ends = name == "around"
        write_tiny_model(directory / f"{name}.gguf", template=template, layers=1, width=32, add_bos=ends, add_eos=ends)
    allowed = ",".join(f"{name}={name}.gguf" for name in TEMPLATES)
    variables = {"LLM_ALLOWED_MODELS": allowed, "LLM_PRELOAD_MODELS": "chatml", "LLM_MAX_LOADED_MODELS": "5"}
    with run_service(directory, directory, **variables) as service, client(service) as found:
        yield found


def client(service: RunningService) -> httpx.Client:
    return httpx.Client(base_url=service.url, timeout=60)


def rendered(http: httpx.Client, model: str, *messages: dict[str, Any], **fields: Any) -> dict[str, Any]:
    answer = http.post("/api/chat/render", json={"model": model, "messages": messages, **fields})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def chats(http: httpx.Client, model: str, *messages: dict[str, Any], **fields: Any) -> list[dict[str, Any]]:
    """Returns content, thoughts, text of the tokens with log probabilities, and the end's reason, on each wire."""
    body = {"model": model, "messages": messages, **fields}
    whole = http.post("/api/chat", json=body).json()
    parts = read(http, "/api/chat/stream", body)
    response_format = body.pop("json_schema", None)
    if response_format:
        schema = {"name": "x", "schema": json.loads(response_format)}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    choice = http.post("/v1/chat/completions", json=body).json()["choices"][0]
    lines = http.post("/v1/chat/completions", json={**body, "stream": True}).text.split("\n\n")
    chunks = [json.loads(line.removeprefix("data: "))["choices"][0] for line in lines if line.startswith("data: {")]
    streamed = {"reason": chunks[-1]["finish_reason"].upper()}
    for name in ("content", "reasoning_content"):
        streamed[name] = "".join(chunk["delta"].get(name) or "" for chunk in chunks)
    streamed["tokens"] = [token for chunk in chunks for token in (chunk["logprobs"] or {}).get("content", ())]
    native = {"reason": parts[-1]["finish_reason"]}
    for name in ("content", "reasoning_content"):
        native[name] = "".join(part.get("delta", {}).get(name, "") for part in parts)
    native["tokens"] = [token for part in parts for token in part.get("logprobs", {}).get("tokens", ())]
    found = [
        {**whole["message"], "reason": whole["finish_reason"], "tokens": whole.get("logprobs", {}).get("tokens", [])},
        native,
        {
            **choice["message"],
            "reason": choice["finish_reason"].upper(),
            "tokens": (choice["logprobs"] or {}).get("content", []),
        },
        streamed,
    ]
    return [
        {
            "content": one["content"],
            "thoughts": one.get("reasoning_content") or "",
            "reason": one["reason"],
            "tokens": b"".join(map(spelling, one["tokens"])).decode("utf-8", "replace"),
        }
        for one in found
    ]


def openai_key(data: bytes) -> str:
    """Returns the text by which completions name a token: OpenAI's form for a part of a character."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)


def spelling(token: dict[str, Any]) -> bytes:
    """Returns a token's bytes: a list in OpenAI's form, in base64 in the typed API's."""
    return bytes(token["bytes"]) if "bytes" in token else b64decode(token["token_bytes"])


@pytest.mark.parametrize("content", ["e", "id", "im", "```json\n"])
def test_message_is_continued_behind_its_last_character(http: httpx.Client, content: str) -> None:
    """The prompt ends with it, whatever the template writes behind messages."""
    prompt = rendered(http, "chatml", USER, {"role": "assistant", "content": content})["prompt"]
    assert prompt.endswith(f"<|im_start|>assistant\n{content}")


def test_empty_message_is_as_none(http: httpx.Client) -> None:
    """Clients send one where nothing has been said."""
    empty = rendered(http, "chatml", USER, {"role": "assistant", "content": " "})
    assert empty == rendered(http, "chatml", USER)


@pytest.mark.parametrize(
    ("fields", "tail"),
    [
        ({"continue_final_message": True}, "Ho"),
        ({"continue_final_message": False}, "Ho<|im_end|>\n<|im_start|>assistant\n"),
        ({"add_generation_prompt": True}, "Ho<|im_end|>\n<|im_start|>assistant\n"),
        ({"add_generation_prompt": False}, "Ho<|im_end|>\n"),
    ],
)
def test_caller_says_how_the_prompt_ends(http: httpx.Client, fields: dict[str, bool], tail: str) -> None:
    """Chat, RenderChat and `/v1` take the same fields; a prompt has as many tokens on each."""
    said = {"role": "assistant", "content": "Ho"}
    found = rendered(http, "chatml", USER, said, **fields)
    assert found["prompt"].endswith(f"<|im_start|>assistant\n{tail}")
    body = {"model": "chatml", "messages": [USER, said], "max_tokens": 1, **fields}
    for path in ("/api/chat", "/v1/chat/completions"):
        assert http.post(path, json=body).json()["usage"]["prompt_tokens"] == len(found["tokens"])


@pytest.mark.parametrize("path", ["/api/chat", "/api/chat/render", "/v1/chat/completions"])
def test_message_is_continued_or_answered(http: httpx.Client, path: str) -> None:
    """Both at once are refused with the reason."""
    body = {"model": "chatml", "messages": [USER, {"role": "assistant", "content": "x"}]}
    answer = http.post(path, json={**body, "continue_final_message": True, "add_generation_prompt": True})
    assert answer.status_code == 400
    assert "continue_final_message: cannot be combined with add_generation_prompt" in answer.text


def test_what_is_continued_past_the_thoughts_is_content(http: httpx.Client) -> None:
    """A template that opens the thoughts of new messages has not opened them here."""
    said = {"role": "assistant", "content": "The answer: "}
    schema = '{"enum": ["yes"]}'
    for found in chats(http, "thinking", USER, said, json_schema=schema, **GREEDY):
        assert found == {"content": '"yes"', "thoughts": "", "reason": "STOP", "tokens": ""}


def test_thoughts_that_a_message_opens_go_on(http: httpx.Client) -> None:
    """What follows a `<think>` without its end is thought."""
    said = {"role": "assistant", "content": "<think>\nso far"}
    for found in chats(http, "chatml", USER, said, **GREEDY):
        assert (found["content"], found["reason"]) == ("", "LENGTH")
        assert found["thoughts"]


def test_stop_strings_do_not_end_thoughts(http: httpx.Client) -> None:
    """They are searched in what is said."""
    thoughts = chats(http, "thinking", USER, **GREEDY)[0]["thoughts"]
    for found in chats(http, "thinking", USER, stop=[thoughts[4]], **GREEDY):
        assert (found["thoughts"], found["reason"]) == (thoughts, "LENGTH")


def test_thoughts_have_no_log_probabilities(http: httpx.Client) -> None:
    """Those of an answer are its content's."""
    for found in chats(http, "thinking", USER, logprobs=True, **GREEDY):
        assert found["thoughts"]
        assert found["tokens"] == ""


def test_log_probabilities_are_those_of_the_content(http: httpx.Client) -> None:
    """Joined, the tokens are the content, on every wire; a stop string is none of it."""
    whole = chats(http, "chatml", USER, logprobs=True, **GREEDY)
    text = whole[0]["content"]
    at = next(at for at in range(4, len(text)) if text[at].isascii() and text.index(text[at]) == at)
    for found in chats(http, "chatml", USER, logprobs=True, stop=[text[at]], **GREEDY):
        assert found == {"content": text[:at], "thoughts": "", "reason": "STOP", "tokens": text[:at]}


def test_log_probabilities_of_completions_are_those_of_the_text(http: httpx.Client) -> None:
    """Both wires leave out the stop string."""
    body = {"model": "chatml", "prompt": "Once", **GREEDY}
    text = http.post("/api/generate", json=body).json()["text"]
    at = next(at for at in range(4, len(text)) if text[at].isascii() and text.index(text[at]) == at)
    body["stop"] = [text[at]]
    native = http.post("/api/generate", json={**body, "logprobs": True}).json()
    tokens = native["logprobs"]["tokens"]
    assert b"".join(map(spelling, tokens)).decode("utf-8", "replace") == native["text"] == text[:at]
    choice = http.post("/v1/completions", json={**body, "logprobs": 1}).json()["choices"][0]
    assert choice["text"] == text[:at]
    assert choice["logprobs"]["tokens"] == [openai_key(spelling(token)) for token in tokens]


def test_chat_that_the_template_refuses_is_rewritten(http: httpx.Client) -> None:
    """Coding agents send system messages at any place; no text is lost."""
    messages = [
        {"role": "system", "content": "s1"},
        {"role": "system", "content": "s2"},
        {"role": "user", "content": "u1"},
        {"role": "user", "content": [{"type": "text", "text": "u2"}, {"type": "text", "text": "u3"}]},
        {"role": "assistant", "content": "a1", "reasoning": "hm"},
        {"role": "system", "content": "s3"},
        {"role": "user", "content": ""},
    ]
    body = {"model": "strict", "messages": messages, "max_tokens": 1}
    answer = http.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200, answer.text
    messages[3]["content"], messages[4] = "u2\nu3", {"role": "assistant", "content": "a1", "reasoning_content": "hm"}
    found = rendered(http, "strict", *messages)
    assert found["prompt"] == "[user]s1\n\ns2\n\ns3\n\nu1\n\nu2\nu3[assistant]a1[user]"
    assert answer.json()["usage"]["prompt_tokens"] == len(found["tokens"])


def test_text_reaches_a_template_of_parts(http: httpx.Client) -> None:
    """It would pass over a text in silence."""
    assert rendered(http, "parts", USER)["prompt"] == "[user]Hi"


def test_prompt_begins_and_ends_as_the_file_asks(http: httpx.Client) -> None:
    """Where the template writes neither BOS nor EOS, they are added; a message that goes on has no end."""
    end = http.post("/api/tokenize", json={"model": "around", "text": "<|end|>", "add_special": False}).json()
    (token,) = (token["token_id"] for token in end["tokens"])
    tokens = [token["token_id"] for token in rendered(http, "around", USER)["tokens"]]
    assert (tokens[0], tokens[-1], tokens.count(token)) == (token, token, 2)
    continued = rendered(http, "around", USER, {"role": "assistant", "content": "Ho"})["tokens"]
    assert (continued[0]["token_id"], continued[-1]["token"]) == (token, "o")
