"""Measures what many typed questions about one state cost, in processor time.

Run as `python -m benchmarks.decisions [--model smollm2]` in the tree; no service is needed. Compared are the questions
asked together, one prefill of as many tokens as they have together, and each question alone in an empty cache, of which
`--alone` are measured. Then another caller's answer runs beside the questions: the gaps between its tokens, in parts of
their bound: `LLM_MAX_GAP` of the step that it has at the same length when it runs alone, or 50 ms, or a step of the
fewest rows that kernels compute at a time, which its keys make a quarter longer at most.
"""

import argparse
import statistics
import time
from collections.abc import Sequence as Items

from llm_inference_api.backends.llama.backend import route_log
from llm_inference_api.config.settings import available_processors
from llm_inference_api.decisions.deciding import Decisions
from llm_inference_api.decisions.question import Kind, Option, Question, yes_or_no
from llm_inference_api.engine.step_budget import LEAST_BY_KEYS, MULTIPLE, UNNOTICED
from llm_inference_api.requests.bundled import BUNDLED
from llm_inference_api.requests.chat import Message
from llm_inference_api.requests.engine_config import ContextChoice, EngineConfig
from llm_inference_api.requests.request import GREEDY, GenerationRequest, Stopping, TokenPrompt
from llm_inference_api.requests.scoring import Branch, Scoring
from llm_inference_api.worker.parts import Parts, build
from llm_inference_api.worker.score_preparer import ScorePreparer

_NOTE = "At {} o'clock the keeper saw {} ships pass the tower, and wrote that the wind came from the {}. "
_WINDS = ("north", "east", "south", "west")
_NOTE_TOKENS = 30
"""Fewer than a note has."""
_ANSWER = GenerationRequest("answer", "The keeper wrote:", GREEDY, Stopping(2000, ignore_eos=True))
"""Longer than the questions take."""
_SMOOTHED = 15
"""Steps on either side of a length, of which the median is the step there."""
_ONE_TEXT = Scoring((Branch("continuations", (" y",)),))


