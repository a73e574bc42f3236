"""Perplexity of a text under a model, by the service's backend and by llama.cpp's own llama-perplexity.

Run as `python -m benchmarks.perplexity [--model smollm2] [--tool PATH/llama-perplexity]`. Both follow one definition
(tools/perplexity/perplexity.cpp): the text is cut into chunks of a context, each begins with the BOS token if the model
wants one, and the second half of each chunk is predicted. Equal figures say that the backend computes what llama.cpp
computes.
"""

import argparse
import math
import re
import subprocess
from pathlib import Path

from llm_inference_api.backends.llama.backend import ContextSizes, LlamaBackend, LlamaModel, route_log
from llm_inference_api.engine.backend import Row
from llm_inference_api.requests.bundled import BUNDLED
from llm_inference_api.requests.engine_config import GpuChoice
from llm_inference_api.requests.request import Sampling

TEXT = Path(__file__).parent / "perplexity.txt"
"""Of this project, unchanged since it was written."""
CONTEXT = 512


def perplexity(path: Path, text: str, context: int = CONTEXT, threads: int = 2) -> float:
    """Returns the perplexity of the text under the model file."""
    route_log(lambda _level, _line: None)
    model = LlamaModel(path, GpuChoice(), lambda _: None)
    backend = LlamaBackend(model, ContextSizes(context, 1, context, threads))
    tokens = model.vocabulary.tokenize(text, add_special=True, parse_special=False)
    chunks = len(tokens) // context
    if chunks < 2:
        raise ValueError(f"the text has {len(tokens)} tokens; two contexts of {context} are needed")
    start = model.vocabulary.tokenize("", add_special=True, parse_special=False)[:1]
    parts = [start + tokens[chunk * context + len(start) : (chunk + 1) * context] for chunk in range(chunks)]
    losses = [loss for part in parts for loss in _losses(backend, part)]
    return math.exp(sum(losses) / len(losses))


def _losses(backend: LlamaBackend, tokens: list[int]) -> list[float]:
    """Returns the negative log probabilities of the chunk's second half, in nats."""
    backend.truncate(0, 0)
    backend.forward([Row(token, position, 0, wants_scores=True) for position, token in enumerate(tokens)])
    sampler = backend.sampler(Sampling(seed=0), [], ignore_eos=False)
    first = len(tokens) // 2
    losses = [-sampler.logprob(row, tokens[row + 1], 0).logprob for row in range(first, len(tokens) - 1)]
    sampler.close()
    return losses


def llama_perplexity(tool: Path, path: Path, text: Path, context: int = CONTEXT) -> float:
    """Returns what llama.cpp's own program prints for the same text."""
    command = [tool, "-m", path, "-f", text, "-c", str(context), "-b", str(context), "-t", "2", "--no-warmup"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - the caller's program
    match = re.search(r"Final estimate: PPL = ([\d.]+)", done.stdout + done.stderr)
    if match is None:
        raise ValueError(f"{tool} printed no estimate:\n{done.stderr[-2000:]}")
    return float(match[1])


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="smollm2", help="id of a bundled model, or a GGUF file")
    parser.add_argument("--text", type=Path, default=TEXT)
    parser.add_argument("--tool", type=Path, help="llama-perplexity (tools/llama_build/build_tools.sh compiles it)")
    arguments = parser.parse_args()
    bundled = BUNDLED.get(arguments.model)
    path = bundled.path() if bundled else Path(arguments.model)
    if path is None:
        parser.error(f"{arguments.model} is not installed")
    print(f"this service     {perplexity(path, arguments.text.read_text()):.4f}")
    if arguments.tool is not None:
        print(f"llama-perplexity {llama_perplexity(arguments.tool, path, arguments.text):.4f}")


if __name__ == "__main__":
    main()
