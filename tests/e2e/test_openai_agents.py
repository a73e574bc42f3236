"""openai-agents with its models of OpenAI's chats and responses, and a model of random weights."""

from collections.abc import AsyncIterator
from typing import Any, Literal

import openai
import pytest
from pydantic import BaseModel

from tests.e2e.service import RunningService

agents: Any = pytest.importorskip("agents", reason="the extra `clients` is not installed")

pytestmark = [pytest.mark.clients, pytest.mark.filterwarnings("ignore")]  # Its warnings are not ours.


async def test_agent_calls_its_tool_and_answers(service: RunningService) -> None:
    """A forced call, its result, and the answer that follows it, over two requests."""
    agents.set_tracing_disabled(True)
    called: list[str] = []

    @agents.function_tool
    def weather(city: Literal["Rome", "Oslo"]) -> str:
        """Says the weather."""
        called.append(city)
        return "sunny"

    settings = agents.ModelSettings(
        max_tokens=400, tool_choice="required", parallel_tool_calls=False, extra_body={"seed": 3}
    )
    async with openai.AsyncOpenAI(base_url=f"{service.url}/v1", api_key="none", max_retries=0) as client:
        agent = agents.Agent(
            name="tiny",
            instructions="Be brief.",
            model=agents.OpenAIChatCompletionsModel(model="tiny", openai_client=client),
            model_settings=settings,
            tools=[weather],
        )
        answer = await agents.Runner.run(agent, "What is the weather?", max_turns=3)
    assert called
    assert isinstance(answer.final_output, str)


class Weather(BaseModel):
    """What the agent answers; a model of random weights ends no text by itself."""

    is_sunny: bool


@pytest.fixture
async def default(service: RunningService) -> AsyncIterator[Any]:
    """How agents run whose model is left to openai-agents, which chooses the Responses API."""
    agents.set_tracing_disabled(True)
    async with openai.AsyncOpenAI(base_url=f"{service.url}/v1", api_key="none", max_retries=0) as client:
        yield agents.RunConfig(model_provider=agents.OpenAIProvider(openai_client=client))


async def test_agent_by_default_calls_its_tool_whole_and_streamed(default: Any) -> None:
    """Forced calls, whose results are the answers."""
    called: list[str] = []

    @agents.function_tool
    def weather(city: Literal["Rome", "Oslo"]) -> str:
        """Says the weather."""
        called.append(city)
        return "sunny"

    settings = agents.ModelSettings(
        max_tokens=400, tool_choice="required", parallel_tool_calls=False, extra_body={"seed": 3}
    )
    agent = agents.Agent(
        name="tiny",
        instructions="Be brief.",
        model="tiny",
        model_settings=settings,
        tools=[weather],
        tool_use_behavior="stop_on_first_tool",
    )
    whole = await agents.Runner.run(agent, "What is the weather?", run_config=default)
    streamed = agents.Runner.run_streamed(agent, "What is the weather?", run_config=default)
    assert [event async for event in streamed.stream_events()]
    assert whole.final_output == streamed.final_output == "sunny"
    assert called == [called[0]] * 2


async def test_agent_by_default_goes_on_from_its_last_response(default: Any) -> None:
    """The service has the conversation."""
    agent = agents.Agent(name="tiny", model="tiny", output_type=Weather)
    first = await agents.Runner.run(agent, "What is the weather?", run_config=default)
    second = await agents.Runner.run(agent, "And now?", run_config=default, previous_response_id=first.last_response_id)
    assert isinstance(second.final_output, Weather)
    (usage,) = (response.usage for response in second.raw_responses)
    assert usage.input_tokens > first.raw_responses[0].usage.input_tokens
