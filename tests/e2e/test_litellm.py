"""LiteLLM as a client, with a model of random weights: only the service can make its answers valid."""

import json
import os
from typing import Any, Literal

import jsonschema
import pytest
from pydantic import BaseModel

from tests.e2e.service import RunningService

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # It would ask the network for prices while it is imported.
litellm: Any = pytest.importorskip("litellm", reason="the extra `clients` is not installed")

pytestmark = [pytest.mark.clients, pytest.mark.filterwarnings("ignore")]  # Its warnings are not ours.

SAID = [{"role": "user", "content": "hello"}]
SCHEMA = {
    "type": "object",
    "properties": {"city": {"enum": ["Rome", "Oslo"]}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOLS = [{"type": "function", "function": {"name": "weather", "description": "Says it", "parameters": SCHEMA}}]


class Place(BaseModel):
    """A place."""

    city: Literal["Rome", "Oslo"]


@pytest.fixture
def options(service: RunningService) -> dict[str, Any]:
    return {"model": "openai/tiny", "api_base": f"{service.url}/v1", "api_key": "none", "num_retries": 0}


def chat(options: dict[str, Any], **more: Any) -> Any:
    return litellm.completion(**{**options, "messages": SAID, "max_tokens": 8, "temperature": 0.5, "seed": 3, **more})


def test_answer_has_text_usage_and_reason(options: dict[str, Any]) -> None:
    """What LiteLLM reads of an answer is there."""
    answer = chat(options)
    assert answer.usage.completion_tokens <= 8
    assert answer.choices[0].finish_reason in ("length", "stop")
    assert answer.choices[0].message.content == chat(options).choices[0].message.content


def test_stream_adds_up(options: dict[str, Any]) -> None:
    """The chunks are the whole answer, with the usage where it is asked for."""
    chunks = list(chat(options, stream=True, stream_options={"include_usage": True}))
    built = litellm.stream_chunk_builder(chunks, messages=SAID)
    whole = chat(options)
    assert built.choices[0].message.content == whole.choices[0].message.content
    assert built.usage.completion_tokens == whole.usage.completion_tokens


async def test_asynchronous_stream(options: dict[str, Any]) -> None:
    """The other client."""
    stream = await litellm.acompletion(**options, messages=SAID, max_tokens=4, stream=True)
    assert [chunk async for chunk in stream]


def test_structured_output_is_an_instance(options: dict[str, Any]) -> None:
    """From a class, which LiteLLM turns into a schema."""
    answer = chat(options, response_format=Place, max_tokens=400)
    Place.model_validate_json(answer.choices[0].message.content)


@pytest.mark.parametrize("stream", [False, True])
def test_tool_is_called(options: dict[str, Any], *, stream: bool) -> None:
    """A call has valid arguments, whole or put together from a stream, and can be answered."""
    fields = {"tools": TOOLS, "tool_choice": "required", "parallel_tool_calls": False, "max_tokens": 400}
    answer = chat(options, **fields, stream=stream)
    if stream:
        answer = litellm.stream_chunk_builder(list(answer), messages=SAID)
    message = answer.choices[0].message
    (call,) = message.tool_calls
    jsonschema.validate(json.loads(call.function.arguments), SCHEMA)
    result = {"role": "tool", "tool_call_id": call.id, "name": "weather", "content": "sunny"}
    assert chat(options, messages=[*SAID, message.model_dump(), result], tools=TOOLS, tool_choice="none")


def test_errors_have_their_classes(options: dict[str, Any]) -> None:
    """LiteLLM tells them apart by status, code and text."""
    with pytest.raises(litellm.ContextWindowExceededError):
        chat(options, messages=[{"role": "user", "content": "x" * 5000}])
    with pytest.raises(litellm.NotFoundError):
        chat(options, model="openai/other")
    with pytest.raises(litellm.BadRequestError, match="temperature"):
        chat(options, temperature=3)


def test_completion_of_a_prompt(options: dict[str, Any]) -> None:
    """The older endpoint."""
    fields = {**options, "model": "text-completion-openai/tiny"}
    answer = litellm.text_completion(**fields, prompt="hello", max_tokens=4, extra_body={"ignore_eos": True})
    assert answer.usage.completion_tokens == 4


def test_embeddings(options: dict[str, Any]) -> None:
    """Vectors of texts."""
    answer = litellm.embedding(**options, input=["hello", "good bye"])
    assert [len(item["embedding"]) for item in answer.data] == [64, 64]
