"""The prompt of a generative ranker: a text of the model's file with places for the query and the document."""

import re
from collections.abc import Sequence

from llm_inference_api.text.escaping import ControlTexts, Escaping

NAME = "rerank"
"""Name of the template in GGUF files (conversion/qwen.py of llama.cpp)."""
_PLACES = re.compile(r"\{(query|document)\}")


class RankTemplate:
    """A template in which `{query}` and `{document}` stand for the texts."""

    def __init__(self, source: str, controls: Sequence[str]) -> None:
        """Takes the template, and the texts of the model's control tokens, which stay text in what callers write."""
        self._source = source
        self._controls = ControlTexts(controls)

    @property
    def problem(self) -> str | None:
        """Why the template cannot be used; None if it can."""
        missing = {"query", "document"} - set(_PLACES.findall(self._source))
        return f"its template {NAME!r} has no {{{min(missing)}}}" if missing else None

    def render(self, query: str, document: str) -> list[str]:
        """Returns the prompt in parts, each of which continues the one before; see `Escaping.split`."""
        escaping = Escaping(self._controls)
        texts = {"query": escaping.text(query), "document": escaping.text(document)}
        return escaping.split(_PLACES.sub(lambda place: texts[place[1]], self._source))
