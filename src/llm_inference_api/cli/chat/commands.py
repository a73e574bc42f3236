"""What a line that begins with `/` does."""

import difflib
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from llm_inference_api.cli.chat.answer import PartialAnswer
from llm_inference_api.cli.chat.conversation import Conversation, load
from llm_inference_api.cli.chat.parameters import ChatError, parameter_name, parameter_value
from llm_inference_api.cli.connection import Client, state_of

if TYPE_CHECKING:
    from llm_inference.v1 import models_pb2

_COMMAND = re.compile(r"(/[a-z]*)(?:\s+(.*))?", re.DOTALL)
"""A command and the rest of its line. A path, `/etc/hosts`, is none."""
_DEFAULT = "default"
_SWITCH = {"on": True, "off": False}
_ENDINGS = ("exit", "quit", "/quit", "/bye")
"""Other words for `/exit`."""


@dataclass
class ChatState:
    """What the commands show and change."""

    client: Client
    conversation: Conversation
    say: Callable[[str], None]
    """Prints a line."""
    answers: list[PartialAnswer] = field(default_factory=list)
    """The answers of this session that came to their end, oldest first."""
    shows_figures: bool = False
    """Whether each answer is followed by how long it took."""
    is_over: bool = False


Action = Callable[[ChatState, str], Awaitable[None]]


class Command(NamedTuple):
    """A command."""

    usage: str
    meaning: str
    action: Action


async def run_command(state: ChatState, line: str) -> bool:
    """Runs the command that the line is. Returns False if it is none, but a message.

    Raises:
        ChatError: There is no such command, or it cannot be done.
        llm_inference_client.ServiceError: A call to the service failed.
    """
    if line.strip() in _ENDINGS:
        line = "/exit"
    match = _COMMAND.fullmatch(line)  # Not after a space: that is how a message may begin with a slash.
    if match is None:
        return False
    name, rest = match[1], (match[2] or "").strip()
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, 1)
        hint = f"do you mean {near[0]}?" if near else "/help lists the commands"
        raise ChatError(f"there is no command {name}; {hint} A space before it makes the line a message.")
    await COMMANDS[name].action(state, rest)
    return True


async def _help(state: ChatState, _rest: str) -> None:
    width = max(len(command.usage) for command in COMMANDS.values())
    for command in COMMANDS.values():
        state.say(f"{command.usage:<{width}}  {command.meaning}")
    state.say("")
    state.say("Enter sends, Alt-Enter begins a new line. Ctrl-C stops an answer or clears the line, Ctrl-D ends.")


async def _model(state: ChatState, model: str) -> None:
    models = await state.client.models()
    if not model:
        for each in models:
            mark = "*" if each.id == state.conversation.model else " "
            state.say(f"{mark} {each.id}  {state_of(each)}")
        return
    state.conversation.model = known_model(models, model)
    state.say(f"{model} answers from now on.")


def known_model(models: "list[models_pb2.Model]", model: str) -> str:
    """Returns the id. Raises ChatError if it is not that of a model that the service has and that generates."""
    ids = [each.id for each in models]
    if model not in ids:
        raise ChatError(f"model {model!r} is not served here; there are {', '.join(ids)}")
    if any(each.id == model and each.HasField("info") and not each.info.generates for each in models):
        raise ChatError(f"model {model!r} generates no text")
    return model


def default_model(models: "list[models_pb2.Model]") -> str:
    """Returns the first model that may generate. Raises ChatError if the service has none."""
    for model in models:
        if not model.HasField("info") or model.info.generates:
            return model.id
    raise ChatError("the service has no model that generates text")


async def _system(state: ChatState, text: str) -> None:
    if text:
        state.conversation.system = "" if text in ('""', "''") else text
    now = state.conversation.system
    state.say(f"The system prompt is: {now}" if now else "There is no system prompt.")


