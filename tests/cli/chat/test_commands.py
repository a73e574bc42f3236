"""What the commands of a conversation do."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from llm_inference_api.cli.chat.answer import PartialAnswer
from llm_inference_api.cli.chat.commands import ChatState, run_command
from llm_inference_api.cli.chat.conversation import Conversation
from llm_inference_api.cli.chat.parameters import ChatError
from llm_inference_api.cli.connection import connect
from tests.fakes.chat_service import ChatService


class Talk(ChatState):
    """A conversation with what was said to the person."""

    def __init__(self, client: object) -> None:
        self.said: list[str] = []
        turns = [("user", "Hi"), ("assistant", "Hello")]
        super().__init__(client, Conversation("first", turns=turns), self.said.append)  # type: ignore[arg-type]

    async def run(self, line: str) -> str:
        """Returns what a command says."""
        self.said.clear()
        assert await run_command(self, line)
        return "\n".join(self.said)


@pytest.fixture
async def talk() -> AsyncIterator[Talk]:
    """A conversation with a service of three models."""
    with ChatService().serve() as address:
        async with connect(address) as client:
            yield Talk(client)


async def test_help_lists_every_command(talk: Talk) -> None:
    """With its arguments."""
    text = await talk.run("/help")
    for command in ("/model [ID]", "/system", "/set", "/clear", "/save", "/load FILE", "/stats", "/exit", "Ctrl-C"):
        assert command in text


async def test_model_is_listed_and_changed(talk: Talk) -> None:
    """One that is not there, or does not chat, is refused by name."""
    assert "* first  ACTIVE" in await talk.run("/model")
    await talk.run("/model second")
    assert talk.conversation.model == "second"
    with pytest.raises(ChatError, match="'none' is not served here; there are vectors, first, second"):
        await talk.run("/model none")
    with pytest.raises(ChatError, match="generates no text"):
        await talk.run("/model vectors")
    assert talk.conversation.model == "second"


async def test_system_prompt_is_set_shown_and_removed(talk: Talk) -> None:
    """It stands before what was said."""
    assert await talk.run("/system") == "There is no system prompt."
    await talk.run("/system Be  short.\nAlways.")
    assert talk.conversation.messages[0] == ("system", "Be  short.\nAlways.")
    assert await talk.run('/system ""') == "There is no system prompt."
    assert talk.conversation.messages[0] == ("user", "Hi")


async def test_parameters_are_set_shown_and_removed(talk: Talk) -> None:
    """Those of the next request."""
    await talk.run("/set temperature 0.2")
    await talk.run("/set stop the end")
    assert await talk.run("/set") == "temperature 0.2\nstop 'the end'"
    assert talk.conversation.request == {"model": "first", "temperature": 0.2, "stop": ["the end"]}
    assert await talk.run("/set temperature default") == "temperature is the service's default."
    assert "temperature" not in talk.conversation.request


async def test_clear_forgets_what_was_said_alone(talk: Talk) -> None:
    """System prompt and parameters stay."""
    await talk.run("/system S")
    await talk.run("/set seed 1")
    await talk.run("/clear")
    assert talk.conversation.messages == [("system", "S")]
    assert talk.conversation.parameters == {"seed": 1}


async def test_conversation_is_saved_and_loaded(talk: Talk, tmp_path: Path) -> None:
    """Once it has a file, /save needs no name."""
    path = tmp_path / "my talk.json"
    with pytest.raises(ChatError, match="/save needs a file"):
        await talk.run("/save")
    assert str(path) in await talk.run(f"/save {path}")
    await talk.run("/clear")
    assert await talk.run(f"/load {path}") == "2 messages; first goes on."
    assert talk.conversation.turns == [("user", "Hi"), ("assistant", "Hello")]
    await talk.run("/save")


async def test_conversation_of_another_services_model_goes_on_with_this_one(talk: Talk, tmp_path: Path) -> None:
    """And that is said."""
    path = tmp_path / "talk.json"
    Conversation("elsewhere", turns=[("user", "Hi")]).save(path)
    assert "elsewhere is not served here; first goes on" in await talk.run(f"/load {path}")
    assert talk.conversation.model == "first"


async def test_figures_are_those_of_the_last_answer(talk: Talk) -> None:
    """Tokens, times, and what of the context is used."""
    with pytest.raises(ChatError, match="no figures before the first answer"):
        await talk.run("/stats")
    talk.answers += [
        PartialAnswer(tokens=1),
        PartialAnswer("x", prompt_tokens=1000, cached_tokens=400, tokens=41, first_after=0.5, seconds=2.5),
    ]
    text = await talk.run("/stats")
    for figure in (
        "1,000 tokens, 400 of them",
        "after 0.50 s",
        "20.0 tokens/s",
        "1,041 of 2,048",
        "2 answers, 42 tokens",
    ):
        assert figure in text


async def test_figures_follow_each_answer_on_request(talk: Talk) -> None:
    """They are turned on and off; another word is neither."""
    await talk.run("/stats on")
    assert talk.shows_figures
    await talk.run("/stats off")
    assert not talk.shows_figures
    with pytest.raises(ChatError, match="/stats takes on or off, not 'maybe'"):
        await talk.run("/stats maybe")


@pytest.mark.parametrize("line", ["Hello", " /help", "/etc/hosts", "exit now", "/Help"])
async def test_other_lines_are_messages(talk: Talk, line: str) -> None:
    """A space before a slash makes one, too."""
    assert not await run_command(talk, line)


@pytest.mark.parametrize(("line", "hint"), [("/hlep", "do you mean /help"), ("/xyzzy 1", "/help lists the commands")])
async def test_unknown_command_is_no_message(talk: Talk, line: str, hint: str) -> None:
    """It is most likely misspelt."""
    with pytest.raises(ChatError, match=hint):
        await run_command(talk, line)
