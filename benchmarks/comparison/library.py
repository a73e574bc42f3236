"""Answers prompts with a library that has no server. Runs in the peers' Python, which has nothing of this project.

    python library.py LIBRARY FILE.gguf THREADS

Each line of the input is a JSON object with `prompt` and `max_tokens`. Each line of the output is one too: `ready`, and
for each prompt the `text` of one token after the other, then `tokens` with their number.
"""

import itertools
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CONTEXT = 4096


class CTransformers:
    """Marella's ctransformers: ggml of 2023."""

    def __init__(self, file: Path, threads: int) -> None:
        import ctransformers  # noqa: PLC0415, TID251

        self._threads = threads
        self._model = ctransformers.AutoModelForCausalLM.from_pretrained(
            str(file), model_type="gguf", threads=threads, context_length=CONTEXT
        )

    def answer(self, prompt: str, max_tokens: int) -> Iterator[str]:
        """Yields the text of one token after the other."""
        model = self._model
        tokens = model.generate(model.tokenize(prompt), top_k=1, threads=self._threads)
        for token in itertools.islice(tokens, max_tokens):
            yield model.detokenize([token])


class MistralRs:
    """mistral.rs: candle, in Rust."""

    def __init__(self, file: Path, threads: int) -> None:
        os.environ["RAYON_NUM_THREADS"] = str(threads)
        import mistralrs  # noqa: PLC0415

        self._library: Any = mistralrs
        which = mistralrs.Which.GGUF(quantized_model_id=str(file.parent), quantized_filename=file.name)
        self._runner = mistralrs.Runner(which=which)

    def answer(self, prompt: str, max_tokens: int) -> Iterator[str]:
        """Yields the text of one token after the other."""
        asked = self._library.ChatCompletionRequest(
            model="default",
            messages=prompt,  # A text is taken as it is, without the chat template.
            max_tokens=max_tokens,
            temperature=0.0,
            ignore_eos=True,
            stream=True,
        )
        for part in self._runner.send_chat_completion_request(asked):
            yield part.choices[0].delta.content or ""


LIBRARIES = {"ctransformers": CTransformers, "mistralrs": MistralRs}


def main() -> None:
    """Serves one prompt after the other until the input ends."""
    name, file, threads = sys.argv[1:]
    # Libraries print to the standard output too, from other languages: from here on that goes to the log.
    said = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def say(message: dict[str, object]) -> None:
        said.write(json.dumps(message) + "\n")

    library = LIBRARIES[name](Path(file), int(threads))
    say({"ready": True})
    for line in sys.stdin:
        asked = json.loads(line)
        tokens = 0
        for text in library.answer(asked["prompt"], asked["max_tokens"]):
            tokens += 1
            say({"text": text})
        say({"tokens": tokens})


if __name__ == "__main__":
    main()