async def _clear(state: ChatState, _rest: str) -> None:
    state.conversation.turns.clear()
    state.say("The conversation is forgotten; the system prompt and the parameters stay.")


async def _save(state: ChatState, name: str) -> None:
    path = _path(name) if name else state.conversation.file
    if path is None:
        raise ChatError("/save needs a file: /save talk.json")
    state.conversation.save(path)
    state.say(f"{len(state.conversation.turns)} messages are in {path}.")


async def _load(state: ChatState, name: str) -> None:
    if not name:
        raise ChatError("/load needs a file: /load talk.json")
    loaded = load(_path(name))
    ids = [model.id for model in await state.client.models()]
    if loaded.model not in ids:
        if loaded.model:
            state.say(f"Its model {loaded.model} is not served here; {state.conversation.model} goes on.")
        loaded.model = state.conversation.model
    state.conversation = loaded
    state.say(f"{len(loaded.turns)} messages; {loaded.model} goes on.")


def _path(name: str) -> Path:
    try:
        return Path(name).expanduser()
    except RuntimeError as error:
        raise ChatError(f"{name}: {error}") from error


async def _set(state: ChatState, rest: str) -> None:
    name, _, text = rest.partition(" ")
    parameters = state.conversation.parameters
    if name:
        name, text = parameter_name(name), text.strip()
        if text == _DEFAULT:
            parameters.pop(name, None)
        elif text:
            parameters[name] = parameter_value(name, text)
        state.say(f"{name} {_shown(parameters[name])}" if name in parameters else f"{name} is the service's default.")
        return
    for each, value in parameters.items():
        state.say(f"{each} {_shown(value)}")
    if not parameters:
        state.say("All parameters are the service's defaults.")


def _shown(value: object) -> str:
    return ", ".join(map(repr, value)) if isinstance(value, (list, tuple)) else str(value)


async def _stats(state: ChatState, word: str) -> None:
    if word:
        if word not in _SWITCH:
            raise ChatError(f"/stats takes on or off, not {word!r}")
        state.shows_figures = _SWITCH[word]
        state.say(f"Answers are followed by {'their' if state.shows_figures else 'no'} figures.")
        return
    if not state.answers:
        raise ChatError("there are no figures before the first answer")
    last = state.answers[-1]
    context = {model.id: model.info.context_length for model in await state.client.models()}
    room = context.get(state.conversation.model, 0)
    used = last.prompt_tokens + last.tokens
    state.say(f"prompt           {last.prompt_tokens:,} tokens, {last.cached_tokens:,} of them from the cache")
    state.say(f"answer           {last.tokens:,} tokens in {last.seconds:.1f} s")
    if last.first_after is not None:
        state.say(f"first token      after {last.first_after:.2f} s")
    if speed := last.tokens_per_second:
        state.say(f"speed            {speed:.1f} tokens/s")
    state.say(f"context          {used:,}{f' of {room:,}' if room else ''} tokens")
    answered = sum(answer.tokens for answer in state.answers)
    state.say(f"this session     {len(state.answers)} answers, {answered:,} tokens")


async def _exit(state: ChatState, _rest: str) -> None:
    state.is_over = True


COMMANDS = {
    "/help": Command("/help", "this list", _help),
    "/model": Command("/model [ID]", "list the models, or go on with another", _model),
    "/system": Command("/system [TEXT]", 'show or set the system prompt; "" removes it', _system),
    "/set": Command("/set [NAME [VALUE]]", "show or set parameters, as: /set temperature 0.2", _set),
    "/clear": Command("/clear", "forget the conversation", _clear),
    "/save": Command("/save [FILE]", "write the conversation to a JSON file", _save),
    "/load": Command("/load FILE", "go on with a saved conversation", _load),
    "/stats": Command("/stats [on|off]", "figures of the last answer; on: after each", _stats),
    "/exit": Command("/exit", "end, as Ctrl-D does", _exit),
}
