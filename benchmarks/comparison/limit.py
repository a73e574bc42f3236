"""What llama.cpp computes at best: llama-batched-bench, which has neither a server nor a sampler around it."""

import json
import subprocess
from collections.abc import Sequence

from benchmarks.comparison.models import ModelFile
from benchmarks.comparison.peers import Setup
from benchmarks.comparison.processes import StartError


def limits(setup: Setup, model: ModelFile, prompt: int, tokens: int, widths: Sequence[int]) -> dict[int, float]:
    """Returns the generated tokens per second, prompts included in the time, by the number of streams.

    Args:
        setup: Where the program is.
        model: The file.
        prompt: Tokens of each prompt.
        tokens: Tokens of each answer.
        widths: Numbers of streams.

    Raises:
        StartError: The program is not there, or failed.
    """
    options = {
        "-m": str(model.path),
        "-c": str(model.cells),
        "-npp": str(prompt),
        "-ntg": str(tokens),
        "-npl": ",".join(map(str, widths)),
        "-t": str(setup.threads),
        "-tb": str(setup.threads),
        "--output-format": "jsonl",
    }
    words = [word for pair in options.items() for word in pair]
    command = [setup.program("llama-batched-bench"), *words, "--kv-unified"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own command line
    except OSError as error:
        raise StartError(str(error)) from None
    if done.returncode:
        raise StartError((done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1])
    return read(done.stdout)


def read(output: str) -> dict[int, float]:
    """Returns the same of the program's output: a JSON object for each number of streams, among other lines."""
    found = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    return {row["pl"]: row["pl"] * row["tg"] / row["t"] for row in found}
