"""Renders chats with transformers: a JSON list of questions on stdin, one of texts and problems on stdout."""

import json
import sys
from typing import Any

from transformers.utils.chat_template_utils import render_jinja_template


def main() -> None:
    """Answers all questions."""
    json.dump([_answer(question) for question in json.load(sys.stdin)], sys.stdout)


def _answer(question: dict[str, Any]) -> dict[str, str]:
    try:
        (text,), _ = render_jinja_template(
            [question["messages"]],
            tools=question["tools"],
            documents=None,
            chat_template=question["template"],
            add_generation_prompt=question["begins"],
            continue_final_message=question["continues"],
            **question["tokens"],
            **question["variables"],
        )
        text.encode()
    except Exception as error:
        return {"text": "", "problem": f"{type(error).__name__}: {error}"[:300]}
    return {"text": text, "problem": ""}


if __name__ == "__main__":
    main()
