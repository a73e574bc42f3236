"""Thoughts before an answer: where a prompt ends among them."""

from collections.abc import Sequence
from enum import Enum

from llm_inference_api.text.families.form import MarkedBlock


class Thoughts(Enum):
    """Where a prompt ends: before, at the start of, inside or after the thoughts of the answer."""

    BEFORE = "before"
    """The answer begins with what follows, perhaps with thoughts."""
    OPENED = "opened"
    """The prompt ends with `<think>`."""
    INSIDE = "inside"
    """The thoughts have begun in the prompt, and continue."""
    CLOSED = "closed"
    """The prompt ends with thoughts that the template has closed: none, or none more, are to follow."""
    AFTER = "after"
    """The content has begun in the prompt, and continues."""

    @property
    def are_open(self) -> bool:
        """Whether what follows are thoughts."""
        return self in (Thoughts.OPENED, Thoughts.INSIDE)


def thoughts_at_start(prompt: str, last: str, blocks: Sequence[MarkedBlock]) -> Thoughts:
    """Returns where a prompt ends whose answer begins behind it.

    Args:
        prompt: The rendered chat.
        last: Content of its last message: a marker in it is the author's word, not the template's.
        blocks: The model's thoughts.
    """
    end, said = prompt.rstrip(), last.rstrip()
    for block in blocks:
        opening, closing = block.opening.strip(), block.closing.strip()
        for marker, found in ((closing, Thoughts.CLOSED), (opening, Thoughts.OPENED)):
            is_said = said.endswith(marker) and end.endswith(said)
            if end.endswith(marker) and not is_said:
                return found
    return Thoughts.BEFORE


def thoughts_continued(prompt: str, content: str, blocks: Sequence[MarkedBlock]) -> Thoughts:
    """Returns where a prompt ends that is continued in the content of the assistant's message.

    Args:
        prompt: The rendered chat, up to the end of the content.
        content: The content. Only a marker at its beginning opens thoughts, as in an answer.
        blocks: The model's thoughts.
    """
    content = content.strip()
    before = prompt.rstrip().removesuffix(content).rstrip()
    if not prompt.rstrip().endswith(content):
        return Thoughts.AFTER
    for opening, closing in ((block.opening.strip(), block.closing.strip()) for block in blocks):
        if not opening or closing in content:
            continue
        if content.startswith(opening):
            return Thoughts.OPENED if content == opening else Thoughts.INSIDE
        if before.endswith(opening):
            return Thoughts.INSIDE
    return Thoughts.AFTER
