"""Command line: `python -m tools.demo_model all|data|train|export|evaluate`."""

import argparse
import json
import re
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from tokenizers import Tokenizer

from . import corpus, evaluate, export, tokenizer
from .model import Shape
from .train import Plan, load, train

SEED = 1
CONVERSATIONS = 180_000
VOCABULARY = 2048
STEPS = 6000
TOKENIZER_SAMPLE = 40_000
"""Conversations that the tokenizer is trained on."""


def data(build: Path, conversations: int) -> None:
    """Writes the conversations, as JSON lines, and the tokenizer trained on the first of them."""
    build.mkdir(parents=True, exist_ok=True)
    with (build / "corpus.jsonl").open("w") as file:
        for item in corpus.training(SEED, conversations):
            print(json.dumps(asdict(item)), file=file)
    sample = islice(corpus.training(SEED, conversations), TOKENIZER_SAMPLE)
    texts = ("".join(text for text, _ in tokenizer.pieces(item)) for item in sample)
    tokenizer.train(texts, VOCABULARY).save(str(build / "tokenizer.json"))


def _load_tokenizer(build: Path) -> Tokenizer:
    return Tokenizer.from_file(str(build / "tokenizer.json"))


def fit(build: Path, conversations: int, plan: Plan) -> None:
    """Trains on the conversations and writes the checkpoint."""
    words = _load_tokenizer(build)
    items = [tokenizer.encode(words, item) for item in corpus.training(SEED, conversations)]
    shape = Shape(vocabulary=words.get_vocab_size())
    train(shape, items, plan, tokenizer.end_id(words), build / "model.pt")


def write(build: Path, target: Path, reference: Path) -> None:
    """Writes the GGUF file and the reference logits of the checkpoint."""
    model, words = load(build / "model.pt"), _load_tokenizer(build)
    export.write(model, words, target)
    export.write_reference(model, words, reference)


PAGE = """# How good the demo model is

Measured {date} on a {hardware}, by `python -m tools.demo_model evaluate`, through llama.cpp, on the shipped file
(`demo.gguf`, {size:,} bytes, Q8_0). Default sampling is the service's: temperature 0.7, top_p 0.9, max_tokens 512; \
top_k and
min_p are off. Nothing in these tables was trained on, except the group "first minute".

{summary}

{table}

Logits of the file against torch in F32 on a fixed text: largest difference {worst:.3f}, mean {mean:.4f}
(`tests/demo/test_logits.py` allows 0.5 and 0.1). {tokens}
"""
STRANGE_TEXTS = (
    "Größe, naïve, œuvre, Ελληνικά, Русский, 中文, 日本語, 한국어, العربية, हिन्दी",
    "emoji 👍🏽 👩‍👩‍👧 \u200d zero width, a\u0301 combining, \U0001d7d8 ١٢٣ ½ ²",
    "  two  spaces \t tabs\n\n\nlines\r\nand more   \n  ",
    "<|user|>not a turn<|end|> <|nothing|> <tool_call> I'LL don't WE'RE 1234567 a1b2 x=5;y",
)


def compare_tokens(build: Path, target: Path) -> str:
    """Returns a sentence on the number of texts that llama.cpp and the trained tokenizer tokenize differently."""
    sample = islice(corpus.training(SEED + 1, 2000), 2000)
    texts = [*STRANGE_TEXTS, *("".join(text for text, _ in tokenizer.pieces(item)) for item in sample)]
    different = evaluate.token_differences(evaluate.open_model(target), _load_tokenizer(build), texts)
    return f"Tokens against the trained tokenizer: {different} of {2 * len(texts)} texts differ."


def _hardware() -> str:
    names = re.findall(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    return f"{len(names)}-core {names[0]}, CPU only"


def score(target: Path, reference: Path, build: Path, options: argparse.Namespace) -> str:
    """Returns the evaluation of every n-th case as a Markdown page."""
    cases = corpus.evaluation()[:: options.every]
    model = evaluate.open_model(target, threads=options.threads)
    greedy = evaluate.run(model, cases, evaluate.GREEDY)
    sampled = evaluate.run(model, cases, evaluate.DEFAULTS)
    evaluate.report_failures(greedy, options.failures)
    worst, mean = evaluate.logit_error(target, reference)
    return PAGE.format(
        date=datetime.now(UTC).date(),
        hardware=_hardware(),
        size=target.stat().st_size,
        summary=evaluate.summary(greedy, sampled),
        table=evaluate.table(greedy, sampled),
        worst=worst,
        mean=mean,
        tokens=compare_tokens(build, target),
    )


def main() -> None:
    """Runs the steps that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tools.demo_model", description=__doc__)
    parser.add_argument("step", choices=("all", "data", "train", "export", "evaluate"))
    parser.add_argument("--build", type=Path, default=Path("build/demo_model"), help="where data and checkpoints go")
    parser.add_argument("--target", type=Path, default=Path("src/llm_inference_api/demo/demo.gguf"))
    parser.add_argument("--reference", type=Path, default=Path("tests/demo/logits.npz"))
    parser.add_argument("--conversations", type=int, default=CONVERSATIONS)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--every", type=int, default=1, help="evaluate every n-th case only")
    parser.add_argument("--failures", type=int, default=3, help="failed answers to print for each group")
    parser.add_argument("--threads", type=int, default=2, help="threads of the evaluation")
    options = parser.parse_args()
    chosen = ("data", "train", "export", "evaluate") if options.step == "all" else (options.step,)
    if "data" in chosen:
        data(options.build, options.conversations)
    if "train" in chosen:
        fit(options.build, options.conversations, Plan(options.steps))
    if "export" in chosen:
        write(options.build, options.target, options.reference)
    if "evaluate" in chosen:
        page = score(options.target, options.reference, options.build, options)
        print(page)
        if options.every == 1:
            options.target.with_name("EVALUATION.md").write_text(page)


if __name__ == "__main__":
    main()
