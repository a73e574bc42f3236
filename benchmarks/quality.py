"""What the bundled models know and can do, as figures, by questions of this project.

Run as `python -m benchmarks.quality [--address http://localhost:8091] [--models smollm2,demo]` beside a service.
Answers are greedy; each question is asked alone. Facts, sums and forms count if the answer has what is expected; a
summary counts by the part of the source's key words that it keeps, within a third of its length. The questions are in
`benchmarks/questions.json`.
"""

import argparse
import json
import re
import urllib.request
from collections import defaultdict
from pathlib import Path
from typing import Any

QUESTIONS = Path(__file__).parent / "questions.json"
_LONGEST_SUMMARY = 1 / 3
"""Of the source's words."""


def score(question: dict[str, Any], answer: str) -> float:
    """Returns 0 to 1: how well the answer does what the question asks."""
    match question["kind"]:
        case "summary":
            return _kept(question["source"], question["keys"], answer)
        case "form":
            return float(_has_form(question["form"], answer))
        case _:
            return float(
                any(re.search(rf"\b{re.escape(text)}\b", answer, re.IGNORECASE) for text in question["expect"])
            )


def _kept(source: str, keys: list[str], answer: str) -> float:
    if not answer.strip() or len(answer.split()) > _LONGEST_SUMMARY * len(source.split()):
        return 0.0
    return sum(key.lower() in answer.lower() for key in keys) / len(keys)


def _has_form(form: str, answer: str) -> bool:
    text = answer.strip()
    match form:
        case "one word":
            return len(text.split()) == 1
        case "yes or no":
            return re.fullmatch(r"(yes|no)\W*", text, re.IGNORECASE) is not None
        case "number":
            return re.fullmatch(r"\d+\W*", text) is not None
        case "three lines":
            return len([line for line in text.splitlines() if line.strip()]) == 3
        case "JSON object":
            return _is_object(text)
    raise ValueError(form)


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(re.sub(r"^```(json)?|```$", "", text.strip()).strip()), dict)
    except ValueError:
        return False


def ask(address: str, model: str, text: str) -> str:
    """Returns the model's greedy answer to a message."""
    body = {"model": model, "messages": [{"role": "user", "content": text}], "temperature": 0, "max_tokens": 200}
    request = urllib.request.Request(  # noqa: S310 - the address is the caller's
        f"{address}/api/chat", json.dumps(body).encode(), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=600) as answer:  # noqa: S310
        return str(json.load(answer)["message"]["content"])


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", default="http://localhost:8091")
    parser.add_argument("--models", default="smollm2,demo")
    parser.add_argument("--show", action="store_true", help="print each answer")
    arguments = parser.parse_args()
    questions = json.loads(QUESTIONS.read_text())
    models = arguments.models.split(",")
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for model in models:
        for question in questions:
            answer = ask(arguments.address, model, question["text"])
            points = score(question, answer)
            found[question["kind"]][model].append(points)
            if arguments.show:
                print(f"{model} {question['kind']} {points:.2f} {question['text'][:60]!r} -> {answer[:160]!r}")
    print(f"| | questions | {' | '.join(models)} |\n|---|---|{'---|' * len(models)}")
    for kind, by_model in found.items():
        figures = " | ".join(f"{100 * sum(points) / len(points):.0f} %" for points in by_model.values())
        print(f"| {kind} | {len(by_model[models[0]])} | {figures} |")


if __name__ == "__main__":
    main()
