"""Small chat templates, and what is found from them."""

from collections.abc import Mapping, Sequence

from llm_inference_api.requests.chat import Message
from llm_inference_api.requests.tools import Tool
from llm_inference_api.text.families.form import Form
from llm_inference_api.text.families.probing.probes import RefusedError
from llm_inference_api.text.families.probing.shown import ShownForm, form_of
from llm_inference_api.text.template_environment import environment
from llm_inference_api.text.template_input import Wants, template_input

TOOLS = "{% if tools %}<tools>{{ tools | tojson }}</tools>{% endif %}"
ARGS = "{{ c.function.arguments | tojson }}"
JSON = '{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}'
"""A call without its last brace."""
PAIRS = "{% for k, v in c.function.arguments.items() %}"
TEXT = "{{ v if v is string else v | tojson }}"
LINE = "{{ '\n' }}"
"""A line break that Jinja keeps behind a block."""
SAID = "{% if m.reasoning_content %}<think>\n{{ m.reasoning_content }}\n</think>\n\n{% endif %}{{ m.content }}"


def answering(answer: str, *, tools: str = TOOLS, begin: str = "") -> str:
    """Returns a template whose assistant writes the answer."""
    return (
        f"{tools}{{% for m in messages %}}{{% if m.role == 'assistant' %}}<|assistant|>{answer}<|end|>"
        "{% else %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endif %}{% endfor %}"
        f"{{% if add_generation_prompt %}}<|assistant|>{begin}{{% endif %}}"
    )


def calling(call: str, *, opening: str = "", separator: str = "", closing: str = "", tools: str = TOOLS) -> str:
    """Returns a template whose assistant writes calls so."""
    each = f"{{% for c in m.tool_calls %}}{call}{{% if not loop.last %}}{separator}{{% endif %}}{{% endfor %}}"
    section = f"{{% if m.tool_calls %}}{opening}{each}{closing}{{% endif %}}"
    return answering("{{ m.content }}" + section, tools=tools)


def found(source: str, wants: Wants = Wants()) -> ShownForm:  # noqa: B008 - immutable
    """Returns what the template shows."""
    template = environment().from_string(source)

    def render(
        messages: Sequence[Message], tools: Sequence[Tool], variables: Mapping[str, object], *, begins: bool
    ) -> str:
        try:
            return template.render(template_input(messages, tools, wants, variables, begins=begins))
        except Exception as error:
            raise RefusedError(str(error)) from error

    return form_of(render, source)


def form(source: str) -> Form:
    """Returns the form that the template shows."""
    return found(source).form
