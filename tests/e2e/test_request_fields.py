"""What a request may ask for beside its text, alike on all wires: limits, seeds, times, progress, suffix, prompts."""

import json
from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import openai
import pytest

from llm_inference.v1 import inference_pb2
from tests.e2e.service import RunningService, inference, run_service
from tests.fakes.gguf import INFILL, write_tiny_model

SAID: list[Any] = [{"role": "user", "content": "hello"}]
BODIES: dict[str, dict[str, Any]] = {
    "/api/generate": {"prompt": "hello"},
    "/api/chat": {"messages": SAID},
    "/v1/completions": {"prompt": "hello"},
    "/v1/chat/completions": {"messages": SAID},
}
PATHS = list(BODIES)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A model whose every token depends on the last one alone, and one that fills in the middle; two at a time."""
    directory = tmp_path_factory.mktemp("fields")
    write_tiny_model(directory / "steady.gguf", silent=True, seed=2, context_length=512)
    write_tiny_model(directory / "infill.gguf", special=INFILL, template=None, context_length=512)
    variables = {
        "LLM_ALLOWED_MODELS": "steady=steady.gguf,infill=infill.gguf",
        "LLM_PRELOAD_MODELS": "steady",
        "LLM_MAX_CONCURRENT_REQUESTS": "2",
        "LLM_MAX_QUEUED_REQUESTS": "6",
        "LLM_MAX_TOKENS_LIMIT": "400",
        "LLM_DEFAULT_MAX_TOKENS": "16",
        "LLM_BATCH_TOKENS": "64",
    }
    with run_service(directory, directory, **variables) as running:
        yield running


def ask(http: httpx.Client, path: str, **fields: Any) -> dict[str, Any]:
    """Returns the answer of the steady model, which goes on to its limit."""
    answer = http.post(path, json={"model": "steady", "ignore_eos": True, **BODIES[path], **fields})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def streamed(http: httpx.Client, path: str, **fields: Any) -> list[dict[str, Any]]:
    """Returns the events of a stream, without the last one's [DONE]."""
    more = {"stream": True} if path.startswith("/v1") else {}
    path, body = (path if more else f"{path}/stream"), BODIES[path]
    answer = http.post(path, json={"model": "steady", "ignore_eos": True, **body, **more, **fields})
    assert answer.status_code == 200, answer.text
    data = [frame.removeprefix("data: ") for frame in answer.text.split("\n\n") if frame.startswith("data: ")]
    return [json.loads(text) for text in data if text != "[DONE]"]


def ending(answer: dict[str, Any]) -> dict[str, Any]:
    """Returns the object that has the finish reason."""
    found: dict[str, Any] = answer["choices"][0] if "choices" in answer else answer
    return found


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("asked", "words", "limit"), [(32_000, 1, 400), (300, 30, None), (7, 1, 7), (None, 1, 16)])
def test_max_tokens_are_lowered_to_what_is_possible_and_said(
    http: httpx.Client, path: str, asked: int | None, words: int, limit: int | None
) -> None:
    """The service's limit, the context's rest, what was asked for, the default; whole and streamed, on all wires."""
    text = "hello, hello " * words
    body = {"prompt": text} if "prompt" in BODIES[path] else {"messages": [{"role": "user", "content": text}]}
    fields = body if asked is None else {**body, "max_tokens": asked}
    whole, last = ask(http, path, **fields), streamed(http, path, **fields)[-1]
    limit = limit or 512 - whole["usage"]["prompt_tokens"]
    for answer in (whole, last):
        assert ending(answer)["finish_reason"].lower() == "length"
        assert ending(answer)["max_tokens"] == limit
    assert whole["usage"]["completion_tokens"] == limit


