"""The parser of a whole answer: thoughts first, then content and tool calls."""

from llm_inference_api.requests.tools import ToolUse
from llm_inference_api.text.families.reader import Reader
from llm_inference_api.text.families.thought_reader import ThoughtReader
from llm_inference_api.text.families.tool_call_reader import tool_call_reader
from llm_inference_api.text.families.tool_format import ToolFormat


def answer_reader(form: ToolFormat, use: ToolUse | None, *, opens_thoughts: bool) -> Reader:
    """Returns a reader for one answer.

    Args:
        form: The model's tool format.
        use: The request's tools; None if it has none.
        opens_thoughts: Whether the answer starts inside the thoughts.
    """
    return ThoughtReader(tool_call_reader(form, use), thinking=opens_thoughts)
