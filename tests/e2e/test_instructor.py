"""instructor around openai's client, and a model of random weights: only the service makes answers valid."""

from typing import Any, Literal

import openai
import pytest
from pydantic import BaseModel

from tests.e2e.service import RunningService

instructor: Any = pytest.importorskip("instructor", reason="instructor is not installed")

pytestmark = [pytest.mark.clients, pytest.mark.filterwarnings("ignore")]  # Its warnings are not ours.


class Place(BaseModel):
    """A place."""

    city: Literal["Rome", "Oslo"]


@pytest.mark.parametrize("mode", ["TOOLS", "JSON_SCHEMA"])
def test_answer_is_an_instance(service: RunningService, mode: str) -> None:
    """At the first try, whether it is asked for as a tool's call or as a schema."""
    with openai.OpenAI(base_url=f"{service.url}/v1", api_key="none", max_retries=0) as client:
        asking = instructor.from_openai(client, mode=instructor.Mode[mode])
        messages = [{"role": "user", "content": "Where?"}]
        one = {"parallel_tool_calls": False} if mode == "TOOLS" else {}
        asked = {"model": "tiny", "messages": messages, "max_tokens": 400, "seed": 3, **one}
        place = asking.create(**asked, response_model=Place, max_retries=0)
    assert isinstance(place, Place)