def test_minus_one_is_no_limit_of_the_callers(http: httpx.Client) -> None:
    """As llama.cpp's users write it; without a sign it is the largest number."""
    assert ask(http, "/v1/completions", max_tokens=-1)["usage"]["completion_tokens"] == 400
    assert ask(http, "/v1/chat/completions", n_predict=-1)["usage"]["completion_tokens"] == 400
    assert ask(http, "/api/generate", max_tokens=2**32 - 1)["usage"]["completion_tokens"] == 400


@pytest.mark.parametrize("seed", [2**63 - 1, 2**40, -7])
def test_seed_of_64_bits_is_taken_and_the_one_that_was_used_is_said(http: httpx.Client, seed: int) -> None:
    """It gives the same text again, also through the typed API, whose seeds have 32 bits."""
    found = ask(http, "/v1/completions", seed=seed)
    assert found["seed"] == seed % (2**32 - 1)
    again = ask(http, "/v1/completions", seed=found["seed"])
    assert again["choices"][0]["text"] == found["choices"][0]["text"]
    assert ask(http, "/api/generate", seed=found["seed"])["text"] == found["choices"][0]["text"]
    assert {event["seed"] for event in streamed(http, "/v1/completions", seed=seed)} == {found["seed"]}


@pytest.mark.parametrize("path", PATHS)
def test_times_are_said_where_they_are_asked_for(http: httpx.Client, path: str) -> None:
    """Computed tokens, milliseconds and rates, in whole answers and at a stream's end."""
    counts = ("prompt_n", "predicted_n") if path.startswith("/v1") else ("prompt_tokens", "completion_tokens")
    for answer in (ask(http, path, timings=True), streamed(http, path, timings=True)[-1]):
        times = answer["timings"]
        assert times[counts[0]] >= 1
        assert times[counts[1]] == 16
        assert all(value >= 0 for value in times.values())
        assert times["prompt_ms"] > 0
    assert "timings" not in ask(http, path)


@pytest.mark.parametrize("path", PATHS)
def test_each_step_of_a_prompt_is_reported_where_that_is_asked_for(http: httpx.Client, path: str) -> None:
    """Before the text, up to the whole prompt; 64 tokens are computed at a time."""
    text = f"{path} " * 20
    body = {"prompt": text} if "prompt" in BODIES[path] else {"messages": [{"role": "user", "content": text}]}
    events = streamed(http, path, **body, return_progress=True)
    name, total, done = "progress", "prompt_tokens", "computed_tokens"
    if path.startswith("/v1"):
        name, total, done = "prompt_progress", "total", "processed"
    reports = [event[name] for event in events if name in event]
    assert [name in event for event in events] == [True] * len(reports) + [False] * (len(events) - len(reports))
    assert len(reports) >= 2
    computed = [report[done] for report in reports]
    assert computed == sorted(set(computed))
    assert computed[-1] == reports[-1][total]
    if path.startswith("/v1"):
        assert all(len(event["choices"]) == 1 for event in events)


def test_several_prompts_have_their_choices_in_one_answer(http: httpx.Client) -> None:
    """n for each, numbered through; more of them than the model computes at once take turns."""
    prompts = ["a", "b", "c", "d", "e"]
    fields = {"seed": 5, "max_tokens": 4}
    found = ask(http, "/v1/completions", prompt=prompts, n=2, **fields)
    assert [choice["index"] for choice in found["choices"]] == list(range(10))
    assert found["usage"]["prompt_tokens"] == 5
    assert found["usage"]["completion_tokens"] == 40
    for place, prompt in enumerate(prompts):
        alone = ask(http, "/v1/completions", prompt=prompt, n=2, **fields)
        together = found["choices"][2 * place : 2 * place + 2]
        assert [choice["text"] for choice in alone["choices"]] == [choice["text"] for choice in together]
    texts = [""] * 10
    events = streamed(http, "/v1/completions", prompt=prompts, n=2, **fields)
    for event in events:
        texts[event["choices"][0]["index"]] += event["choices"][0]["text"]
    assert texts == [choice["text"] for choice in found["choices"]]
    assert len([event for event in events if event["choices"][0]["finish_reason"]]) == 10


