"""A conversation in a terminal."""

import asyncio
import signal
import sys
from collections.abc import Coroutine
from functools import partial
from pathlib import Path
from typing import Any

from rich.text import Text

from llm_inference_api.cli.chat.answer import PartialAnswer, read_answer
from llm_inference_api.cli.chat.commands import COMMANDS, ChatState, run_command
from llm_inference_api.cli.chat.conversation import Conversation
from llm_inference_api.cli.chat.parameters import ChatError
from llm_inference_api.cli.chat.prompt import ChatPrompt, unechoed
from llm_inference_api.cli.chat.views import view
from llm_inference_api.cli.common import sentence_of
from llm_inference_api.cli.connection import Client
from llm_inference_api.cli.terminal import console, visible
from llm_inference_client import ServiceError

_TERMINATED = 128 + signal.SIGTERM


class Session:
    """Reads messages and commands until the person ends it, and shows the answers."""

    def __init__(
        self, client: Client, conversation: Conversation, address: str, history: Path | None, *, shows_figures: bool
    ) -> None:
        self._address = address
        self._terminal = console()
        self._state = ChatState(client, conversation, self._say, shows_figures=shows_figures)
        self._prompt = ChatPrompt(list(COMMANDS), history)
        self._running: asyncio.Future[None] | None = None
        """The answer or command that Ctrl-C stops."""
        self._typed = ""
        """What was typed during the last answer."""

    async def run(self) -> None:
        """Runs the conversation to its end."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self._interrupt)
        # The terminal is put back as it was before the process ends.
        loop.add_signal_handler(signal.SIGTERM, sys.exit, _TERMINATED)
        self._say(f"{self._state.conversation.model} at {self._address}")
        self._say("/help lists the commands, Ctrl-C stops an answer, Ctrl-D ends.")
        while not self._state.is_over:
            try:
                line = await self._prompt.read(self._typed)
            except EOFError:
                return
            except KeyboardInterrupt:
                self._say("Ctrl-D or /exit ends.")
                continue
            self._typed = ""
            if line.strip():
                await self._take(line)

    async def _take(self, line: str) -> None:
        """Does what the line says; whatever fails is said, and the conversation goes on."""
        try:
            if not await self._until_interrupted(self._obey(line)):
                self._say("[stopped]")
        except ChatError as error:
            self._complain(str(error))
        except ServiceError as error:
            self._complain(sentence_of(error, self._address))

    async def _obey(self, line: str) -> None:
        if not await run_command(self._state, line):
            await self._ask(line)

    async def _ask(self, message: str) -> None:
        """Shows the answer to a message.

        A question of which no answer came is no part of the conversation: the next one would be taken for its second
        half, and templates of alternating roles would refuse the two.
        """
        conversation, answer = self._state.conversation, PartialAnswer()
        asked = [*conversation.messages, ("user", message)]
        parts = self._state.client.chat(asked, conversation.request)
        try:
            with unechoed() as typed:
                load = partial(self._state.client.load_progress, conversation.model)
                await read_answer(parts, answer, view(), load)
            self._state.answers.append(answer)
        finally:
            self._typed = typed()
            if answer.text:
                conversation.turns += [("user", message), ("assistant", answer.text)]
        if answer.is_cut:
            self._say("[cut at max_tokens]")
        if self._state.shows_figures and answer.figures:
            self._say(f"[{answer.figures}]")

    async def _until_interrupted(self, work: Coroutine[Any, Any, None]) -> bool:
        """Runs the work. Returns False if Ctrl-C has stopped it."""
        self._running = asyncio.ensure_future(work)
        try:
            await self._running
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise  # The process is to end.
            return False
        finally:
            self._running = None
        return True

    def _interrupt(self) -> None:
        if self._running is not None:
            self._running.cancel()

    def _say(self, text: str) -> None:
        self._terminal.print(Text(visible(text), "dim"))

    def _complain(self, text: str) -> None:
        self._terminal.print(Text(visible(text), "red"))
