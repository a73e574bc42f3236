"""Answers to typed questions by transformers: every option of every order in a forward of its own, without a cache."""

import json
import math
import tempfile
from pathlib import Path
from typing import Any

import torch
import transformers as tf
from safetensors.numpy import save_file
from tokenizers import Tokenizer

from tests.models.convert.seeded_checkpoint import seeded_weights

CASE = "llama3"
"""The case of `logits` whose shapes and tokenizer the checkpoint has."""
TEMPLATE = "{% for m in messages %}[{{ m.role }}]{{ m.content }}[/]{% endfor %}[assistant]"
STATE = "I was charged twice in March, and I want my money back!"
QUESTIONS: tuple[dict[str, Any], ...] = (
    {"instructions": "Does the customer ask for money?", "predicate": {"yes": "money is to be returned"}},
    {
        "instructions": "Which team should answer?",
        "choice": {
            "options": [
                {"value": "shipping and returns"},
                {"value": "billing", "description": "charges and refunds"},
                {"value": "ship"},
                {"value": "billing abroad"},
            ]
        },
    },
    {
        "instructions": "How angry?",
        "score": {"levels": [{"value": "calm"}, {"value": "annoyed"}, {"value": "furious"}]},
    },
)
ROTATIONS = 2


def generate(target: Path, logits: Path) -> None:
    """Writes a file: config.json, the tensors' shapes, the chat template, and the questions with their answers."""
    case = json.loads((logits / CASE / "case.json").read_text())
    config = case["config"] | {"max_position_embeddings": 1024}
    tokenizer = Tokenizer.from_file(str(logits.parent / "tokenizers" / case["tokenizer"] / "tokenizer.json"))
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "config.json").write_text(json.dumps(config))
        save_file(seeded_weights(case["shapes"]), Path(directory) / "model.safetensors", {"format": "pt"})
        model = tf.AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32, attn_implementation="eager")
    answers = [_answer(model.eval(), tokenizer, question) for question in QUESTIONS]
    record = {
        "tokenizer": case["tokenizer"],
        "template": TEMPLATE,
        "config": config,
        "shapes": case["shapes"],
        "state": STATE,
        "rotations": ROTATIONS,
        "questions": [{**question, **answer} for question, answer in zip(QUESTIONS, answers, strict=True)],
    }
    target.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def _answer(model: Any, tokenizer: Tokenizer, question: dict[str, Any]) -> dict[str, Any]:
    """Returns the probabilities of the options, in their order, and the coverage: the means over the orders."""
    title, options = _options(question)
    values = [option["value"] for option in options]
    is_scale = title == "Levels:"
    ring = list(range(len(values))) if is_scale else sorted(range(len(values)), key=lambda at: values[at])
    turned = ring[::-1] if is_scale else ring[len(ring) // 2 :] + ring[: len(ring) // 2]
    found = []
    for order in (ring, turned):
        shown = [options[at] for at in order]
        scores = _scores(model, tokenizer, _asked(question["instructions"], title, shown), shown)
        found.append(dict(zip(order, scores, strict=True)))
    return {
        "probabilities": [sum(one[at] / sum(one.values()) for one in found) / 2 for at in range(len(values))],
        "coverage": sum(sum(one.values()) for one in found) / 2,
    }


def _options(question: dict[str, Any]) -> tuple[str, list[dict[str, str]]]:
    if "predicate" in question:
        when = question["predicate"]
        return "Answers:", [{"value": word, "description": when.get(word, "")} for word in ("yes", "no")]
    if "choice" in question:
        return "Options:", question["choice"]["options"]
    return "Levels:", question["score"]["levels"]


def _asked(instructions: str, title: str, options: list[dict[str, str]]) -> str:
    lines = [f"- {one['value']}" + (f": {one['description']}" if one.get("description") else "") for one in options]
    return "\n".join((f"Question: {instructions}", title, *lines, "Answer with one of them, word for word."))


def _scores(model: Any, tokenizer: Tokenizer, asked: str, options: list[dict[str, str]]) -> list[float]:
    """Returns the probability of each option's text, without that of one that begins with it."""

    def ids(text: str) -> list[int]:
        return list(tokenizer.encode(text, add_special_tokens=False).ids)

    # The tokenizer's BOS comes before a prompt whose template has none.
    prefix = list(tokenizer.encode(f"[user]{STATE}\n\n").ids)
    for text in (asked, "[/][assistant]", "Answer:"):
        prefix += ids(text)
    said = [ids(f" {one['value']}") for one in options]
    whole = [math.exp(_log(model, prefix, tokens)) for tokens in said]
    longer = [
        [at for at, text in enumerate(said) if text != tokens and text[: len(tokens)] == tokens] for tokens in said
    ]
    assert max(map(len, longer)) == 1 or not any(longer)
    return [one - sum(whole[at] for at in others) for one, others in zip(whole, longer, strict=True)]


def _log(model: Any, prefix: list[int], tokens: list[int]) -> float:
    with torch.no_grad():
        logits = model(torch.tensor([[*prefix, *tokens]])).logits[0].double()
    logs = torch.log_softmax(logits, -1)
    return sum(float(logs[len(prefix) + at - 1, token]) for at, token in enumerate(tokens))
