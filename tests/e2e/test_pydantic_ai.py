"""pydantic-ai with its model of OpenAI's chats, and a model of random weights: only the service makes answers valid."""

from typing import Any, Literal

import pytest
from pydantic import BaseModel

from tests.e2e.service import RunningService

pydantic_ai: Any = pytest.importorskip("pydantic_ai", reason="the extra `clients` is not installed")
from pydantic_ai.models.openai import OpenAIChatModel  # noqa: E402
from pydantic_ai.providers.openai import OpenAIProvider  # noqa: E402

pytestmark = [pytest.mark.clients, pytest.mark.filterwarnings("ignore")]  # Its warnings are not ours.


class Place(BaseModel):
    """A place."""

    city: Literal["Rome", "Oslo"]


async def test_agent_returns_an_instance(service: RunningService) -> None:
    """The agent asks for it by a call of a tool, and reads the call's arguments."""
    model = OpenAIChatModel("tiny", provider=OpenAIProvider(base_url=f"{service.url}/v1", api_key="none"))
    agent = pydantic_ai.Agent(model, output_type=Place, model_settings={"max_tokens": 400, "seed": 3})
    answer = await agent.run("Where?")
    assert isinstance(answer.output, Place)
