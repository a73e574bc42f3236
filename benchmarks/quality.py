"""What the bundled models know and can do, as figures, by questions of this project.

Run as `python -m benchmarks.quality [--address http://localhost:8091] [--models smollm2,demo]` beside a service.
Answers are greedy; each question is asked alone, then eight at a time. Facts and sums count if the answer contains what
is expected, forms if all of it has the form; a summary counts by the part of the source's key words that it keeps, less
where it is longer than a third of the source. The questions are in `benchmarks/questions.json`.
"""

import argparse
import json
import re
import urllib.request
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

QUESTIONS = Path(__file__).parent / "questions.json"
_SUMMARY_LENGTH = 1 / 3
"""Of the source's words."""
_TOGETHER = 8


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
    longest = _SUMMARY_LENGTH * len(source.split())
    kept = sum(key.lower() in answer.lower() for key in keys) / len(keys)
    return kept * min(1.0, longest / max(1, len(answer.split())))


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
    same: list[int] = []
    for model in models:
        texts = [question["text"] for question in questions]
        answers = [ask(arguments.address, model, text) for text in texts]
        with ThreadPoolExecutor(_TOGETHER) as pool:
            together = list(pool.map(partial(ask, arguments.address, model), texts))
        same.append(sum(map(str.__eq__, answers, together)))
        for question, answer in zip(questions, answers, strict=True):
            points = score(question, answer)
            found[question["kind"]][model].append(points)
            if arguments.show:
                print(f"{model} {question['kind']} {points:.2f} {question['text'][:60]!r} -> {answer[:160]!r}")
    print(f"| | questions | {' | '.join(models)} |\n|---|---|{'---|' * len(models)}")
    for kind, by_model in found.items():
        figures = " | ".join(f"{100 * sum(points) / len(points):.0f} %" for points in by_model.values())
        print(f"| {kind} | {len(by_model[models[0]])} | {figures} |")
    figures = " | ".join(f"{100 * count / len(questions):.0f} %" for count in same)
    print(f"| same text among {_TOGETHER} as alone | {len(questions)} | {figures} |")


if __name__ == "__main__":
    main()
