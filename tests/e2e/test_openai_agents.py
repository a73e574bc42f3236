"""openai-agents with its model of OpenAI's chats, and a model of random weights."""

from typing import Any, Literal

import openai
import pytest

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
