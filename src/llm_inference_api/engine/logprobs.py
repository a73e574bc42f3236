"""Log probabilities from a model's scores (logits)."""

import math
from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt

from llm_inference_api.requests.events import TokenLogprob, TopLogprob


def token_logprob(scores: npt.NDArray[np.float64], token: int, top: int, piece: Callable[[int], bytes]) -> TokenLogprob:
    """Returns the log probability of a token, and those of the `top` most probable tokens; see `token_logprobs`."""
    return token_logprobs(scores, (token,), top, piece)[0]


def token_logprobs(
    scores: npt.NDArray[np.float64], tokens: Iterable[int], top: int, piece: Callable[[int], bytes]
) -> list[TokenLogprob]:
    """Returns the log probability of each token, and those of the `top` most probable tokens.

    Args:
        scores: Logits of all tokens, shape [vocabulary size].
        tokens: Ids of tokens.
        top: Number of alternatives, in order of decreasing probability.
        piece: Returns the bytes of a token's text.
    """
    peak = scores.max()
    logprobs = scores - (peak + math.log(np.exp(scores - peak).sum()))
    best = np.argpartition(logprobs, -top)[-top:] if top else np.empty(0, np.int64)
    ranked = best[np.argsort(-logprobs[best], kind="stable")]
    alternatives = tuple(TopLogprob(int(i), piece(int(i)), float(logprobs[i])) for i in ranked)
    return [TokenLogprob(token, piece(token), float(logprobs[token]), alternatives) for token in tokens]
