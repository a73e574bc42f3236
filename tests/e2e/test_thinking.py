"""Thinking is switched, graded, limited and counted, over all wires, by a model that writes a script."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import httpx
import openai
import pytest
from google.protobuf.json_format import ParseDict

from llm_inference.v1 import inference_pb2, models_pb2, tokens_pb2_grpc
from tests.e2e.service import RunningService, as_dict, inference, models, run_service
from tests.fakes.scripted_model import write_scripted_model

TEMPLATE = """
{%- for message in messages %}{{ '<|' + message.role + '|>' + message.content + '<|end|>' }}{% endfor %}
{%- if style is defined %}{{ '<|style|>' + style }}{% endif %}
{%- if reasoning_effort is defined %}
    {%- if reasoning_effort not in ['low', 'high'] %}{{ raise_exception('no such effort') }}{% endif %}
    {%- if reasoning_effort == 'high' %}{{ '<|high|>' }}{% endif %}
{%- endif %}
{%- if add_generation_prompt %}
    {{- '<|assistant|>' }}
    {%- if enable_thinking is defined and not enable_thinking %}{{ '<think></think>' }}{% endif %}
{%- endif %}"""
THOUGHTS, ANSWER = ("Rain", " falls", " on", " it"), ("It", " rains", " now")
HARD = ("Clouds", " come", " first")
SPECIAL = ("<|end|>", "<|system|>", "<|user|>", "<|assistant|>", "<|high|>", "<|style|>", "<think>", "</think>")
MESSAGES = [{"role": "user", "content": "Why does it rain so often here, and when will it stop?"}]
Fields = dict[str, Any]
Ask = Callable[[Fields], Fields]


def write_thinker(path: Path, template: str = TEMPLATE, hard: Sequence[str] = THOUGHTS) -> None:
    """Writes a model that thinks before its answer; `hard` are its thoughts where much effort is asked for."""
    write_scripted_model(
        path,
        template=template,
        start="<|assistant|>",
        end="<|end|>",
        otherwise=" it",
        special=SPECIAL,
        scripts=tuple(("<think>", *thoughts, "</think>", *ANSWER) for thoughts in (THOUGHTS, hard)),
        sign="<|high|>",
    )


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service with a model that thinks as it is told, and one that cannot be told."""
    directory = tmp_path_factory.mktemp("thinking")
    for name, template in (("told", TEMPLATE), ("free", TEMPLATE.partition("{%- if style")[0] + FREE_END)):
        write_thinker(directory / f"{name}.gguf", template, HARD)
    allowed = {"LLM_ALLOWED_MODELS": "told=told.gguf,free=free.gguf", "LLM_PRELOAD_MODELS": "told,free"}
    with run_service(directory, directory, **allowed) as running:
        yield running


FREE_END = "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"


def typed(service: RunningService, fields: Fields) -> Fields:
    with grpc.insecure_channel(service.address) as channel:
        return as_dict(inference(channel).Chat(request_of(fields)))


def typed_stream(service: RunningService, fields: Fields) -> Fields:
    with grpc.insecure_channel(service.through_envoy) as channel:
        return added([as_dict(part) for part in inference(channel).ChatStream(request_of(fields))])


def request_of(fields: Fields) -> inference_pb2.ChatRequest:
    return ParseDict({"model": "told", "temperature": 0, "messages": MESSAGES, **fields}, inference_pb2.ChatRequest())


def rest(service: RunningService, fields: Fields) -> Fields:
    body = {"model": "told", "temperature": 0, "messages": MESSAGES, **fields}
    return dict(httpx.post(f"{service.url}/api/chat", json=body, timeout=60).raise_for_status().json())


def rest_stream(service: RunningService, fields: Fields) -> Fields:
    body = {"model": "told", "temperature": 0, "messages": MESSAGES, **fields}
    answer = httpx.post(f"{service.url}/api/chat/stream", json=body, timeout=60).raise_for_status()
    return added([json.loads(line[5:]) for line in answer.text.splitlines() if line.startswith("data:")])


def added(parts: list[Fields]) -> Fields:
    """Returns what a stream's parts add up to."""
    deltas = [part["delta"] for part in parts if "delta" in part]
    message = {name: "".join(d.get(name, "") for d in deltas) for name in ("reasoning_content", "content")}
    return {"message": message, "usage": parts[-1]["usage"]}


def openais(service: RunningService, fields: Fields) -> Fields:
    with client(service) as asking:
        found = complete(asking, fields).model_dump()
    message = found["choices"][0]["message"]
    reasoning_tokens = found["usage"]["completion_tokens_details"]["reasoning_tokens"]
    return {"message": message, "usage": {"reasoning_tokens": reasoning_tokens}}


def openais_stream(service: RunningService, fields: Fields) -> Fields:
    message: Fields = {"reasoning_content": "", "content": ""}
    usage = None
    with client(service) as asking:
        for chunk in complete(asking, fields, stream=True, stream_options={"include_usage": True}):
            usage = chunk.usage or usage
            for choice in chunk.choices:
                message["content"] += choice.delta.content or ""
                message["reasoning_content"] += getattr(choice.delta, "reasoning_content", None) or ""
    assert usage
    return {"message": message, "usage": {"reasoning_tokens": usage.completion_tokens_details.reasoning_tokens}}