def test_prompts_may_be_token_ids(http: httpx.Client) -> None:
    """Those that the tokenizer gives have the text's answer."""
    tokens = [
        token["token_id"]
        for token in http.post("/api/tokenize", json={"model": "steady", "text": "hello"}).json()["tokens"]
    ]
    text, ids = (ask(http, "/v1/completions", prompt=prompt, seed=5) for prompt in ("hello", tokens))
    assert ids["choices"][0]["text"] == text["choices"][0]["text"]
    two = ask(http, "/v1/completions", prompt=[tokens, [5]], seed=5)
    assert two["choices"][0]["text"] == text["choices"][0]["text"]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": "x" * 5000}, "prompt"),
        ({"prompt": ["a", "x" * 600]}, "prompt[1]"),
        ({"prompt": ["a", "x" * 5000], "stream": True}, "prompt[1]"),
        ({"prompt": [[5], [1 << 20]]}, "prompt[1]"),
        ({"n": 9}, "n"),
        ({"suffix": "x"}, "suffix"),
    ],
)
def test_prompt_that_cannot_be_computed_is_named(service: RunningService, fields: dict[str, Any], param: str) -> None:
    """One of several by its number."""
    with openai.OpenAI(base_url=f"{service.url}/v1", api_key="none", max_retries=0) as client:
        with pytest.raises(openai.APIError) as found:
            list(client.completions.create(**{"model": "steady", "prompt": "a", "max_tokens": 1, **fields}))
        assert found.value.param == param


def test_more_answers_than_are_computed_at_once_take_turns(http: httpx.Client) -> None:
    """n is bounded by what may wait, not by what is computed at once."""
    assert len(ask(http, "/v1/chat/completions", n=8)["choices"]) == 8


def test_empty_prompt_begins_a_text(http: httpx.Client) -> None:
    """From the token that begins or separates texts, as at OpenAI."""
    assert ask(http, "/v1/completions", prompt="")["usage"]["prompt_tokens"] == 1


def test_suffix_is_computed_by_models_that_know_it(http: httpx.Client, channel: grpc.Channel) -> None:
    """Three tokens more than the two texts have; with /v1, REST and gRPC."""
    completion = {"model": "infill", "prompt": "ab", "suffix": "cde", "max_tokens": 4}
    for path in ("/v1/completions", "/api/generate"):
        assert ask(http, path, **completion)["usage"]["prompt_tokens"] == 8
        assert ask(http, path, **{**completion, "prompt": ""})["usage"]["prompt_tokens"] == 6
        assert ask(http, path, **{**completion, "suffix": ""})["usage"]["prompt_tokens"] == 2
    asked = inference_pb2.GenerateRequest(**completion, ignore_eos=True, temperature=0)
    assert inference(channel).Generate(asked).usage.prompt_tokens == 8


@pytest.mark.parametrize("path", PATHS)
def test_bias_by_text_decides(http: httpx.Client, path: str) -> None:
    """Its tokens win over all others."""
    field = "logit_bias" if path.startswith("/v1") else "logit_bias_texts"
    found = json.dumps(ask(http, path, temperature=0, max_tokens=4, **{field: {"Q": 100}}))
    assert "QQQQ" in found


def test_logprobs_of_a_completion_cover_its_text(http: httpx.Client) -> None:
    """Bytes of any kind: no offset is beyond the text, and the sampled token is always there."""
    for seed in range(5):
        (choice,) = ask(http, "/v1/completions", logprobs=2, seed=seed, temperature=1.5, max_tokens=40)["choices"]
        found = choice["logprobs"]
        assert all(0 <= offset <= len(choice["text"]) for offset in found["text_offset"])
        assert found["text_offset"] == sorted(found["text_offset"])
        for token, top in zip(found["tokens"], found["top_logprobs"], strict=True):
            assert token in top
            assert "\ufffd" not in top
