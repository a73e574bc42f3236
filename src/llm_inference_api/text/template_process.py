"""Child process that compiles and renders a chat template, which is code from a model file.

The first question is the template's source, answered by an error, empty if there is none. Each further one has the
template's variables, and is answered by the text, an error, empty if there is none, and whether that is a limit of
memory or length.
"""

from collections.abc import Mapping
from typing import Any

from jinja2 import Template

from llm_inference_api.processes.limited_child import answer, limited, questions
from llm_inference_api.text.template_environment import TemplateRefusalError, environment

_MOST_MEMORY = 1 << 30
"""Bytes of address space."""
_MOST_SECONDS = 1.0
"""Processor time to compile the template, and to render it once."""
_MOST_TEXT = 8 << 20
"""Characters of a rendered text. Messages and tools have 2 MiB at most, which is more than any context holds."""
_LONGEST_REASON = 500
"""Characters of an exception's text in an error."""


def main() -> None:
    """Compiles the template, and renders it until stdin is closed."""
    limited(_MOST_MEMORY)
    asked = questions(_MOST_SECONDS, first=_MOST_SECONDS)
    try:
        template = environment().from_string(next(asked))
    except Exception as error:
        answer(_reason(error))
        return
    answer("")
    for variables in asked:
        answer(_rendered(template, variables))


def _rendered(template: Template, variables: Mapping[str, Any]) -> tuple[str, str, bool]:
    try:
        text = template.render(variables)
        if len(text) > _MOST_TEXT:
            return "", f"fails on them: it writes more than {_MOST_TEXT} characters", True
        text.encode()  # Raises UnicodeEncodeError for lone surrogates.
    except TemplateRefusalError as refusal:
        return "", f"refuses them: {_reason(refusal)}", False
    except Exception as error:
        return "", f"fails on them: {_reason(error)}", isinstance(error, MemoryError)
    return text, "", False


def _reason(error: Exception) -> str:
    text = str(error).encode(errors="replace").decode()
    return text[:_LONGEST_REASON] or type(error).__name__


if __name__ == "__main__":
    main()