def client(service: RunningService) -> openai.OpenAI:
    """Returns OpenAI's client, which does not retry."""
    return openai.OpenAI(base_url=f"{service.url}/v1", api_key="none", max_retries=0, timeout=60)


def complete(asking: openai.OpenAI, fields: Fields, **more: Any) -> Any:
    body: Any = {"model": "told", "temperature": 0, "messages": MESSAGES, **more}
    return asking.chat.completions.create(**body, extra_body=fields)


WIRES = (typed, typed_stream, rest, rest_stream, openais, openais_stream)


@pytest.fixture(params=WIRES, ids=lambda wire: wire.__name__)
def ask(request: pytest.FixtureRequest, service: RunningService) -> Ask:
    """Sends a chat with these fields, and returns message and usage."""
    return lambda fields: request.param(service, fields)


CASES: list[tuple[Fields, str, int]] = [
    ({}, "".join(THOUGHTS), 6),
    ({"thinking": True}, "".join(THOUGHTS), 6),
    ({"thinking": False}, "", 0),
    ({"reasoning_effort": "none"}, "", 0),
    ({"reasoning_effort": "low"}, "".join(THOUGHTS), 6),
    ({"reasoning_effort": "high"}, "".join(HARD), 5),
    ({"thinking_budget": 2}, "Rain falls", 4),
    ({"thinking_budget": 4}, "".join(THOUGHTS), 6),
    ({"thinking_budget": 0}, "", 0),
    ({"chat_template_kwargs": {"enable_thinking": False}}, "", 0),
    ({"chat_template_kwargs": {"style": "brief"}}, "".join(THOUGHTS), 6),
]


@pytest.mark.parametrize(("fields", "thoughts", "tokens"), CASES, ids=json.dumps)
def test_a_chat_is_told_how_much_to_think(ask: Ask, fields: Fields, thoughts: str, tokens: int) -> None:
    """Thoughts are those of the request's fields; usage counts their tokens and those of the markers."""
    found = ask(fields)
    assert (found["message"].get("reasoning_content") or "") == thoughts
    assert found["message"]["content"] == "".join(ANSWER)
    assert found["usage"].get("reasoning_tokens", 0) == tokens


OPENAIS = [
    {"enable_thinking": False},
    {"reasoning": {"enabled": False}},
    {"reasoning": {"effort": "none"}},
    {"thinking": {"type": "disabled"}},
    {"reasoning_budget_tokens": 0},
    {"chat_template_kwargs": {"thinking": False}},
]


@pytest.mark.parametrize("fields", OPENAIS, ids=json.dumps)
def test_other_servers_names_turn_thinking_off(service: RunningService, fields: Fields) -> None:
    """On `/v1`, the names of vLLM, Qwen, OpenRouter, DeepSeek and llama.cpp mean the same."""
    assert openais(service, fields)["message"].get("reasoning_content") is None


@pytest.mark.parametrize("wire", [openais, openais_stream])
def test_thoughts_are_left_out_where_they_are_not_wanted(service: RunningService, wire: Any) -> None:
    """They are still counted."""
    found = wire(service, {"include_reasoning": False})
    assert not found["message"].get("reasoning_content")
    assert (found["message"]["content"], found["usage"]["reasoning_tokens"]) == ("".join(ANSWER), 6)


def test_each_answer_has_its_own_budget(service: RunningService) -> None:
    """With `n`, each answer's thoughts are closed, and the usage is that of all."""
    found = typed(service, {"n": 2, "thinking_budget": 1})
    others = found["alternatives"]["answers"]
    assert [each["message"]["reasoning_content"] for each in (found, *others)] == ["Rain", "Rain"]
    assert found["usage"]["reasoning_tokens"] == 6


@pytest.mark.parametrize("budget", [{}, {"thinking_budget": 1}], ids=["free", "limited"])
def test_stop_strings_logprobs_and_constraints_concern_the_answer(service: RunningService, budget: Fields) -> None:
    """A stop string in the thoughts is none, log probabilities are those of the content, and so is the constraint."""
    stopped = typed(service, {"stop": ["Rain", " rains"], **budget})["message"]
    assert (stopped["reasoning_content"][:4], stopped["content"]) == ("Rain", "It")
    scored = typed(service, {"logprobs": True, **budget})
    assert [token["token"] for token in scored["logprobs"]["tokens"]][: len(ANSWER)] == [*ANSWER]
    chosen = typed(service, {"choice": {"texts": ["It rains now", "No"]}, **budget})
    assert chosen["message"]["reasoning_content"] == ("Rain" if budget else "".join(THOUGHTS))
    assert chosen["message"]["content"] == "It rains now"
    schema = json.dumps({"enum": ["It"]})
    followed = typed(service, {"json_schema": schema, **budget})["message"]
    assert followed["content"] == '"It"'


