"""What a chat template is given: its variables, as transformers and llama.cpp name them."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from llm_inference_api.requests.chat import Message
from llm_inference_api.requests.tools import Tool
from llm_inference_api.text.families.tool_definitions import as_json


class Wants(NamedTuple):
    """What a template wants otherwise than most."""

    in_parts: frozenset[str] = frozenset()
    """Roles whose content is to be a list of parts instead of a text."""
    undefined: tuple[str, ...] = ()
    """Variables of a chat without tools that are to be undefined."""
    arguments_in_text: bool = False
    """Whether the arguments of a call are to be JSON text instead of an object."""
    no_content_is_none: bool = False
    """Whether the content of a message with calls alone is to be None instead of an empty text."""


ABSENT = ("tools", "documents")
"""Variables that are None in a chat without tools, as in transformers: templates test them with `is not none`. Those
that iterate over them want them undefined."""


def template_input(
    messages: Sequence[Message],
    tools: Sequence[Tool],
    wants: Wants,
    variables: Mapping[str, object],
    *,
    begins: bool,
) -> dict[str, object]:
    """Returns the variables of a template.

    Args:
        messages: The chat.
        tools: Its tools.
        wants: What the template wants.
        variables: What else the template is told: texts of special tokens, whether to think.
        begins: Whether the answer begins at the end of the prompt.
    """
    described = [as_json(tool) for tool in tools]
    now = datetime.now().astimezone()
    return {
        "messages": [_message(message, wants) for message in messages],
        **{name: None for name in ABSENT if name not in wants.undefined},
        **({"tools": described} if described else {}),
        "add_generation_prompt": begins,
        # llama.cpp defines these (common/chat.cpp): the template of firefunction-v2 needs `datetime` and `functions`,
        # and those of Llama 3 write a date of 2024 where `date_string` is undefined.
        "datetime": now.strftime("%b %d %Y"),
        "date_string": now.strftime("%d %b %Y"),
        "functions": json.dumps(described, indent=2, ensure_ascii=False) if described else "",
        **variables,
    }


def _message(message: Message, wants: Wants) -> dict[str, object]:
    """Returns the message in OpenAI's format, as templates expect it, but with a call's arguments as an object."""
    content: object = message.content
    if message.role in wants.in_parts:
        content = [{"type": "text", "text": message.content}]
    elif wants.no_content_is_none and message.tool_calls and not message.content:
        content = None
    given: dict[str, object] = {"role": message.role, "content": content}
    if message.tool_calls:
        given["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {
                    "name": call.name,
                    "arguments": call.arguments if wants.arguments_in_text else json.loads(call.arguments),
                },
            }
            for call in message.tool_calls
        ]
    if message.reasoning:
        given |= dict.fromkeys(_REASONING, message.reasoning)
    optional = {"tool_call_id": message.tool_call_id, "name": message.name}
    return given | {name: value for name, value in optional.items() if value is not None}


_REASONING = ("reasoning_content", "reasoning", "thinking")
"""Names under which templates read the thoughts of an earlier answer."""
