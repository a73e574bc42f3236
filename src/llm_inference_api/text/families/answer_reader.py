"""The parser of a whole answer: thoughts first, then content and tool calls."""

from llm_inference_api.requests.tools import ToolUse
from llm_inference_api.text.families.reader import Reader
from llm_inference_api.text.families.thought_reader import ThoughtReader
from llm_inference_api.text.families.thoughts import Thoughts
from llm_inference_api.text.families.tool_call_reader import tool_call_reader
from llm_inference_api.text.families.tool_format import ToolFormat


def answer_reader(form: ToolFormat, use: ToolUse | None, thoughts: Thoughts) -> Reader:
    """Returns a reader for one answer.

    Args:
        form: The model's tool format.
        use: The request's tools; None if it has none.
        thoughts: Where the prompt ends. Behind them all that follows is content and calls.
    """
    rest = tool_call_reader(form, use)
    return rest if thoughts is Thoughts.AFTER else ThoughtReader(rest, thoughts)