REFUSED: list[tuple[str, Fields, str, str]] = [
    ("told", {"reasoning_effort": "max"}, "reasoning_effort", "low or high"),
    ("told", {"chat_template_kwargs": {"messages": []}}, "chat_template_kwargs.messages", "set by the service"),
    ("told", {"chat_template_kwargs": {"colour": "red"}}, "chat_template_kwargs.colour", "not read"),
    ("told", {"thinking": True, "reasoning_effort": "none"}, "reasoning_effort", "contradicts thinking"),
    ("told", {"thinking": True, "thinking_budget": 0}, "thinking_budget", "contradicts thinking"),
    (
        "told",
        {"thinking": True, "chat_template_kwargs": {"enable_thinking": False}},
        "chat_template_kwargs.enable_thinking",
        "contradicts thinking",
    ),
    ("free", {"thinking": False}, "thinking", "no switch"),
    ("free", {"thinking": True}, "thinking", "no switch"),
    ("free", {"reasoning_effort": "low"}, "reasoning_effort", "no switch"),
]


@pytest.mark.parametrize(("model", "fields", "field", "problem"), REFUSED)
@pytest.mark.parametrize("path", ["/api/chat", "/api/chat/render", "/v1/chat/completions"])
def test_what_the_template_does_not_know_is_refused(  # noqa: PLR0917 - a case, on a path
    service: RunningService, path: str, model: str, fields: Fields, field: str, problem: str
) -> None:
    """The error names the field, and what the template knows."""
    answer = httpx.post(service.url + path, json={"model": model, "messages": MESSAGES, **fields}, timeout=60)
    assert answer.status_code == 400
    assert field in answer.text
    assert problem in answer.text


def test_a_budget_closes_thoughts_that_cannot_be_switched(service: RunningService) -> None:
    """A budget of 0 closes them where they open."""
    found = typed(service, {"model": "free", "thinking_budget": 0})
    assert "reasoning_content" not in found["message"]
    assert (found["message"]["content"], found["usage"]["reasoning_tokens"]) == ("".join(ANSWER), 2)


def test_render_shows_what_the_template_makes_of_it(service: RunningService) -> None:
    """RenderChat has the same fields as Chat; texts of special tokens in them stay text."""
    fields = {"thinking": False, "reasoning_effort": None, "chat_template_kwargs": {"style": "<|end|>"}}
    with grpc.insecure_channel(service.address) as channel:
        request = request_of({name: value for name, value in fields.items() if value is not None})
        found = tokens_pb2_grpc.TokenServiceStub(channel).RenderChat(request)
    assert found.prompt.endswith("<|style|><|end|><|assistant|><think></think>")
    assert [token.token for token in found.tokens].count("<|end|>") == 1


def test_models_tell_what_can_be_said_of_thinking(service: RunningService) -> None:
    """ListModels has the switch, the efforts and the default; `/v1/models` has the same."""
    with grpc.insecure_channel(service.address) as channel:
        listed = models(channel).ListModels(models_pb2.ListModelsRequest()).models
    found = {model.id: model.info.thinking for model in listed}
    assert as_dict(found["told"]) == {"can_be_off": True, "efforts": ["low", "high"], "by_default": True}
    assert as_dict(found["free"]) == {}
    told = httpx.get(f"{service.url}/v1/models/told", timeout=60).json()
    assert told["thinking"] == {"can_be_off": True, "efforts": ["low", "high"], "by_default": True}


def test_log_and_metrics_count_them(service: RunningService) -> None:
    """The call's line has the tokens of thoughts beside the others, and so has the counter."""
    before = service.metric("reasoning_tokens_total", model="told")
    rest(service, {})
    assert service.metric("reasoning_tokens_total", model="told") - before == 6
    lines = [line for line in service.log().splitlines() if "/Chat" in line or "/api/chat" in line]
    assert any("reasoning_tokens" in line for line in lines), lines[-3:]


@pytest.mark.clients
@pytest.mark.filterwarnings("ignore")  # Its warnings are not ours.
def test_anthropics_client_gets_thoughts(service: RunningService) -> None:
    """As blocks before the text, whole and streamed, and none where it wants none."""
    anthropic: Any = pytest.importorskip("anthropic", reason="the extra `clients` is not installed")
    fields = {"model": "told", "max_tokens": 100, "messages": [{"role": "user", "content": "Why?"}]}
    fields["extra_body"] = {"temperature": 0}
    with anthropic.Anthropic(base_url=service.url, api_key="none", max_retries=0, timeout=60) as client:
        whole = client.messages.create(**fields)
        with client.messages.stream(**fields) as stream:
            streamed = stream.get_final_message()
        silent = client.messages.create(**fields, thinking={"type": "disabled"}, output_config={"effort": "high"})
    for answer in (whole, streamed):
        assert [getattr(block, block.type) for block in answer.content] == ["".join(THOUGHTS), "".join(ANSWER)]
    assert [block.type for block in silent.content] == ["text"]
