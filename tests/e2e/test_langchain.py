"""LangChain's client of OpenAI's API, with a model of random weights: only the service can make its answers valid."""

from typing import Any, Literal

import openai
import pytest
from pydantic import BaseModel, Field

from tests.e2e.service import RunningService

langchain_openai: Any = pytest.importorskip("langchain_openai", reason="the extra `clients` is not installed")
from langchain_core.exceptions import ContextOverflowError  # noqa: E402
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage  # noqa: E402

pytestmark = [pytest.mark.clients, pytest.mark.filterwarnings("ignore")]  # Their warnings are not ours.

SAID = [SystemMessage("Be brief."), HumanMessage("hello")]


class Weather(BaseModel):
    """Says the weather."""

    city: Literal["Rome", "Oslo"]
    days: int = Field(ge=1, le=9)


@pytest.fixture
def options(service: RunningService) -> dict[str, Any]:
    return {"base_url": f"{service.url}/v1", "api_key": "none", "model": "tiny", "max_retries": 0, "timeout": 60}


def chat(options: dict[str, Any], **more: Any) -> Any:
    return langchain_openai.ChatOpenAI(**{**options, "max_tokens": 8, "temperature": 0.5, "seed": 3, **more})


def test_answer_has_text_usage_and_reason(options: dict[str, Any]) -> None:
    """What LangChain reads of an answer is there, and the seed is honoured."""
    answer = chat(options).invoke(SAID)
    assert answer.usage_metadata["output_tokens"] <= 8
    assert answer.response_metadata["finish_reason"] in ("length", "stop")
    assert answer.response_metadata["model_name"] == "tiny"
    assert answer.content == chat(options).invoke(SAID).content


def test_stream_adds_up(options: dict[str, Any]) -> None:
    """The chunks' sum is the whole answer, with the usage where it is asked for."""
    total: Any = None
    for chunk in chat(options, stream_usage=True).stream(SAID):
        total = chunk if total is None else total + chunk
    whole = chat(options).invoke(SAID)
    assert total.content == whole.content
    assert total.usage_metadata["total_tokens"] == whole.usage_metadata["total_tokens"]


async def test_asynchronous_calls_work_side_by_side(options: dict[str, Any]) -> None:
    """The other client, in a batch."""
    answers = await chat(options).abatch([SAID, SAID])
    assert answers[0].content == answers[1].content


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
@pytest.mark.parametrize("strict", [None, True])
def test_structured_output_is_an_instance(options: dict[str, Any], method: str, *, strict: bool | None) -> None:
    """Whatever a model of random weights says is one."""
    model = chat(options, max_tokens=400).with_structured_output(Weather, method=method, strict=strict)
    assert isinstance(model.invoke(SAID), Weather)


def test_tool_is_called_and_its_result_goes_back(options: dict[str, Any]) -> None:
    """The whole round: a call, its result, the answer."""
    model = chat(options, max_tokens=400)
    called = model.bind_tools([Weather], tool_choice="any", parallel_tool_calls=False).invoke(SAID)
    (call,) = called.tool_calls
    assert (call["name"], call["type"]) == ("Weather", "tool_call")
    Weather(**call["args"])
    result = ToolMessage("sunny", tool_call_id=call["id"])
    answer = chat(options).bind_tools([Weather], tool_choice="none").invoke([*SAID, called, result])
    assert isinstance(answer, AIMessage)


def test_tool_call_streams(options: dict[str, Any]) -> None:
    """The chunks of a call add up to it."""
    total: Any = None
    model = chat(options, max_tokens=400).bind_tools([Weather], tool_choice="Weather", parallel_tool_calls=False)
    for chunk in model.stream(SAID):
        total = chunk if total is None else total + chunk
    (call,) = total.tool_calls
    Weather(**call["args"])


def test_logprobs_come_with_the_answer(options: dict[str, Any]) -> None:
    """As OpenAI's."""
    answer = chat(options, logprobs=True, top_logprobs=2).invoke(SAID)
    assert len(answer.response_metadata["logprobs"]["content"][0]["top_logprobs"]) == 2


def test_error_names_the_parameter(options: dict[str, Any]) -> None:
    """What is refused, is so under LangChain too."""
    with pytest.raises(openai.BadRequestError) as found:
        chat(options, temperature=3).invoke(SAID)
    assert found.value.param == "temperature"


def test_prompt_beyond_the_context_has_its_class(options: dict[str, Any]) -> None:
    """Chains that shorten what they send wait for this one."""
    with pytest.raises(ContextOverflowError):
        chat(options).invoke("x" * 5000)


def test_embeddings(options: dict[str, Any]) -> None:
    """Texts go as texts where the client is told not to count OpenAI's tokens."""
    embeddings = langchain_openai.OpenAIEmbeddings(**options, check_embedding_ctx_length=False)
    first, second = embeddings.embed_documents(["hello", "good bye"])
    assert len(first) == len(second) == 64
    assert embeddings.embed_query("hello") == pytest.approx(first, abs=1e-6)
