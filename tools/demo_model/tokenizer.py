"""The tokenizer: byte-level BPE behind the regular expression of Qwen2, and how conversations become tokens."""

from __future__ import annotations

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
    """Return a tokenizer trained on the texts; every byte is a token and the special tokens come first."""
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
    """Return the token that ends every turn and every text."""
    return int(tokenizer.token_to_id(END) or 0)


def without_special(tokenizer: Tokenizer) -> Tokenizer:
    """Return the tokenizer as it reads text in which special tokens are only characters."""
    return Tokenizer.from_str(json.dumps(json.loads(tokenizer.to_str()) | {"added_tokens": []}))


@cache
def _template() -> Template:
    environment = Environment(trim_blocks=True, lstrip_blocks=True)
    environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    return environment.from_string(TEMPLATE)


def render(messages: Iterable[Message], tools: tuple[object, ...] = (), *, ask: bool = False) -> str:
    """Return the messages as the chat template writes them; `ask` adds the start of an answer."""
    plain = [{"role": message.role, "content": message.content} for message in messages]
    return _template().render(messages=plain, tools=list(tools), add_generation_prompt=ask)


def prompt(case: Case) -> str:
    """Return the text that the model continues to answer a case."""
    if case.messages[0].role == "text":
        return case.messages[0].content
    return render(case.messages, case.tools, ask=True)


def pieces(conversation: Conversation) -> list[tuple[str, bool]]:
    """Return the rendered text in pieces, each with whether it is learnt.

    Learnt are answers, plain text and their end tokens; of a sheet only the results, for nobody can guess the numbers.
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
    """Return the tokens of a conversation and which of them are learnt."""
    tokens: list[int] = []
    learnt: list[bool] = []
    for text, wanted in pieces(conversation):
        part = tokenizer.encode(text, add_special_tokens=False).ids
        tokens += part
        learnt += [wanted] * len(part)
    return tokens, learnt
