"""Incremental parser of thoughts, which stand before the answer."""

from llm_inference_api.requests.events import Thought
from llm_inference_api.text.families.reader import Markup, Part, Reader
from llm_inference_api.text.families.thoughts import Thoughts
from llm_inference_api.text.families.tool_format import THINK, THINK_END
from llm_inference_api.text.stop_strings import longest_stop_start


class ThoughtReader:
    """Reads a leading `<think>…</think>` as thoughts, and passes the rest to another reader.

    Line breaks around the markers are dropped.
    """

    def __init__(self, rest: Reader, thoughts: Thoughts) -> None:
        """Takes the reader of the rest, and where the prompt ends: before the rest's begin."""
        self._rest = rest
        self._step = self._think if thoughts.are_open else self._begin
        self._held = ""
        self._at_start = thoughts is not Thoughts.INSIDE
        """Whether nothing but line breaks has followed the last marker."""

    def add(self, text: str, *, final: bool) -> list[Part]:
        """See `Reader.add`."""
        self._held += text
        return self._step(final)

    def _begin(self, final: bool) -> list[Part]:  # noqa: FBT001 - a step
        begun = self._held.lstrip()
        if begun.startswith(THINK):
            size = len(self._held) - len(begun) + len(THINK)
            self._held, self._step = begun.removeprefix(THINK), self._think
            return [Markup(size), *self._think(final)]
        if THINK.startswith(begun) and not final:
            return []
        self._at_start, self._step = False, self._hand_on
        return self._hand_on(final)

    def _think(self, final: bool) -> list[Part]:  # noqa: FBT001 - a step
        parts = self._skip_line_breaks()
        thought, end, after = self._held.partition(THINK_END)
        if end:
            self._held, self._at_start, self._step = after, True, self._hand_on
            kept = thought.rstrip("\n")
            parts += [Thought(kept)] if kept else []
            return [*parts, Markup(len(thought) - len(kept) + len(THINK_END)), *self._hand_on(final)]
        keep = 0 if final else longest_stop_start(self._held, (THINK_END, f"\n{THINK_END}", f"\n\n{THINK_END}"))
        cut = len(self._held) - keep
        thought, self._held = self._held[:cut], self._held[cut:]
        return [*parts, Thought(thought)] if thought else parts

    def _hand_on(self, final: bool) -> list[Part]:  # noqa: FBT001 - a step
        skipped = self._skip_line_breaks()
        held, self._held = self._held, ""
        return [*skipped, *self._rest.add(held, final=final)]

    def _skip_line_breaks(self) -> list[Part]:
        if not self._at_start:
            return []
        left = self._held.lstrip("\n")
        size, self._held = len(self._held) - len(left), left
        self._at_start = not left
        return [Markup(size)] if size else []