def state(tokens: int) -> str:
    """Returns a text of about so many tokens."""
    return "".join(_NOTE.format(at, at * 7 % 13, _WINDS[at % 4]) for at in range(tokens // _NOTE_TOKENS))


def questions(count: int) -> list[Question]:
    """Returns questions of all kinds."""
    winds, levels = tuple(map(Option, _WINDS)), tuple(map(Option, ("calm", "breezy", "stormy")))
    kinds = ((Kind.PREDICATE, yes_or_no()), (Kind.CHOICE, winds), (Kind.SCORE, levels))
    asked = ("Did ships pass at {} o'clock?", "Which wind blew at {} o'clock?", "How was the sea at {} o'clock?")
    return [
        Question(f"questions[{at}]", kinds[at % 3][0], asked[at % 3].format(at), kinds[at % 3][1], "options")
        for at in range(count)
    ]


class Engine:
    """An engine with an empty cache, in this process."""

    def __init__(self, config: EngineConfig) -> None:
        self._parts: Parts = build(config, lambda _: None)
        self.run(GenerationRequest("warm", "x", GREEDY, scoring=_ONE_TEXT))

    def run(self, request: GenerationRequest) -> tuple[float, int]:
        """Returns the seconds of processor time of a request for scores, and its tokens."""
        engine = self._parts.engine
        assert engine is not None
        began = time.process_time()
        (sequence,) = ScorePreparer(self._parts.preparer).prepare(request)
        assert sequence.board is not None
        engine.submit(sequence)
        while engine.busy:
            output = engine.step()
            if output.rejections:
                raise output.rejections[0].error
        return time.process_time() - began, sequence.board.usage.prompt_tokens

    def fewest(self) -> float:
        """Returns the seconds of a step of the fewest rows that kernels compute at a time."""
        tokens = range(100, 5 * MULTIPLE + 100)
        prompts = [TokenPrompt(tuple(tokens[at : at + MULTIPLE])) for at in range(0, len(tokens), MULTIPLE)]
        began = time.perf_counter()
        for at, prompt in enumerate(prompts):
            self.run(GenerationRequest(f"fewest {at}", prompt, GREEDY, scoring=_ONE_TEXT))
        return (time.perf_counter() - began) / len(prompts)

    def gaps(self, beside: GenerationRequest | None = None) -> tuple[list[float], float]:
        """Returns the seconds between the tokens of an answer, alone or beside a request for scores.

        And the seconds of that request, after which the answer is left.
        """
        engine = self._parts.engine
        assert engine is not None
        (answer,) = self._parts.preparer.prepare(_ANSWER)
        engine.submit(answer)
        others = {beside.id} if beside else set()
        gaps, submitted, last = list[float](), 0.0, time.perf_counter()
        while engine.busy:
            if beside and gaps and not submitted:
                engine.submit(*ScorePreparer(self._parts.preparer).prepare(beside))
                submitted = last = time.perf_counter()
            output = engine.step()
            if any(delta.request_id == _ANSWER.id for delta in output.deltas):
                now = time.perf_counter()
                gaps.append(now - last)
                last = now
            others -= {delta.request_id for delta in output.deltas if delta.finish_reason}
            if submitted and not others:
                break
        return gaps[1:], time.perf_counter() - submitted


def in_parts_of_their_bound(gaps: Items[float], bounds: Items[float], least: float) -> list[float]:
    """Returns the gaps in parts of what they may be at their place of the answer.

    Args:
        gaps: Seconds between tokens.
        bounds: What the answer's own steps allow, in seconds.
        least: What any step is allowed.
    """
    return [gap / max(bound, least) for gap, bound in zip(gaps, bounds, strict=False)]


def smooth(steps: Items[float]) -> list[float]:
    """Returns the median of the steps around each."""
    return [statistics.median(steps[max(at - _SMOOTHED, 0) : at + _SMOOTHED]) for at in range(len(steps))]


def main() -> None:
    """Measures, and prints the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="smollm2", choices=sorted(BUNDLED))
    parser.add_argument("--questions", type=int, default=64)
    parser.add_argument("--state", type=int, default=2000, help="tokens")
    parser.add_argument("--alone", type=int, default=4)
    parser.add_argument("--threads", type=int, default=available_processors())
    options = parser.parse_args()
    route_log(lambda _level, _line: None)
    path = BUNDLED[options.model].path()
    if path is None:
        parser.error(f"the package of {options.model} is not installed")
    config = EngineConfig(path, options.threads, 8, 16, 1e9, context=ContextChoice(8192, 16384))
    said = (Message("user", state(options.state)),)
    asked = questions(options.questions)

    together, tokens = Engine(config).run(Decisions.checked(said, asked, 1, "", "text").request)
    prompt = TokenPrompt(tuple(100 + at % 1000 for at in range(tokens - 1)))
    prefill, _ = Engine(config).run(GenerationRequest("prefill", prompt, GREEDY, scoring=_ONE_TEXT))
    alone = [
        Engine(config).run(Decisions.checked(said, [one], 1, "", "text").request) for one in asked[: options.alone]
    ]
    each = sum(seconds for seconds, _ in alone) / len(alone)
    print(f"{options.questions} questions together: {tokens} tokens, {together:.1f} s")
    print(f"one prefill of as many tokens: {prefill:.1f} s; together / prefill: {together / prefill:.2f}")
    print(f"one question alone: {alone[0][1]} tokens, {each:.2f} s")
    print(f"together / one by one: {together / each / len(asked):.3f}")

    steps, _ = Engine(config).gaps()
    gaps, seconds = Engine(config).gaps(Decisions.checked(said, asked, 1, "", "text").request)
    fewest = Engine(config).fewest()
    bounds = [config.max_gap * step for step in smooth(steps)]
    parts = in_parts_of_their_bound(gaps, bounds, max(UNNOTICED, LEAST_BY_KEYS * fewest))
    at = statistics.quantiles(parts, n=100)
    print(f"beside an answer: {seconds:.1f} s, {len(parts)} of its tokens; {options.threads} threads")
    print(f"its step alone: {1000 * bounds[0] / config.max_gap:.1f} ms; one of {MULTIPLE} rows: {1000 * fewest:.1f} ms")
    print(f"its gap / bound: p50 {at[49]:.2f}, p95 {at[94]:.2f}, p99 {at[98]:.2f}, most {max(parts):.2f}")


if __name__ == "__main__":
    main()
