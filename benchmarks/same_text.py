"""Measures how often a request gives the same text again, and by how much its log probabilities differ.

Run as `python -m benchmarks.same_text [--model smollm2] [--plain]` in the tree; no service is needed. Each of the
prompts is asked in an empty cache first; each line is another situation, compared with that: the rate of equal texts,
and the largest difference of a chosen token's log probability up to where the texts part. `--plain` measures the same
with LLM_REPRODUCIBLE=false.
"""

import argparse
import random
from dataclasses import dataclass, field, replace

from llm_inference_api.backends.llama.backend import route_log
from llm_inference_api.requests.bundled import BUNDLED
from llm_inference_api.requests.engine_config import ContextChoice, EngineConfig
from llm_inference_api.requests.events import TokenLogprob
from llm_inference_api.requests.request import GenerationRequest, Sampling, Stopping
from llm_inference_api.worker.parts import build

_CONTEXT = 1024
_SLOTS = 4
_CACHE = 2 * _CONTEXT
"""Tokens; a dozen requests fill it."""
_TOPICS = ("the sea", "a clock", "two brothers", "winter", "bread", "the Moon", "a lost letter", "iron", "maps", "rain")
_NOTES = "The keeper wrote down what he saw from the tower, hour by hour, and kept the pages dry. "
"""Repeated in every second prompt, so that it has more rows than a tile of llama.cpp's attention, which is 64."""


@dataclass
class Answer:
    """What was said to a prompt."""

    text: str = ""
    logprobs: list[TokenLogprob] = field(default_factory=list)


class Asked:
    """An engine in this process."""

    def __init__(self, config: EngineConfig) -> None:
        parts = build(config, lambda _: None)
        assert parts.engine is not None
        self._engine, self._preparer = parts.engine, parts.preparer
        self._asked = 0

    def ask(self, prompts: list[str], sampling: Sampling, tokens: int) -> list[Answer]:
        """Returns the answers to the prompts, all asked at once."""
        answers = {}
        for prompt in prompts:
            self._asked += 1
            request = GenerationRequest(str(self._asked), prompt, sampling, Stopping(tokens, ignore_eos=True))
            answers[request.id] = Answer()
            for sequence in self._preparer.prepare(request):
                self._engine.submit(sequence)
        while self._engine.busy:
            output = self._engine.step()
            if output.rejections:
                raise output.rejections[0].error
            for delta in output.deltas:
                answers[delta.request_id].text += delta.text
                answers[delta.request_id].logprobs += delta.logprobs
        return list(answers.values())


def prompts(count: int) -> list[str]:
    """Returns texts of 10 to 300 tokens."""
    return [
        f"{_NOTES * (index % 2 * (1 + index % 12))}Tell me about {_TOPICS[index % len(_TOPICS)]}, part {index}."
        for index in range(count)
    ]


def difference(first: Answer, second: Answer) -> float:
    """Returns the largest difference of the log probabilities of the tokens up to where the answers part."""
    largest = 0.0
    for one, other in zip(first.logprobs, second.logprobs, strict=False):
        if one.token_id != other.token_id:
            break
        largest = max(largest, abs(one.logprob - other.logprob))
    return largest


def show(name: str, fresh: list[Answer], again: list[Answer]) -> None:
    """Prints a line."""
    pairs = list(zip(fresh, again, strict=True))
    equal = sum(first.text == second.text for first, second in pairs)
    largest = max(difference(first, second) for first, second in pairs)
    print(f"{name:40} {equal:4} of {len(pairs)} texts equal   log probabilities differ by up to {largest:.3g}")


def main() -> None:
    """Runs all situations."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="smollm2", choices=sorted(BUNDLED))
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--prompts", type=int, default=20)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    route_log(lambda _level, _line: None)
    path = BUNDLED[options.model].path()
    if path is None:
        parser.error(f"the package of {options.model} is not installed")
    config = EngineConfig(
        path,
        threads=options.threads,
        slots=_SLOTS,
        default_max_tokens=options.tokens,
        queue_timeout=1e9,
        context=ContextChoice(_CONTEXT, _CACHE),
        reproducible=not options.plain,
    )
    sampling = Sampling(seed=1, temperature=options.temperature, top_p=0.9, logprobs=0)
    texts = prompts(options.prompts)

    fresh = []
    for text in texts:
        fresh += Asked(config).ask([text], sampling, options.tokens)
    show("fresh again", fresh[:5], [Asked(config).ask([text], sampling, options.tokens)[0] for text in texts[:5]])
    for width in (64, 100):
        narrow = replace(config, batch_tokens=width)
        answers = [Asked(narrow).ask([text], sampling, options.tokens)[0] for text in texts]
        show(f"in chunks of {width} rows", fresh, answers)
    service = Asked(config)
    twice = [service.ask([text], sampling, options.tokens)[0] for text in texts for _ in range(2)]
    show("alone, one after the other", fresh, twice[::2])
    show("from the cache", fresh, twice[1::2])
    order = list(range(len(texts)))
    random.Random(1).shuffle(order)
    beside = [Answer()] * len(texts)
    for start in range(0, len(order), _SLOTS):
        group = order[start : start + _SLOTS]
        for index, answer in zip(
            group, service.ask([texts[index] for index in group], sampling, options.tokens), strict=True
        ):
            beside[index] = answer
    show(f"beside {_SLOTS - 1} others", fresh, beside)
    after = [service.ask([text], sampling, options.tokens)[0] for text in texts]
    show("alone, after those", fresh, after)


if __name__ == "__main__":
    main()
