"""Describes tools, and writes calls and their results, where a chat template does not."""

import json
from collections.abc import Sequence
from dataclasses import replace

from llm_inference_api.requests.chat import Message
from llm_inference_api.requests.tools import Tool, ToolCall
from llm_inference_api.text.families.form import CallForm, Form
from llm_inference_api.text.families.tool_definitions import as_json
from llm_inference_api.text.families.writing import written

_EXAMPLE = ToolCall("ID", "NAME", '{"ARGUMENT": "VALUE"}')


def completed(messages: Sequence[Message], tools: Sequence[Tool], form: Form) -> list[Message]:
    """Returns the messages with what the form's template leaves out.

    Calls become text where the template writes none, results too if the form is the service's own; a system message
    describes the tools where the template does not, none if there are no tools.
    """
    said = [*messages] if form.shows_calls else [with_written_calls(message, form.calls) for message in messages]
    if form.is_generic:
        said = [with_written_result(message) for message in said]
    if form.shows_tools or not tools:
        return said
    text = instruction(tools, form.calls)
    if said[0].role == "system":
        return [replace(said[0], content="\n\n".join(filter(None, [said[0].content, text]))), *said[1:]]
    return [Message("system", text), *said]


def with_written_calls(message: Message, calls: CallForm) -> Message:
    """Returns the message with its tool calls as text."""
    if not message.tool_calls:
        return message
    text = written(calls, message.tool_calls)
    return replace(message, content="\n".join(filter(None, [message.content, text])), tool_calls=())


def with_written_result(message: Message) -> Message:
    """Returns the message, the result of a call as the user's text."""
    if message.role != "tool":
        return message
    return Message("user", f"<tool_response>\n{message.content}\n</tool_response>")


def instruction(tools: Sequence[Tool], calls: CallForm) -> str:
    """Returns the instruction that describes the tools, for a model whose template has none."""
    known = "\n".join(json.dumps(as_json(tool), ensure_ascii=False) for tool in tools)
    return (
        "You may call functions. They are described here, one on each line:\n"
        f"{known}\n"
        "To call one, answer with nothing but this, with the function's name and arguments; "
        "repeat it to call several:\n"
        f"{written(calls, [_EXAMPLE])}\n"
        "You will then be told the results. Where no function helps, answer in words."
    )
