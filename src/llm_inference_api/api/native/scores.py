"""ScoreService: log probabilities of given texts."""

from llm_inference.v1 import scores_pb2, scores_pb2_grpc
from llm_inference_api.api.native.messages import logprobs, usage
from llm_inference_api.api.native.reading import read_messages
from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.generation.generation import Generations
from llm_inference_api.requests.chat import Ending, Message
from llm_inference_api.requests.events import Logprobs, Usage
from llm_inference_api.requests.inquiry import check_tokens
from llm_inference_api.requests.limits import RANGES, new_id
from llm_inference_api.requests.request import GREEDY, GenerationRequest, TokenPrompt
from llm_inference_api.requests.scoring import Branch, Scoring, Words, check_continuations
from llm_inference_api.requests.sizes import check_size
from llm_inference_api.requests.thinking import Thinking
from llm_inference_api.rpc.call import Call
from llm_inference_api.rpc.off_loop import off_loop

_MESSAGE_BYTES = 32
"""Approximate size of a log probability's message."""


class ScoreServicer(scores_pb2_grpc.ScoreServiceServicer):
    """Translates between RPCs and requests for scores."""

    def __init__(self, generations: Generations) -> None:
        self._generations = generations

    async def Score(self, request: scores_pb2.ScoreRequest, call: Call) -> scores_pb2.ScoreResponse:
        """Returns the score of each continuation, in order."""
        ask = await off_loop(request.ByteSize(), _read, request)
        async with self._generations.open(ask, call, streamed=False) as generation:
            answers, total = await generation.whole()
            scores = answers[0].scores
            size = _MESSAGE_BYTES * sum(map(len, scores)) * (1 + request.top_logprobs)
            return await off_loop(size, _response, generation.request, scores, total, request.top_logprobs)


def _read(wire: scores_pb2.ScoreRequest) -> GenerationRequest:
    field, continuations = _continuations(wire)
    RANGES["top_logprobs"].check("top_logprobs", wire.top_logprobs)
    scoring = Scoring(
        # The most probable token tells whether a continuation is greedy.
        (Branch(field, continuations),),
        max(1, wire.top_logprobs),
        closes_thoughts=True,
    )
    return GenerationRequest(
        new_id("score"),
        _prompt(wire),
        GREEDY,
        model=wire.model,
        sent_in="prompt_tokens" if wire.HasField("prompt_tokens") else "",
        ending=Ending.ANSWER,
        thinking=Thinking(budget=0),
        scoring=scoring,
    )


def _prompt(wire: scores_pb2.ScoreRequest) -> str | TokenPrompt | tuple[Message, ...]:
    given = [bool(wire.prompt), wire.HasField("prompt_tokens"), bool(wire.messages)]
    if sum(given) != 1:
        raise InvalidFieldError("prompt", "give one of `prompt`, `prompt_tokens` and `messages`")
    if wire.messages:
        return read_messages(wire.messages)
    if wire.prompt:
        check_size("prompt", len(wire.prompt.encode()))
        return wire.prompt
    if not wire.prompt_tokens.token_ids:
        raise InvalidFieldError("prompt_tokens", "has no tokens; send one at least")
    check_tokens("prompt_tokens", len(wire.prompt_tokens.token_ids))
    return TokenPrompt(tuple(wire.prompt_tokens.token_ids))


def _continuations(wire: scores_pb2.ScoreRequest) -> tuple[str, tuple[Words, ...]]:
    """Returns the name of the field that has the continuations, and these."""
    if wire.continuations and wire.continuation_tokens:
        problem = "may not be given together with continuations; send a request for each"
        raise InvalidFieldError("continuation_tokens", problem)
    if wire.continuation_tokens:
        check_continuations("continuation_tokens", len(wire.continuation_tokens))
        check_tokens("continuation_tokens", sum(len(tokens.token_ids) for tokens in wire.continuation_tokens))
        return "continuation_tokens", tuple(tuple(tokens.token_ids) for tokens in wire.continuation_tokens)
    check_continuations("continuations", len(wire.continuations))
    check_size("continuations", sum(len(text.encode()) for text in wire.continuations))
    return "continuations", tuple(wire.continuations)


def _response(
    request: GenerationRequest, scores: tuple[Logprobs, ...], total: Usage, top: int
) -> scores_pb2.ScoreResponse:
    return scores_pb2.ScoreResponse(
        id=request.id, model=request.model, scores=[_score(one, top) for one in scores], usage=usage(total)
    )


def _score(tokens: Logprobs, top: int) -> scores_pb2.Score:
    return scores_pb2.Score(
        logprob=sum(token.logprob for token in tokens),
        is_greedy=all(token.top_logprobs[0].token_id == token.token_id for token in tokens),
        logprobs=logprobs(tuple(token._replace(top_logprobs=token.top_logprobs[:top]) for token in tokens)),
    )
