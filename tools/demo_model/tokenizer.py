"""Tokenizer and chat template: byte-level BPE with Qwen2's pre-tokenizer, and the encoding of conversations."""

import json
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from jinja2 import Environment, Template
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from .conversation import Case, Conversation, Message

SYSTEM, USER, ASSISTANT, TOOL, END = SPECIAL = ("<|system|>", "<|user|>", "<|assistant|>", "<|tool|>", "<|end|>")
TEMPLATE = (Path(__file__).parent / "template.jinja").read_text()
QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def train(texts: Iterable[str], vocabulary: int) -> Tokenizer:
    """Returns a tokenizer of `vocabulary` tokens trained on the texts: special tokens first, then all bytes."""
    tokenizer = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(QWEN2), behavior="isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=2,
        show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=[AddedToken(text, special=True, normalized=False) for text in SPECIAL],
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def end_id(tokenizer: Tokenizer) -> int:
    """Returns the id of the token that ends every turn and every text."""
    return int(tokenizer.token_to_id(END) or 0)


def without_special(tokenizer: Tokenizer) -> Tokenizer:
    """Returns a tokenizer that takes special tokens in the text for plain characters."""
    return Tokenizer.from_str(json.dumps(json.loads(tokenizer.to_str()) | {"added_tokens": []}))


@cache
def _template() -> Template:
    environment = Environment(trim_blocks=True, lstrip_blocks=True)  # noqa: S701 - it renders prompts, not HTML
    environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    return environment.from_string(TEMPLATE)


def render(messages: Iterable[Message], tools: tuple[object, ...] = (), *, ask: bool = False) -> str:
    """Returns the messages rendered by the chat template; `ask` adds the start of an answer."""
    plain = [{"role": message.role, "content": message.content} for message in messages]
    return _template().render(messages=plain, tools=list(tools), add_generation_prompt=ask)


def prompt(case: Case) -> str:
    """Returns the prompt of a case."""
    if case.messages[0].role == "text":
        return case.messages[0].content
    return render(case.messages, case.tools, ask=True)


def pieces(conversation: Conversation) -> list[tuple[str, bool]]:
    """Returns the rendered text in pieces, each with whether the loss counts it.

    It counts answers, plain text and their end tokens; of sheets only the results, since the operands are random.
    """
    first = conversation.messages[0]
    if conversation.kind == "sheets":
        parts = re.split(r"(?<==)(-?\d+\n?)", first.content)
        return [(part, bool(i % 2)) for i, part in enumerate(parts) if part] + [(END, True)]
    if first.role == "text":
        return [(first.content[: first.given], False), (first.content[first.given :] + END, True)]
    rendered = render(conversation.messages, conversation.tools)
    found = []
    for i, part in enumerate(rendered.split(ASSISTANT)):
        answer, end, rest = part.partition(END) if i else ("", "", part)
        if i:
            found.append((answer + end, True))
        found.append((rest + ASSISTANT, False))
    return found[:-1] if found[-1] == (ASSISTANT, False) else found


def encode(tokenizer: Tokenizer, conversation: Conversation) -> tuple[list[int], list[bool]]:
    """Returns the tokens of a conversation, and for each whether the loss counts it."""
    tokens: list[int] = []
    learnt: list[bool] = []
    for text, wanted in pieces(conversation):
        part = tokenizer.encode(text, add_special_tokens=False).ids
        tokens += part
        learnt += [wanted] * len(part)
    return tokens, learnt
