"""Measures what many typed questions about one state cost, in processor time.

Run as `python -m benchmarks.decisions [--model smollm2]` in the tree; no service is needed. Compared are the questions
asked together, one prefill of as many tokens as they have together, and each question alone in an empty cache, of which
`--alone` are measured.
"""

import argparse
import time

from llm_inference_api.backends.llama.backend import route_log
from llm_inference_api.decisions.deciding import Decisions
from llm_inference_api.decisions.question import Kind, Option, Question, yes_or_no
from llm_inference_api.requests.bundled import BUNDLED
from llm_inference_api.requests.chat import Message
from llm_inference_api.requests.engine_config import ContextChoice, EngineConfig
from llm_inference_api.requests.request import GREEDY, GenerationRequest, TokenPrompt
from llm_inference_api.requests.scoring import Branch, Scoring
from llm_inference_api.worker.parts import Parts, build
from llm_inference_api.worker.score_preparer import ScorePreparer

_NOTE = "At {} o'clock the keeper saw {} ships pass the tower, and wrote that the wind came from the {}. "
_WINDS = ("north", "east", "south", "west")
_NOTE_TOKENS = 30
"""Fewer than a note has."""
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


def main() -> None:
    """Measures, and prints the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="smollm2", choices=sorted(BUNDLED))
    parser.add_argument("--questions", type=int, default=64)
    parser.add_argument("--state", type=int, default=2000, help="tokens")
    parser.add_argument("--alone", type=int, default=4)
    options = parser.parse_args()
    route_log(lambda _level, _line: None)
    path = BUNDLED[options.model].path()
    if path is None:
        parser.error(f"the package of {options.model} is not installed")
    config = EngineConfig(path, 1, 8, 16, 1e9, context=ContextChoice(8192, 16384))
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


if __name__ == "__main__":
    main()
